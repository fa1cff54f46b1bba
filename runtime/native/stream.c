#define _GNU_SOURCE /* struct timespec, in the kernel's header */

#include "stream.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <linux/videodev2.h>

enum {
    SLOTS = 6, /* one lent, one newest, one on its way, and three for the driver to fill */
    SLOTS_LEAST = 2
};

static const int64_t NS_PER_S = 1000000000;

/* A buffer as the driver wants it, with the one plane where it has planes. */
struct request {
    struct v4l2_buffer buffer;
    struct v4l2_plane plane;
};

static bool has_planes(const struct dg_stream *stream)
{
    return stream->camera.type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
}

/* v4l2loopback fills a buffer again while it is lent: a copy that is not made within a frame's time
 * may hold parts of two pictures. */
static bool overwrites(const struct dg_stream *stream)
{
    return strcmp(stream->camera.driver, "v4l2 loopback") == 0;
}

static void fill_request(struct request *request, const struct dg_stream *stream, int32_t slot)
{
    *request = (struct request){0};
    request->buffer.type = stream->camera.type;
    request->buffer.memory = V4L2_MEMORY_MMAP;
    request->buffer.index = (uint32_t)slot;
    if (has_planes(stream)) {
        request->buffer.m.planes = &request->plane;
        request->buffer.length = 1;
    }
}

enum dg_status dg_stream_queue(struct dg_stream *stream, int32_t slot, struct dg_fault *fault)
{
    struct request request;
    fill_request(&request, stream, slot);
    const bool is_mapped = slot < stream->mapped;
    const int error = is_mapped ? dg_ioctl(stream->camera.fd, VIDIOC_QBUF, &request.buffer) : 0;
    stream->slots[slot].is_queued = error == 0;
    return dg_refused(fault, error, "VIDIOC_QBUF");
}

/* Steps back of a few are frames out of order, longer ones a counter that began anew. */
static uint64_t number_of(struct dg_stream *stream, uint32_t sequence)
{
    const int32_t step = (int32_t)(sequence - stream->sequence);
    if (!stream->has_number) {
        stream->has_number = true;
        stream->sequence = sequence;
        return 0;
    }
    if (step > 0 || step < -DG_RING_ROOM)
        stream->sequence = sequence;
    stream->number += step > 0 ? (uint64_t)step : 1;
    return stream->number;
}

