/* What a driver may answer, made of noise: none may make us read or write where we must not. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "capture.h"

enum { LENGTH_MOST = 1 << 16, TAKES = 8, OFFERS = 12, SOON_MS = 20 };

/* The noise, shared by the two threads. */
static struct {
    pthread_mutex_t lock;
    const uint8_t *bytes;
    size_t left;
} noise = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t draw(void *into, size_t wanted)
{
    pthread_mutex_lock(&noise.lock);
    const size_t count = wanted < noise.left ? wanted : noise.left;
    if (count)
        memcpy(into, noise.bytes, count);
    noise.bytes += count;
    noise.left -= count;
    pthread_mutex_unlock(&noise.lock);
    return count;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_poll(struct pollfd *waits, nfds_t count, int timeout_ms);
int __real_poll(struct pollfd *waits, nfds_t count, int timeout_ms);
void *__wrap_mmap(void *at, size_t length, int access, int flags, int fd, off_t offset);
int __wrap_munmap(void *memory, size_t length);

/* Fills the answer with noise, as much as there is; the planes' pointer stays the caller's. */
static void answer(unsigned long request, void *argument)
{
    struct v4l2_buffer *const buffer = argument;
    const bool is_buffer =
        request == VIDIOC_QUERYBUF || request == VIDIOC_QBUF || request == VIDIOC_DQBUF;
    if (!is_buffer) {
        draw(argument, _IOC_SIZE(request));
        return;
    }
    struct v4l2_plane *const planes = buffer->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
                                          ? buffer->m.planes
                                          : NULL;
    draw(buffer, sizeof *buffer);
    if (planes) {
        draw(planes, sizeof *planes);
        buffer->m.planes = planes;
    }
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    uint8_t errors = 0;
    va_list rest;
    va_start(rest, request);
    void *const argument = va_arg(rest, void *);
    va_end(rest);
    (void)fd;
    const size_t drawn = draw(&errors, 1);
    if (!drawn || errors > 250) {
        errno = drawn && errors < 253 ? EAGAIN : ENODEV;
        return -1;
    }
    if (errors > 100) /* often enough a plain yes, so that noise gets far */
        answer(request, argument);
    return 0;
}

int __wrap_poll(struct pollfd *waits, nfds_t count, int timeout_ms)
{
    uint8_t events = POLLERR;
    if (count < 2)
        return __real_poll(waits, count, timeout_ms);
    draw(&events, 1);
    waits[0].revents = events & (POLLIN | POLLPRI | POLLERR | POLLHUP);
    waits[1].revents = POLLIN;
    return 1;
}

/* Memory to the byte, for the sanitizer to guard. */
void *__wrap_mmap(void *at, size_t length, int access, int flags, int fd, off_t offset)
{
    (void)at;
    (void)access;
    (void)flags;
    (void)fd;
    (void)offset;
    void *const memory = length && length <= LENGTH_MOST ? malloc(length) : NULL;
    if (memory)
        memset(memory, 7, length);
    errno = EINVAL;
    return memory ? memory : MAP_FAILED;
}

int __wrap_munmap(void *memory, size_t length)
{
    (void)length;
    free(memory);
    return 0;
}

static volatile size_t sink; /* so that every byte is read */

static void list(const struct dg_camera *camera)
{
    struct dg_format_offer format;
    struct dg_size_offer size;
    struct dg_rate_offer rate;
    struct dg_control_offer control = {0};
    char text[33];
    for (uint32_t i = 0; i < OFFERS && dg_camera_format(camera, i, &format); i++)
        sink += strlen(format.text);
    for (uint32_t i = 0; i < OFFERS && dg_camera_size(camera, 1, i, &size); i++)
        sink += size.most_width;
    for (uint32_t i = 0; i < OFFERS && dg_camera_rate(camera, 1, 2, 3, i, &rate); i++)
        sink += rate.most > 0;
    for (uint32_t i = 0; i < OFFERS && dg_camera_control(camera, control.id, &control); i++)
        sink += strlen(control.name) + (dg_camera_menu(camera, &control, i, text) && *text);
}

static void watch(const struct dg_camera *camera)
{
    struct dg_capture *capture;
    struct dg_shot shot, last = {0};
    struct dg_fault fault;
    if (dg_capture_open(&capture, camera, -1, &fault) != DG_OK)
        return;
    for (int i = 0; i < TAKES && dg_capture_take(capture, SOON_MS, &shot, &fault) == DG_OK; i++) {
        for (size_t k = 0; shot.bytes && k < shot.count; k++)
            sink += shot.bytes[k];
        if (last.bytes)
            dg_capture_give_back(capture, last.slot);
        last = shot;
    }
    dg_capture_close(capture);
    if (last.bytes)
        dg_capture_give_back(capture, last.slot);
    dg_capture_free(capture);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const struct dg_wish wish = {.width = 640, .height = 480, .fps = 30};
    struct dg_camera camera;
    struct dg_fault fault;
    struct dg_mode mode;
    noise.bytes = bytes;
    noise.left = count;
    const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dg_camera_identify(fd, &camera, &fault) == DG_OK) {
        if (dg_camera_negotiate(&camera, &wish, &mode, &fault) == DG_OK)
            watch(&camera);
        list(&camera);
    }
    close(fd);
    return 0;
}
