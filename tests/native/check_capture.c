/* dg_capture and dg_camera_* against a driver that is made up and fails where it is told. */

#define _GNU_SOURCE

#include <pthread.h>

#include "made_up_camera.h"

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

static void film_over(uint32_t sequence)
{
    film(sequence);
    wait_until_queued((int)device.buffers); /* the driver has its buffer again */
}

static void check_frames_of_a_driver_that_overwrites_stay(void)
{
    enum { KEPT = 5 };
    struct dg_shot shots[KEPT], none;
    struct dg_fault fault;
    device.overwrites = true;
    device.buffers = 2;
    struct dg_capture *const capture = opened();
    CLAIM(dg_capture_take(capture, AT_ONCE, &none, &fault) == DG_OK && !none.bytes);
    for (uint32_t i = 0; i < KEPT; i++) {
        for (uint32_t k = 0; k < 5; k++)
            film_over(100 + 5 * i + k);
        shots[i] = taken(capture);
        CLAIM(shots[i].number == 5 * i + 4 && shots[i].dropped == 4);
    }
    film_over(125);
    film_over(126); /* there is no room for it */
    CLAIM(taken(capture).number == 25);
    film_over(127);
    CLAIM(dg_capture_take(capture, AT_ONCE, &none, &fault) == DG_OK && !none.bytes);
    for (uint32_t i = 0; i < KEPT; i++)
        CLAIM(sequence_in(&shots[i]) == 104 + 5 * i && shots[i].bytes[0] == 104 + 5 * i);
    dg_capture_give_back(capture, shots[0].slot);
    film_over(128);
    CLAIM(taken(capture).dropped == 2);
    shut(capture);
    device.overwrites = false;
    device.buffers = BUFFERS;
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
    const uint32_t fields[] = {V4L2_FIELD_NONE, V4L2_FIELD_TOP, V4L2_FIELD_INTERLACED,
                               V4L2_FIELD_ALTERNATE};
    for (size_t i = 0; i < 4; i++) {
        device.field = fields[i];
        const enum dg_status status = dg_camera_negotiate(&camera, &wishes[0], &mode, &fault);
        CLAIM(i ? status == DG_DEVICE && fault.error == EMEDIUMTYPE : status == DG_OK);
    }
    device.field = V4L2_FIELD_ANY;
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
    uint64_t seen = 0;
    bool is_last = false;
    CLAIM(pthread_create(&film_thread, NULL, film_many, NULL) == 0);
    while (!is_last) {
        struct dg_shot shot = taken(capture);
        seen += 1 + shot.dropped;
        is_last = sequence_in(&shot) == FRAMES;
        CLAIM(shot.bytes[0] == shot.bytes[LENGTH - 5]);
        void *pair[] = {capture, &shot.slot};
        CLAIM(pthread_create(&other, NULL, give_one_back, pair) == 0);
        CLAIM(pthread_join(other, NULL) == 0);
    }
    CLAIM(seen == FRAMES + 1);
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
    check_frames_of_a_driver_that_overwrites_stay();
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
