#ifndef DG_CAPTURE_H
#define DG_CAPTURE_H

#include <stdint.h>

#include "device.h"
#include "status.h"
#include "stream.h"

/*
 * Frames of a V4L2 device, straight from the driver's buffers. A thread of its own takes each as
 * it comes and keeps the newest; one that nobody took goes back to the driver. So the picture at
 * hand is never older than it must be, however slow its judge.
 */
struct dg_capture;

/*
 * Starts to stream `camera`, which is open with O_NONBLOCK, as it is set. The file descriptor is
 * duplicated, so the caller's own may be closed at once. `cpu` pins the thread; negative: it runs
 * anywhere. The caller gives the capture back by dg_capture_free; on failure there is none.
 */
enum dg_status dg_capture_open(struct dg_capture **capture, const struct dg_camera *camera,
                               int32_t cpu, struct dg_fault *fault);

/*
 * Waits for a frame that was not taken yet and lends it: its bytes stay what they are until
 * dg_capture_give_back, also after a close. Any thread may call. Where `shot->bytes` is NULL none
 * came within `timeout_ms`, or a signal came, or the capture was closed. DG_DEVICE: the stream has
 * ended; ESTALE: its source changed format.
 */
enum dg_status dg_capture_take(struct dg_capture *capture, int timeout_ms, struct dg_shot *shot,
                               struct dg_fault *fault);

/* Gives a lent slot back. Any thread; it may wait for a dg_capture_close, never for a frame. */
void dg_capture_give_back(struct dg_capture *capture, int32_t slot);

/* Ends the stream and lets the device go, but for the memory of lent slots. Twice is fine; any
 * thread may, also during a take. */
void dg_capture_close(struct dg_capture *capture);

/* Closes it and gives it back, once every slot was given back and nobody uses it. NULL is fine. */
void dg_capture_free(struct dg_capture *capture);

#endif
