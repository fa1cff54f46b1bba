#define _GNU_SOURCE /* pthread_attr_setaffinity_np */

#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring.h"

enum { NONE = -1 };

struct dg_capture {
    struct dg_stream stream;            /* the thread's, while it runs */
    struct dg_shot shots[DG_RING_ROOM]; /* by slot; handed over by `newest` */
    _Atomic int32_t newest;             /* the slot that the thread offers, or NONE */
    struct dg_ring returned;            /* to the thread; pushed under `lending` */
    atomic_bool is_ending, has_ended;
    struct dg_fault fault; /* why it ended; written before `has_ended` */
    int wake, news;        /* eventfds: something for the thread, something for the taker */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lending; /* for all that follows; the thread never waits for it */
    bool is_closed;
    bool is_lent[DG_RING_ROOM];
    uint64_t next; /* the number of the frame that comes after the one that was taken last */
};

static void ring_bell(int bell)
{
    const uint64_t one = 1;
    const ssize_t written = write(bell, &one, sizeof one);
    (void)written; /* a full one rings already */
}

static void hush_bell(int bell)
{
    uint64_t rung;
    const ssize_t got = read(bell, &rung, sizeof rung);
    (void)got;
}

/* Offers the frame that the driver filled; the one that nobody took is the driver's again. */
static enum dg_status offer_filled(struct dg_capture *capture, struct dg_fault *fault)
{
    struct dg_shot shot;
    const enum dg_status status = dg_stream_fetch(&capture->stream, &shot, fault);
    if (status != DG_OK)
        return status;
    capture->shots[shot.slot] = shot;
    const int32_t stale = atomic_exchange(&capture->newest, shot.slot);
    ring_bell(capture->news);
    return stale == NONE ? DG_OK : dg_stream_queue(&capture->stream, stale, fault);
}

static enum dg_status queue_returned(struct dg_capture *capture, struct dg_fault *fault)
{
    int32_t slot;
    enum dg_status status = DG_OK;
    hush_bell(capture->wake);
    while (status == DG_OK && dg_ring_pop(&capture->returned, &slot))
        status = dg_stream_queue(&capture->stream, slot, fault);
    return status;
}

/* What poll said of the device. An error that the driver does not explain must not be a loop. */
static enum dg_status serve_device(struct dg_capture *capture, short events,
                                   struct dg_fault *fault)
{
    enum dg_status status = DG_OK;
    if (events & POLLPRI)
        status = dg_stream_event(&capture->stream, fault);
    if (status != DG_OK || !(events & ~POLLPRI))
        return status;
    status = offer_filled(capture, fault);
    if (status == DG_DEVICE && fault->error == EAGAIN)
        status = dg_refused(fault, events & POLLIN ? 0 : EIO, "poll");
    return status;
}

/* One round of the thread: sleeps until there is something to do, and does it. */
static enum dg_status attend(struct dg_capture *capture, struct dg_fault *fault)
{
    const struct dg_stream *const stream = &capture->stream;
    struct pollfd waits[] = {
        {.fd = stream->camera.fd,
         .events = (short)(POLLIN | (stream->is_watching ? POLLPRI : 0))},
        {.fd = capture->wake, .events = POLLIN},
    };
    if (poll(waits, 2, -1) < 0)
        return dg_refused(fault, errno == EINTR ? 0 : errno, "poll");
    enum dg_status status = DG_OK;
    if (waits[1].revents)
        status = queue_returned(capture, fault);
    if (status == DG_OK && waits[0].revents)
        status = serve_device(capture, waits[0].revents, fault);
    return status;
}

static void *grab(void *argument)
{
    struct dg_capture *const capture = argument;
    struct dg_fault fault = {0};
    while (!atomic_load(&capture->is_ending) && attend(capture, &fault) == DG_OK)
        ;
    capture->fault = fault;
    atomic_store(&capture->has_ended, true);
    ring_bell(capture->news);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct dg_capture *capture, const pthread_attr_t *attributes)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&capture->thread, attributes, grab, capture);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    capture->has_thread = error == 0;
    return error;
}

