#ifndef DG_STREAM_H
#define DG_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "ring.h"
#include "status.h"

/* One frame in its driver's buffer. */
struct dg_shot {
    const uint8_t *bytes;
    size_t count;
    int32_t slot;     /* which buffer */
    bool is_broken;   /* the driver says that its content is not to be trusted */
    uint64_t number;  /* counts the frames of the device from 0 on, those that were lost too */
    uint64_t dropped; /* frames between the one that was taken before and this one */
    int64_t t_ns;     /* CLOCK_MONOTONIC; the driver's stamp, or when it was fetched */
};

struct dg_slot {
    uint8_t *bytes;
    size_t length;
    bool is_queued; /* with the driver */
};

/*
 * A device that streams into its own buffers, which are mapped; what v4l2loopback fills,
 * which does not wait for its readers, is copied. The caller owns the struct, which owns the
 * memory; a zeroed one holds nothing. One thread at a time.
 */
struct dg_stream {
    struct dg_camera camera; /* its fd is ours, open with O_NONBLOCK */
    struct dg_slot slots[DG_RING_ROOM];
    int32_t count, mapped; /* the first ones are the driver's, the others our own copies */
    bool is_on;
    bool is_watching; /* the driver tells by POLLPRI when its source changes */
    bool has_number;
    uint32_t sequence; /* the driver's highest yet */
    uint64_t number;
};

/* Maps the buffers of `stream->camera`, gives them all to the driver and starts. What was begun is
 * undone by dg_stream_stop and dg_stream_unmap, also after a failure. */
enum dg_status dg_stream_start(struct dg_stream *stream, struct dg_fault *fault);

/* Gives a buffer to the driver. */
enum dg_status dg_stream_queue(struct dg_stream *stream, int32_t slot, struct dg_fault *fault);

/* Fetches the oldest frame that the driver filled; EAGAIN: there is none, or no slot for its copy,
 * and it is counted. */
enum dg_status dg_stream_fetch(struct dg_stream *stream, struct dg_shot *shot,
                               struct dg_fault *fault);

/* Reads what POLLPRI announced; ESTALE: the source changed its format. */
enum dg_status dg_stream_event(struct dg_stream *stream, struct dg_fault *fault);

/* Takes the buffers back from the driver, as far as the device is still there. Twice is fine. */
void dg_stream_stop(struct dg_stream *stream);

/* Gives one mapping back, or does nothing where that was done. */
void dg_stream_unmap(struct dg_stream *stream, int32_t slot);

/* After the last unmapping: lets other programs have the device. */
void dg_stream_release(struct dg_stream *stream);

#endif
