/* dg_capture and dg_camera_* against a driver that is made up here and fails where it is told. */

#define _GNU_SOURCE

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
    bool is_queued[BUFFERS];
    struct v4l2_buffer filled[BUFFERS];
    int filled_count, mappings;
    uint8_t *memory[BUFFERS];
    uint32_t buffers, index_shift; /* the index that DQBUF tells is wrong by so much */
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

static int answer(unsigned long request, void *argument)
{
    struct v4l2_format *const format = argument;
    switch (request) {
    case VIDIOC_QUERYCAP:
        *(struct v4l2_capability *)argument = (struct v4l2_capability){
            .driver = "made up, unended", .capabilities = V4L2_CAP_DEVICE_CAPS,
            .device_caps = V4L2_CAP_STREAMING | (device.has_planes ? V4L2_CAP_VIDEO_CAPTURE_MPLANE
                                                                   : V4L2_CAP_VIDEO_CAPTURE)};
        return 0;
    case VIDIOC_G_FMT:
        format->fmt.pix = (struct v4l2_pix_format){.width = 32, .height = 20};
        return 0;
    case VIDIOC_S_FMT:
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
    (void)flags;
    (void)fd;
    CLAIM(length == LENGTH && access == PROT_READ);
    if (device.is_unmappable) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    device.mappings++;
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
    const uint64_t one = 1;
    int slot = 0;
    pthread_mutex_lock(&device.lock);
    while (slot < BUFFERS && !device.is_queued[slot])
        slot++;
    const bool is_room = slot < BUFFERS && device.is_on;
    if (is_room) {
        device.is_queued[slot] = false;
        memset(device.memory[slot], (int)(sequence & 0xff), LENGTH);
        memcpy(device.memory[slot] + LENGTH - sizeof sequence, &sequence, sizeof sequence);
        device.filled[device.filled_count++] = (struct v4l2_buffer){
            .index = (uint32_t)slot, .sequence = sequence, .flags = flags, .bytesused = used,
            .timestamp = {.tv_sec = 5, .tv_usec = 7}};
        CLAIM(write(device.fd, &one, sizeof one) == sizeof one);
    }
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
    for (int32_t slot = 0; slot < BUFFERS; slot++)
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

static void check_a_frame_comes_as_it_was_filmed(bool has_planes)
{
    device.has_planes = has_planes;
    struct dg_capture *const capture = opened();
    film(41);
    const struct dg_shot shot = taken(capture);
    CLAIM(shot.count == LENGTH && shot.bytes[0] == 41 && sequence_in(&shot) == 41);
    CLAIM(shot.number == 0 && shot.dropped == 0 && !shot.is_broken);
    CLAIM(shot.t_ns == 5000007000);
    shut(capture);
    device.has_planes = false;
}

static void check_the_newest_wins_and_the_others_are_counted(void)
{
    struct dg_capture *const capture = opened();
    const uint32_t sequences[] = {UINT32_MAX - 1, UINT32_MAX, 0, 1, 4, 5};
    for (size_t i = 0; i < 6; i++) {
        film(sequences[i]);
        wait_until_queued(BUFFERS - 1 - (i > 0)); /* the first is lent, the newest is kept */
        if (i == 0)
            CLAIM(taken(capture).dropped == 0);
    }
    const struct dg_shot shot = taken(capture);
    CLAIM(sequence_in(&shot) == 5 && shot.number == 7 && shot.dropped == 6);
    shut(capture);
}

static void check_odd_sequences_are_no_loss(void)
{
    struct dg_capture *const capture = opened();
    const uint32_t sequences[] = {900, 900, 900, 899, 901, 3, 4};
    const uint64_t numbers[] = {0, 1, 2, 3, 4, 5, 6};
    for (size_t i = 0; i < 7; i++) {
        film(sequences[i]);
        const struct dg_shot shot = taken(capture);
        CLAIM(shot.number == numbers[i] && shot.dropped == 0);
        dg_capture_give_back(capture, shot.slot);
    }
    shut(capture);
}

static void check_broken_and_short_frames_are_told(void)
{
    struct dg_capture *const capture = opened();
    CLAIM(film_as(0, V4L2_BUF_FLAG_ERROR, 17));
    struct dg_shot shot = taken(capture);
    CLAIM(shot.is_broken && shot.count == 17 && shot.t_ns != 5000007000);
    CLAIM(film_as(1, 0, LENGTH * 2));
    shot = taken(capture);
    CLAIM(!shot.is_broken && shot.count == LENGTH);
    shut(capture);
}

static void check_a_lent_frame_outlives_the_close(void)
{
    struct dg_capture *const capture = opened();
    film(3);
    struct dg_shot shot = taken(capture), none;
    struct dg_fault fault;
    dg_capture_close(capture);
    dg_capture_close(capture);
    CLAIM(device.mappings == 1 && sequence_in(&shot) == 3);
    CLAIM(dg_capture_take(capture, SOON, &none, &fault) == DG_OK && !none.bytes);
    dg_capture_give_back(capture, shot.slot);
    CLAIM(device.mappings == 0);
    shut(capture);
}

static void check_no_frame_is_no_error(void)
{
    struct dg_capture *const capture = opened();
    struct dg_shot shot;
    struct dg_fault fault;
    CLAIM(dg_capture_take(capture, AT_ONCE, &shot, &fault) == DG_OK && !shot.bytes);
    shut(capture);
}

/* Frames that came before the end are given first; the end stays. */
static void expect_end(struct dg_capture *capture, int error)
{
    struct dg_shot shot;
    struct dg_fault fault;
    enum dg_status status;
    do
        status = dg_capture_take(capture, SOON, &shot, &fault);
    while (status == DG_OK && shot.bytes);
    CLAIM(status == DG_DEVICE && fault.error == error && fault.step);
    CLAIM(dg_capture_take(capture, SOON, &shot, &fault) == DG_DEVICE && !shot.bytes);
    inject(0, 0);
    shut(capture);
}

static void check_a_lost_device_ends_the_stream(void)
{
    const int errors[] = {ENODEV, EIO, EINVAL, EPIPE};
    for (size_t i = 0; i < 4; i++) {
        struct dg_capture *capture = opened();
        inject(VIDIOC_DQBUF, errors[i]);
        film(0);
        expect_end(capture, errors[i]);
        capture = opened();
        film(0);
        const struct dg_shot shot = taken(capture);
        inject(VIDIOC_QBUF, errors[i]);
        dg_capture_give_back(capture, shot.slot);
        expect_end(capture, errors[i]);
    }
}

static void make_poll(bool fail, short extra_events)
{
    pthread_mutex_lock(&device.lock);
    device.poll_fails = fail;
    device.extra_events = extra_events;
    pthread_mutex_unlock(&device.lock);
}

static void check_what_poll_says_ends_the_stream(void)
{
    struct dg_capture *capture = opened();
    make_poll(true, 0); /* from the next round on */
    film(0);
    expect_end(capture, ENOMEM);
    make_poll(false, POLLERR); /* while DQBUF says EAGAIN */
    expect_end(opened(), EIO);
    make_poll(false, POLLPRI);
    expect_end(opened(), ESTALE);
    make_poll(false, 0);
}

/* One that is lent already, and one that there is not. */
static void check_an_index_that_cannot_be_ends_the_stream(void)
{
    const uint32_t shifts[] = {UINT32_MAX, BUFFERS};
    for (size_t i = 0; i < 2; i++) {
        struct dg_capture *const capture = opened();
        film(0);
        CLAIM(taken(capture).slot == 0);
        pthread_mutex_lock(&device.lock);
        device.index_shift = shifts[i];
        pthread_mutex_unlock(&device.lock);
        film(1);
        expect_end(capture, EPROTO);
        device.index_shift = 0;
    }
}

/* Each call that opening makes fails once; nothing is left behind, which ASan proves too. */
static void check_failing_calls(void)
{
    struct dg_camera camera;
    struct dg_fault fault;
    struct dg_capture *capture = NULL;
    enum dg_status status = DG_DEVICE;
    device.error = EBUSY;
    int calls = 0;
    for (; !capture; calls++) {
        plug_in();
        device.calls_left = -1;
        CLAIM(dg_camera_identify(device.fd, &camera, &fault) == DG_OK);
        device.calls_left = calls;
        status = dg_capture_open(&capture, &camera, -1, &fault);
        device.calls_left = -1;
        CLAIM(capture || (status == DG_DEVICE && fault.error == EBUSY && fault.step));
        if (!capture)
            close(device.fd);
        device.is_on = capture != NULL;
        CLAIM(device.mappings == (capture ? BUFFERS : 0));
    }
    CLAIM(calls > 2 * BUFFERS);
    shut(capture);
}

static void check_failing_memory(void)
{
    struct dg_camera camera;
    struct dg_fault fault;
    struct dg_capture *capture;
    plug_in();
    CLAIM(dg_camera_identify(device.fd, &camera, &fault) == DG_OK);
    allocations_left = 0;
    CLAIM(dg_capture_open(&capture, &camera, -1, &fault) == DG_NO_MEMORY && !capture);
    allocations_left = -1;
    device.is_unmappable = true;
    CLAIM(dg_capture_open(&capture, &camera, -1, &fault) == DG_DEVICE && fault.error == ENODEV);
    device.is_unmappable = false;
    const uint32_t counts[] = {0, 1, 33, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        device.buffers = counts[i];
        CLAIM(dg_capture_open(&capture, &camera, -1, &fault) == DG_DEVICE);
        CLAIM(fault.error == (counts[i] < 2 ? ENOMEM : EPROTO));
    }
    device.buffers = BUFFERS;
    const int32_t cpus[] = {1023, 1024, INT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        memset(device.is_queued, 0, sizeof device.is_queued);
        CLAIM(dg_capture_open(&capture, &camera, cpus[i], &fault) == DG_DEVICE);
        CLAIM(fault.error == EINVAL && !capture && device.mappings == 0);
    }
    close(device.fd);
}

static void check_negotiation(bool has_planes)
{
    const struct dg_wish wishes[] = {{0}, {.width = 64, .fourcc = V4L2_PIX_FMT_GREY, .fps = 25}};
    struct dg_camera camera;
    struct dg_fault fault;
    struct dg_mode mode;
    device.has_planes = has_planes;
    plug_in();
    CLAIM(dg_camera_identify(device.fd, &camera, &fault) == DG_OK);
    CLAIM(strcmp(camera.driver, "made up, unended") == 0);
    CLAIM(dg_camera_negotiate(&camera, &wishes[0], &mode, &fault) == DG_OK);
    CLAIM(mode.width == 32 && mode.height == 20 && mode.fourcc == 0 && mode.fps == 0);
    CLAIM(dg_camera_negotiate(&camera, &wishes[1], &mode, &fault) == DG_OK);
    CLAIM(mode.width == 64 && mode.height == 20 && mode.fourcc == V4L2_PIX_FMT_GREY);
    inject(VIDIOC_S_FMT, EBUSY);
    CLAIM(dg_camera_negotiate(&camera, &wishes[0], &mode, &fault) == DG_DEVICE);
    CLAIM(fault.error == EBUSY && strcmp(fault.step, "VIDIOC_S_FMT") == 0);
    inject(0, 0);
    close(device.fd);
    device.has_planes = false;
}

static void *film_many(void *unused)
{
    (void)unused;
    for (uint32_t sequence = 0; sequence < FRAMES; sequence++)
        film_as(sequence, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, LENGTH);
    film(FRAMES);
    return NULL;
}

static void *give_one_back(void *argument)
{
    void **const pair = argument;
    dg_capture_give_back(pair[0], *(int32_t *)pair[1]);
    return NULL;
}

/* Slots come back from another thread, as Python's views may die in any. */
static void check_threads_lend_and_count_every_frame(void)
{
    struct dg_capture *const capture = opened();
    pthread_t film_thread, other;
    uint64_t seen = 0, first = 0;
    bool is_last = false;
    CLAIM(pthread_create(&film_thread, NULL, film_many, NULL) == 0);
    while (!is_last) {
        struct dg_shot shot = taken(capture);
        first = seen ? first : sequence_in(&shot);
        seen += 1 + shot.dropped;
        is_last = sequence_in(&shot) == FRAMES;
        CLAIM(shot.bytes[0] == shot.bytes[LENGTH - 5]);
        void *pair[] = {capture, &shot.slot};
        CLAIM(pthread_create(&other, NULL, give_one_back, pair) == 0);
        CLAIM(pthread_join(other, NULL) == 0);
    }
    CLAIM(seen == FRAMES + 1 - first);
    CLAIM(pthread_join(film_thread, NULL) == 0);
    shut(capture);
}

static void *close_it(void *capture)
{
    dg_capture_close(capture);
    return NULL;
}

static void check_a_close_ends_a_take(void)
{
    struct dg_capture *const capture = opened();
    struct dg_shot shot;
    struct dg_fault fault;
    pthread_t thread;
    CLAIM(pthread_create(&thread, NULL, close_it, capture) == 0);
    CLAIM(dg_capture_take(capture, SOON, &shot, &fault) == DG_OK && !shot.bytes);
    CLAIM(pthread_join(thread, NULL) == 0);
    shut(capture);
}

int main(void)
{
    for (int has_planes = 0; has_planes < 2; has_planes++) {
        check_a_frame_comes_as_it_was_filmed(has_planes);
        check_negotiation(has_planes);
    }
    check_the_newest_wins_and_the_others_are_counted();
    check_odd_sequences_are_no_loss();
    check_broken_and_short_frames_are_told();
    check_a_lent_frame_outlives_the_close();
    check_no_frame_is_no_error();
    check_a_lost_device_ends_the_stream();
    check_what_poll_says_ends_the_stream();
    check_an_index_that_cannot_be_ends_the_stream();
    check_failing_calls();
    check_failing_memory();
    check_threads_lend_and_count_every_frame();
    check_a_close_ends_a_take();
    return 0;
}
