#ifndef DG_MADE_UP_CAMERA_H
#define DG_MADE_UP_CAMERA_H

/* A driver that is made up here, fails where it is told, and stands in for the system's calls. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "capture.h"
#include "check.h"

enum { BUFFERS = 6, LENGTH = 640, SOON = 10000, AT_ONCE = 0, FRAMES = 3000 };

/* The device: its readiness is an eventfd that counts the filled buffers. */
static struct {
    pthread_mutex_t lock;
    int fd;
    bool has_planes, is_on;
    bool overwrites; /* as v4l2loopback: it begins with an old picture, then fills its buffers in
                        turn, whoever has them */
    bool is_queued[BUFFERS];
    struct v4l2_buffer filled[BUFFERS];
    int filled_count, mappings;
    uint8_t *memory[BUFFERS];
    uint32_t field, buffers, index_shift; /* the index that DQBUF tells is wrong by so much */
    /* what is injected */
    int calls_left, error;        /* so many ioctls succeed, then each gives this errno */
    unsigned long refused;        /* this request gives `error`, whatever calls_left says */
    bool is_unmappable, poll_fails;
    short extra_events;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER, .calls_left = -1, .buffers = BUFFERS};

static int request_buffers(struct v4l2_requestbuffers *wanted)
{
    if (wanted->count)
        wanted->count = device.buffers;
    return 0;
}

static int query(struct v4l2_buffer *buffer)
{
    if (device.has_planes) {
        buffer->m.planes[0].length = LENGTH;
        buffer->m.planes[0].m.mem_offset = buffer->index * 4096;
    }
    buffer->length = device.has_planes ? 1 : LENGTH;
    if (!device.has_planes)
        buffer->m.offset = buffer->index * 4096;
    return 0;
}

static int queue(const struct v4l2_buffer *buffer)
{
    CLAIM(buffer->index < BUFFERS && !device.is_queued[buffer->index]);
    device.is_queued[buffer->index] = true;
    return 0;
}

static int fetch(struct v4l2_buffer *buffer)
{
    uint64_t one;
    if (read(device.fd, &one, sizeof one) < 0)
        return EAGAIN;
    struct v4l2_plane *const planes = buffer->m.planes;
    const struct v4l2_buffer filled = device.filled[0];
    device.filled_count--;
    memmove(device.filled, device.filled + 1, sizeof filled * (BUFFERS - 1));
    *buffer = filled;
    buffer->index += device.index_shift;
    if (device.has_planes) {
        buffer->m.planes = planes;
        planes[0].bytesused = filled.bytesused;
    }
    return 0;
}

static void fill(int slot, uint32_t sequence, uint32_t flags, uint32_t used)
{
    const uint64_t one = 1;
    device.is_queued[slot] = false;
    memset(device.memory[slot], (int)(sequence & 0xff), LENGTH);
    memcpy(device.memory[slot] + LENGTH - sizeof sequence, &sequence, sizeof sequence);
    device.filled[device.filled_count++] = (struct v4l2_buffer){
        .index = (uint32_t)slot, .sequence = sequence, .flags = flags, .bytesused = used,
        .timestamp = {.tv_sec = 5, .tv_usec = 7}};
    CLAIM(write(device.fd, &one, sizeof one) == sizeof one);
}

static int answer(unsigned long request, void *argument)
{
    struct v4l2_format *const format = argument;
    switch (request) {
    case VIDIOC_QUERYCAP:
        *(struct v4l2_capability *)argument = (struct v4l2_capability){
            .driver = "made up, unended", .capabilities = V4L2_CAP_DEVICE_CAPS,
            .device_caps = V4L2_CAP_STREAMING | (device.has_planes ? V4L2_CAP_VIDEO_CAPTURE_MPLANE
                                                                   : V4L2_CAP_VIDEO_CAPTURE)};
        if (device.overwrites)
            strcpy(argument, "v4l2 loopback");
        return 0;
    case VIDIOC_G_FMT:
        format->fmt.pix = (struct v4l2_pix_format){.width = 32, .height = 20};
        return 0;
    case VIDIOC_S_FMT:
        format->fmt.pix.field = device.field;
        if (device.has_planes)
            format->fmt.pix_mp.num_planes = 1;
        else
            format->fmt.pix.bytesperline = format->fmt.pix.width;
        return 0;
    case VIDIOC_REQBUFS:
        return request_buffers(argument);
    case VIDIOC_QUERYBUF:
        return query(argument);
    case VIDIOC_QBUF:
        return queue(argument);
    case VIDIOC_DQBUF:
        return fetch(argument);
    case VIDIOC_DQEVENT:
        ((struct v4l2_event *)argument)->type = V4L2_EVENT_SOURCE_CHANGE;
        return 0;
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        device.is_on = request == VIDIOC_STREAMON;
        if (device.is_on && device.overwrites)
            fill(0, 0, 0, LENGTH);
        return 0;
    case VIDIOC_SUBSCRIBE_EVENT:
        return 0;
    default:
        return ENOTTY;
    }
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_poll(struct pollfd *waits, nfds_t count, int timeout_ms);
int __real_poll(struct pollfd *waits, nfds_t count, int timeout_ms);
void *__wrap_mmap(void *at, size_t length, int access, int flags, int fd, off_t offset);
int __wrap_munmap(void *memory, size_t length);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *const argument = va_arg(rest, void *);
    va_end(rest);
    (void)fd;
    pthread_mutex_lock(&device.lock);
    const bool is_refused = request == device.refused || device.calls_left == 0;
    device.calls_left -= device.calls_left > 0;
    errno = is_refused ? device.error : answer(request, argument);
    pthread_mutex_unlock(&device.lock);
    return errno ? -1 : 0;
}