static enum dg_status start(struct dg_capture *capture, int32_t cpu, struct dg_fault *fault)
{
    pthread_attr_t attributes;
    cpu_set_t cpus;
    int error = cpu < CPU_SETSIZE ? pthread_attr_init(&attributes) : EINVAL;
    if (error)
        return dg_refused(fault, error, "the CPU of the thread");
    if (cpu >= 0) {
        CPU_ZERO(&cpus);
        CPU_SET((size_t)cpu, &cpus);
        error = pthread_attr_setaffinity_np(&attributes, sizeof cpus, &cpus);
    }
    if (!error)
        error = start_thread(capture, &attributes);
    pthread_attr_destroy(&attributes);
    return dg_refused(fault, error, cpu < 0 ? "pthread_create" : "the CPU of the thread");
}

static struct dg_capture *make(const struct dg_camera *camera)
{
    struct dg_capture *const capture = calloc(1, sizeof *capture);
    if (!capture)
        return NULL;
    atomic_init(&capture->newest, NONE);
    pthread_mutex_init(&capture->lending, NULL);
    capture->stream.camera = *camera;
    capture->stream.camera.fd = fcntl(camera->fd, F_DUPFD_CLOEXEC, 0);
    capture->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    capture->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return capture;
}

enum dg_status dg_capture_open(struct dg_capture **capture, const struct dg_camera *camera,
                               int32_t cpu, struct dg_fault *fault)
{
    struct dg_capture *const made = make(camera);
    *capture = NULL;
    if (!made)
        return DG_NO_MEMORY;
    const bool has_files = made->stream.camera.fd >= 0 && made->wake >= 0 && made->news >= 0;
    enum dg_status status = dg_refused(fault, has_files ? 0 : EMFILE, "eventfd");
    if (status == DG_OK)
        status = dg_stream_start(&made->stream, fault);
    if (status == DG_OK)
        status = start(made, cpu, fault);
    if (status != DG_OK)
        goto fail;
    *capture = made;
    return DG_OK;
fail:
    dg_capture_free(made);
    return status;
}

/* Takes what the thread offers, unless the capture was closed. */
static bool take_newest(struct dg_capture *capture, struct dg_shot *shot)
{
    pthread_mutex_lock(&capture->lending);
    const int32_t slot = capture->is_closed ? NONE : atomic_exchange(&capture->newest, NONE);
    if (slot != NONE) {
        *shot = capture->shots[slot];
        shot->dropped = shot->number - capture->next;
        capture->next = shot->number + 1;
        capture->is_lent[slot] = true;
    }
    pthread_mutex_unlock(&capture->lending);
    return slot != NONE;
}

enum dg_status dg_capture_take(struct dg_capture *capture, int timeout_ms, struct dg_shot *shot,
                               struct dg_fault *fault)
{
    struct pollfd waits = {.fd = capture->news, .events = POLLIN};
    *shot = (struct dg_shot){0};
    for (;;) {
        const bool has_ended = atomic_load(&capture->has_ended); /* its last offer counts */
        if (take_newest(capture, shot))
            return DG_OK;
        if (has_ended)
            return dg_refused(fault, capture->fault.error, capture->fault.step);
        if (poll(&waits, 1, timeout_ms) <= 0)
            return DG_OK;
        hush_bell(capture->news);
    }
}

void dg_capture_give_back(struct dg_capture *capture, int32_t slot)
{
    pthread_mutex_lock(&capture->lending);
    capture->is_lent[slot] = false;
    if (capture->is_closed)
        dg_stream_unmap(&capture->stream, slot);
    else
        dg_ring_push(&capture->returned, slot); /* it has room for every slot */
    pthread_mutex_unlock(&capture->lending);
    ring_bell(capture->wake);
}

static void stop_thread(struct dg_capture *capture)
{
    if (!capture->has_thread)
        return;
    atomic_store(&capture->is_ending, true);
    ring_bell(capture->wake);
    pthread_join(capture->thread, NULL);
}

void dg_capture_close(struct dg_capture *capture)
{
    pthread_mutex_lock(&capture->lending);
    if (!capture->is_closed) {
        capture->is_closed = true;
        stop_thread(capture);
        dg_stream_stop(&capture->stream);
        for (int32_t i = 0; i < capture->stream.count; i++) {
            if (!capture->is_lent[i])
                dg_stream_unmap(&capture->stream, i);
        }
        dg_stream_release(&capture->stream);
        close(capture->stream.camera.fd);
    }
    pthread_mutex_unlock(&capture->lending);
}

void dg_capture_free(struct dg_capture *capture)
{
    if (!capture)
        return;
    dg_capture_close(capture);
    close(capture->wake);
    close(capture->news);
    pthread_mutex_destroy(&capture->lending);
    free(capture);
}