static int64_t time_of(const struct v4l2_buffer *buffer)
{
    struct timespec now;
    const int64_t seconds = buffer->timestamp.tv_sec, microseconds = buffer->timestamp.tv_usec;
    const uint32_t clock = buffer->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK;
    if (clock == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC && seconds >= 0 &&
        seconds < INT64_MAX / NS_PER_S && microseconds >= 0 && microseconds < 1000000)
        return seconds * NS_PER_S + microseconds * 1000;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static struct dg_shot shot_from(struct dg_stream *stream, const struct request *request)
{
    const struct v4l2_buffer *const buffer = &request->buffer;
    const struct dg_slot *const slot = &stream->slots[buffer->index];
    const size_t begin = has_planes(stream) ? request->plane.data_offset : 0;
    const size_t used = has_planes(stream) ? request->plane.bytesused : buffer->bytesused;
    const size_t end = used < slot->length ? used : slot->length;
    return (struct dg_shot){
        .bytes = slot->bytes + (begin < end ? begin : end),
        .count = begin < end ? end - begin : 0,
        .slot = (int32_t)buffer->index,
        .is_broken = (buffer->flags & V4L2_BUF_FLAG_ERROR) != 0,
        .number = number_of(stream, buffer->sequence),
        .t_ns = time_of(buffer),
    };
}

/* Moves a shot from the driver's slot, which is its again, to one of our own. */
static enum dg_status move_to_copy(struct dg_stream *stream, struct dg_shot *shot,
                                   struct dg_fault *fault)
{
    const int32_t filled = shot->slot;
    int32_t own = stream->mapped;
    while (own < stream->count && !stream->slots[own].is_queued)
        own++;
    if (own < stream->count) {
        struct dg_slot *const slot = &stream->slots[own];
        shot->count = shot->count < slot->length ? shot->count : slot->length;
        memcpy(slot->bytes, shot->bytes, shot->count);
        slot->is_queued = false;
        shot->bytes = slot->bytes;
        shot->slot = own;
    }
    const enum dg_status status = dg_stream_queue(stream, filled, fault);
    if (status != DG_OK)
        return status;
    return dg_refused(fault, own < stream->count ? 0 : EAGAIN, "VIDIOC_DQBUF");
}

enum dg_status dg_stream_fetch(struct dg_stream *stream, struct dg_shot *shot,
                               struct dg_fault *fault)
{
    struct request request;
    fill_request(&request, stream, 0);
    const int error = dg_ioctl(stream->camera.fd, VIDIOC_DQBUF, &request.buffer);
    if (error)
        return dg_refused(fault, error, "VIDIOC_DQBUF");
    const uint32_t index = request.buffer.index;
    if (index >= (uint32_t)stream->mapped || !stream->slots[index].is_queued)
        return dg_refused(fault, EPROTO, "VIDIOC_DQBUF");
    stream->slots[index].is_queued = false;
    *shot = shot_from(stream, &request);
    return overwrites(stream) ? move_to_copy(stream, shot, fault) : DG_OK;
}

enum dg_status dg_stream_event(struct dg_stream *stream, struct dg_fault *fault)
{
    struct v4l2_event event = {0};
    const int error = dg_ioctl(stream->camera.fd, VIDIOC_DQEVENT, &event);
    const bool has_changed = event.type == V4L2_EVENT_SOURCE_CHANGE;
    return dg_refused(fault, error ? error : has_changed ? ESTALE : 0, "VIDIOC_DQEVENT");
}

static enum dg_status add_slot(struct dg_stream *stream, void *memory, size_t length,
                               struct dg_fault *fault)
{
    if (memory == MAP_FAILED)
        return dg_refused(fault, errno, "mmap");
    stream->slots[stream->count++] = (struct dg_slot){.bytes = memory, .length = length};
    return DG_OK;
}

static enum dg_status map_slot(struct dg_stream *stream, struct dg_fault *fault)
{
    struct request request;
    fill_request(&request, stream, stream->count);
    const int error = dg_ioctl(stream->camera.fd, VIDIOC_QUERYBUF, &request.buffer);
    if (error)
        return dg_refused(fault, error, "VIDIOC_QUERYBUF");
    const bool is_planar = has_planes(stream);
    const size_t length = is_planar ? request.plane.length : request.buffer.length;
    const off_t offset = is_planar ? request.plane.m.mem_offset : request.buffer.m.offset;
    void *const memory = mmap(NULL, length, PROT_READ, MAP_SHARED, stream->camera.fd, offset);
    return add_slot(stream, memory, length, fault);
}

static enum dg_status make_slot(struct dg_stream *stream, struct dg_fault *fault)
{
    const size_t length = stream->slots[0].length;
    const int access = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    return add_slot(stream, mmap(NULL, length, access, kind, -1, 0), length, fault);
}

static enum dg_status reserve(struct dg_stream *stream, uint32_t *count, struct dg_fault *fault)
{
    struct v4l2_requestbuffers wanted = {
        .count = *count, .type = stream->camera.type, .memory = V4L2_MEMORY_MMAP};
    const int error = dg_ioctl(stream->camera.fd, VIDIOC_REQBUFS, &wanted);
    *count = wanted.count;
    return dg_refused(fault, error, "VIDIOC_REQBUFS");
}

static enum dg_status map_slots(struct dg_stream *stream, struct dg_fault *fault)
{
    uint32_t got = SLOTS;
    enum dg_status status = reserve(stream, &got, fault);
    if (status != DG_OK)
        return status;
    const int32_t copies = overwrites(stream) ? SLOTS : 0;
    if (got < SLOTS_LEAST || got > (uint32_t)(DG_RING_ROOM - copies))
        return dg_refused(fault, got < SLOTS_LEAST ? ENOMEM : EPROTO, "VIDIOC_REQBUFS");
    stream->mapped = (int32_t)got;
    for (int32_t i = 0; status == DG_OK && i < stream->mapped; i++)
        status = map_slot(stream, fault);
    for (int32_t i = 0; status == DG_OK && i < copies; i++)
        status = make_slot(stream, fault);
    for (int32_t i = 0; status == DG_OK && i < stream->count; i++)
        status = dg_stream_queue(stream, i, fault);
    return status;
}

static void watch_source(struct dg_stream *stream)
{
    int input = 0;
    dg_ioctl(stream->camera.fd, VIDIOC_G_INPUT, &input);
    struct v4l2_event_subscription wanted = {.type = V4L2_EVENT_SOURCE_CHANGE,
                                             .id = (uint32_t)input};
    stream->is_watching = dg_ioctl(stream->camera.fd, VIDIOC_SUBSCRIBE_EVENT, &wanted) == 0;
}

/* What v4l2loopback has from before may be of any age; its stamps and numbers are made up. */
static void skip_what_was_before(struct dg_stream *stream)
{
    struct dg_shot shot;
    struct dg_fault ignored; /* whatever it is, the thread meets it */
    for (int32_t i = 0; i < stream->mapped; i++) {
        if (dg_stream_fetch(stream, &shot, &ignored) != DG_OK)
            break;
        dg_stream_queue(stream, shot.slot, &ignored);
    }
    stream->has_number = false;
    stream->number = 0;
}

enum dg_status dg_stream_start(struct dg_stream *stream, struct dg_fault *fault)
{
    int type = (int)stream->camera.type;
    const enum dg_status status = map_slots(stream, fault);
    if (status != DG_OK)
        return status;
    watch_source(stream);
    const int error = dg_ioctl(stream->camera.fd, VIDIOC_STREAMON, &type);
    stream->is_on = error == 0;
    if (stream->is_on && overwrites(stream))
        skip_what_was_before(stream);
    return dg_refused(fault, error, "VIDIOC_STREAMON");
}

void dg_stream_stop(struct dg_stream *stream)
{
    int type = (int)stream->camera.type;
    if (stream->is_on)
        dg_ioctl(stream->camera.fd, VIDIOC_STREAMOFF, &type);
    stream->is_on = false;
}

void dg_stream_unmap(struct dg_stream *stream, int32_t slot)
{
    if (stream->slots[slot].bytes)
        munmap(stream->slots[slot].bytes, stream->slots[slot].length);
    stream->slots[slot].bytes = NULL;
}

void dg_stream_release(struct dg_stream *stream)
{
    struct dg_fault ignored; /* the device may be gone */
    uint32_t none = 0;
    if (stream->mapped)
        reserve(stream, &none, &ignored);
}