/* What the thread waits for has two parts, the first of which is the device. */
int __wrap_poll(struct pollfd *waits, nfds_t count, int timeout_ms)
{
    pthread_mutex_lock(&device.lock);
    const bool fails = count == 2 && device.poll_fails;
    const short extra = count == 2 ? device.extra_events : 0;
    pthread_mutex_unlock(&device.lock);
    if (fails) {
        errno = ENOMEM;
        return -1;
    }
    const int ready = __real_poll(waits, count, extra ? 0 : timeout_ms);
    waits[0].revents |= extra;
    return extra ? 1 : ready;
}

void *__wrap_mmap(void *at, size_t length, int access, int flags, int fd, off_t offset)
{
    (void)at;
    const bool is_ours = flags & MAP_ANONYMOUS;
    CLAIM(length == LENGTH && access == (is_ours ? PROT_READ | PROT_WRITE : PROT_READ));
    CLAIM(is_ours == (fd < 0));
    if (device.is_unmappable) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    device.mappings++;
    if (is_ours)
        return __real_malloc(length);
    return device.memory[offset / 4096] = __real_malloc(length);
}

int __wrap_munmap(void *memory, size_t length)
{
    CLAIM(length == LENGTH);
    device.mappings--;
    free(memory);
    return 0;
}

/* The camera films: a frame with this number, where a buffer is free. */
static bool film_as(uint32_t sequence, uint32_t flags, uint32_t used)
{
    int slot = device.overwrites ? (int)(sequence % device.buffers) : 0;
    pthread_mutex_lock(&device.lock);
    while (!device.overwrites && slot < BUFFERS && !device.is_queued[slot])
        slot++;
    const bool is_room = slot < BUFFERS && device.is_on;
    if (is_room)
        fill(slot, sequence, flags, used);
    pthread_mutex_unlock(&device.lock);
    return is_room;
}

/* Which frame it is, as its content says. */
static uint32_t sequence_in(const struct dg_shot *shot)
{
    uint32_t sequence;
    memcpy(&sequence, shot->bytes + LENGTH - sizeof sequence, sizeof sequence);
    return sequence;
}

static void film(uint32_t sequence)
{
    while (!film_as(sequence, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, LENGTH))
        sched_yield();
}

static int queued(void)
{
    int count = 0;
    pthread_mutex_lock(&device.lock);
    for (int i = 0; i < BUFFERS; i++)
        count += device.is_queued[i];
    pthread_mutex_unlock(&device.lock);
    return count;
}

static void wait_until_queued(int count)
{
    while (queued() != count)
        sched_yield();
}

static void inject(unsigned long request, int error)
{
    pthread_mutex_lock(&device.lock);
    device.refused = request;
    device.error = error;
    pthread_mutex_unlock(&device.lock);
}

static void plug_in(void)
{
    device.fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
    CLAIM(device.fd >= 0);
    device.filled_count = 0;
    memset(device.is_queued, 0, sizeof device.is_queued);
}

static struct dg_capture *opened(void)
{
    struct dg_camera camera;
    struct dg_fault fault;
    struct dg_capture *capture;
    plug_in();
    CLAIM(dg_camera_identify(device.fd, &camera, &fault) == DG_OK);
    CLAIM(dg_capture_open(&capture, &camera, -1, &fault) == DG_OK);
    return capture;
}

/* What is still lent comes back late, as Python's views may. */
static void shut(struct dg_capture *capture)
{
    dg_capture_close(capture);
    for (int32_t slot = 0; slot < DG_RING_ROOM; slot++)
        dg_capture_give_back(capture, slot);
    dg_capture_free(capture);
    CLAIM(device.mappings == 0 && !device.is_on);
    close(device.fd);
}

static struct dg_shot taken(struct dg_capture *capture)
{
    struct dg_shot shot;
    struct dg_fault fault;
    CLAIM(dg_capture_take(capture, SOON, &shot, &fault) == DG_OK);
    CLAIM(shot.bytes);
    return shot;
}

#endif
