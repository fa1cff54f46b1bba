/* dg_preprocess, bit by bit, against its definition computed pixel by pixel. */

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "preprocess.h"
#include "taps.h"

enum { GUARD = 0xA5, FILL = 77, THREADS = 4 };

/* A frame and an output that own their memory, to the byte, so that sanitizers see a step out. */
struct job {
    struct dg_frame frame;
    struct dg_image out;
    struct dg_rect region, target;
    uint8_t *memory; /* the frame's */
    size_t bytes;    /* of `memory` */
    uint8_t *wanted; /* what `out` must become */
};

static int32_t bytes_per_pixel(enum dg_format format)
{
    return format == DG_GREY ? 1 : format == DG_BGR ? 3 : 2;
}

static size_t out_bytes(const struct job *job)
{
    return (size_t)job->out.width * (size_t)job->out.height * (size_t)job->out.channels;
}

static struct dg_rect rect_within(int32_t width, int32_t height)
{
    struct dg_rect rect = {.width = noise_between(1, width), .height = noise_between(1, height)};
    rect.x = noise_between(0, width - rect.width);
    rect.y = noise_between(0, height - rect.height);
    return rect;
}

/* Channel c of a frame's pixel: B G R, Y U V or grey. */
static uint8_t sample(const struct dg_frame *frame, int32_t x, int32_t y, int32_t c)
{
    const uint8_t *const row = frame->pixels + y * frame->stride;
    if (frame->format != DG_YUYV)
        return row[x * bytes_per_pixel(frame->format) + c];
    return c == 0 ? row[2 * x] : row[4 * (x / 2) + 2 * c - 1];
}

static const int16_t *weights_of(const struct dg_taps *taps, int32_t i)
{
    return taps->weights + i * taps->longest;
}

static int32_t average(const struct job *job, const struct dg_taps *rows,
                       const struct dg_taps *columns, int32_t i, int32_t j, int32_t c)
{
    int64_t sum = 1 << 20;
    for (int32_t m = 0; m < columns->count[j]; m++) {
        int32_t line = 0;
        for (int32_t k = 0; k < rows->count[i]; k++)
            line += weights_of(rows, i)[k] * sample(&job->frame,
                                                    job->region.x + columns->first[j] + m,
                                                    job->region.y + rows->first[i] + k, c);
        CLAIM(line <= UINT16_MAX);
        sum += weights_of(columns, j)[m] * (int64_t)(line / 2);
    }
    CLAIM(sum <= INT32_MAX);
    return (int32_t)(sum / (1 << 21));
}

static uint8_t clipped(int32_t numerator)
{
    return (uint8_t)(numerator < 0 ? 0 : numerator >= 65536 ? 255 : numerator / 256);
}

/* The pixel's colour from its averages: a is B G R, Y U V or grey. */
static void colour_of(const struct job *job, const int32_t *a, uint8_t *pixel)
{
    const int32_t luma = 298 * (a[0] - 16) + 128, u = a[1] - 128, v = a[2] - 128;
    const bool is_grey = job->out.channels == 1;
    for (int32_t c = 0; c < job->out.channels; c++) {
        const int32_t tint = c == 0 ? 409 * v : c == 1 ? -100 * u - 208 * v : 516 * u;
        if (job->frame.format == DG_GREY)
            pixel[c] = (uint8_t)a[0];
        else if (job->frame.format == DG_YUYV)
            pixel[c] = clipped(is_grey ? luma : luma + tint);
        else if (is_grey)
            pixel[c] = (uint8_t)((4899 * a[2] + 9617 * a[1] + 1868 * a[0] + 8192) / 16384);
        else
            pixel[c] = (uint8_t)a[2 - c];
    }
}

static void compute_wanted(struct job *job)
{
    struct dg_taps rows, columns;
    CLAIM(dg_taps_make(&rows, job->region.height, job->target.height, 256) == DG_OK);
    CLAIM(dg_taps_make(&columns, job->region.width, job->target.width, 16384) == DG_OK);
    memset(job->wanted, FILL, out_bytes(job));
    for (int32_t i = 0; i < job->target.height; i++) {
        for (int32_t j = 0; j < job->target.width; j++) {
            int32_t averages[3] = {0};
            for (int32_t c = 0; c < (job->frame.format == DG_GREY ? 1 : 3); c++)
                averages[c] = average(job, &rows, &columns, i, j, c);
            const int32_t at = (job->target.y + i) * job->out.width + job->target.x + j;
            colour_of(job, averages, job->wanted + at * job->out.channels);
        }
    }
    dg_taps_free(&rows);
    dg_taps_free(&columns);
}

static void make_frame(struct job *job, enum dg_format format, int32_t width, int32_t height)
{
    const int32_t row = width * bytes_per_pixel(format), gap = noise_between(0, 5);
    const bool is_flipped = noise() % 4 == 0;
    const bool is_extreme = noise() % 4 == 0;
    job->bytes = (size_t)(row + (height - 1) * (row + gap));
    job->memory = malloc(job->bytes);
    CLAIM(job->memory);
    for (size_t i = 0; i < job->bytes; i++)
        job->memory[i] = is_extreme ? (uint8_t)(noise() % 2 ? 255 : 0) : (uint8_t)noise();
    job->frame = (struct dg_frame){
        .pixels = job->memory + (is_flipped ? (height - 1) * (row + gap) : 0),
        .stride = is_flipped ? -(row + gap) : row + gap,
        .width = width,
        .height = height,
        .format = format,
    };
}

static void make_out(struct job *job, int32_t width, int32_t height, int32_t channels)
{
    job->out = (struct dg_image){.width = width, .height = height, .channels = channels};
    job->out.pixels = malloc(out_bytes(job));
    job->wanted = malloc(out_bytes(job));
    CLAIM(job->out.pixels && job->wanted);
    memset(job->out.pixels, GUARD, out_bytes(job));
}

static struct job random_job(enum dg_format format, int32_t channels)
{
    struct job job = {0};
    make_frame(&job, format, 2 * noise_between(1, 24), noise_between(1, 32));
    make_out(&job, noise_between(1, 40), noise_between(1, 24), channels);
    job.region = rect_within(job.frame.width, job.frame.height);
    job.target = rect_within(job.out.width, job.out.height);
    return job;
}

static void give_back(struct job *job)
{
    free(job->memory);
    free(job->out.pixels);
    free(job->wanted);
}

static enum dg_status run(const struct job *job)
{
    return dg_preprocess(&job->frame, job->region, &job->out, job->target, FILL);
}

static bool is_as_wanted(const struct job *job)
{
    return memcmp(job->out.pixels, job->wanted, out_bytes(job)) == 0;
}

static bool is_untouched(const struct job *job)
{
    for (size_t i = 0; i < out_bytes(job); i++) {
        if (job->out.pixels[i] != GUARD)
            return false;
    }
    return true;
}

static void check_bits(enum dg_format format, int32_t channels)
{
    for (int i = 0; i < 40; i++) {
        struct job job = random_job(format, channels);
        compute_wanted(&job);
        CLAIM(run(&job) == DG_OK);
        CLAIM(is_as_wanted(&job));
        give_back(&job);
    }
}

/* The strongest shrink there is, on a frame of one value: the sums are at their ends. */
static void check_ends_of_range(enum dg_format format, uint8_t value)
{
    struct job job = {0};
    make_frame(&job, format, 2 * DG_SHRINK_MAX, DG_SHRINK_MAX);
    make_out(&job, 2, 1, 3);
    memset(job.memory, value, job.bytes);
    job.region = (struct dg_rect){.width = job.frame.width, .height = job.frame.height};
    job.target = (struct dg_rect){.width = 2, .height = 1};
    compute_wanted(&job);
    CLAIM(run(&job) == DG_OK);
    CLAIM(is_as_wanted(&job));
    give_back(&job);
}

static void check_refusals(void)
{
    struct job job = random_job(DG_YUYV, 3);
    job.region = (struct dg_rect){0, 0, job.frame.width, job.frame.height};
    job.target = (struct dg_rect){0, 0, job.out.width, job.out.height};
    const struct job good = job;
    const int32_t most = INT32_MAX, least = INT32_MIN;
    const struct dg_rect outside[] = {
        {-1, 0, 1, 1},       {0, -1, 1, 1},       {0, 0, 0, 1},          {0, 0, 1, 0},
        {0, 0, -1, 1},       {most, 0, 1, 1},     {0, most, 1, 1},       {0, 0, most, 1},
        {0, 0, 1, most},     {most, 0, most, 1},  {least, 0, least, 1},  {1, 1, most, most},
        {0, 0, 1000, 1},     {0, 0, 1, 1000},     {least, least, 1, 1},  {48, 32, 40, 40},
    };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        job.region = outside[i];
        CLAIM(run(&job) == DG_BAD_REGION);
        job.region = good.region;
        job.target = outside[i];
        CLAIM(run(&job) == DG_BAD_TARGET);
        job = good;
    }
    job.frame.width--;
    CLAIM(run(&job) == DG_BAD_FRAME);
    job.frame.width = 0;
    CLAIM(run(&job) == DG_BAD_FRAME);
    job.frame.width = DG_SIDE_MAX + 2;
    CLAIM(run(&job) == DG_BAD_FRAME);
    job = good;
    job.out.channels = 2;
    CLAIM(run(&job) == DG_BAD_OUT);
    job = good;
    job.out.height = 0;
    CLAIM(run(&job) == DG_BAD_OUT);
    job = good;
    job.frame.format = (enum dg_format)3;
    CLAIM(run(&job) == DG_BAD_FORMAT);
    CLAIM(is_untouched(&good));
    job = good;
    give_back(&job);
}

static void check_too_strong_a_shrink(void)
{
    struct job job = {0};
    make_frame(&job, DG_GREY, DG_SHRINK_MAX + 1, 2);
    make_out(&job, 1, 1, 1);
    job.region = (struct dg_rect){0, 0, job.frame.width, 2};
    job.target = (struct dg_rect){0, 0, 1, 1};
    CLAIM(run(&job) == DG_BAD_SHRINK);
    CLAIM(is_untouched(&job));
    give_back(&job);
}

static void check_failing_allocations(void)
{
    struct job job = random_job(DG_YUYV, 3);
    compute_wanted(&job);
    int survivors = 0;
    for (;; survivors++) {
        allocations_left = survivors;
        const enum dg_status status = run(&job);
        allocations_left = -1;
        if (status == DG_OK)
            break;
        CLAIM(status == DG_NO_MEMORY);
        CLAIM(is_untouched(&job));
    }
    CLAIM(survivors == 11);
    CLAIM(is_as_wanted(&job));
    give_back(&job);
}

static void *run_often(void *job)
{
    for (int i = 0; i < 20; i++)
        CLAIM(run(job) == DG_OK);
    return NULL;
}

static void check_threads_share_a_frame(void)
{
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    jobs[0] = random_job(DG_BGR, 1);
    for (int i = 0; i < THREADS; i++) {
        if (i > 0) {
            jobs[i] = jobs[0];
            make_out(&jobs[i], jobs[0].out.width, jobs[0].out.height, 1);
        }
        compute_wanted(&jobs[i]);
    }
    for (int i = 0; i < THREADS; i++)
        CLAIM(pthread_create(&threads[i], NULL, run_often, &jobs[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CLAIM(pthread_join(threads[i], NULL) == 0);
        CLAIM(is_as_wanted(&jobs[i]));
        if (i > 0)
            jobs[i].memory = NULL;
    }
    for (int i = 0; i < THREADS; i++)
        give_back(&jobs[i]);
}

int main(void)
{
    const enum dg_format formats[] = {DG_GREY, DG_BGR, DG_YUYV};
    for (int i = 0; i < 3; i++) {
        check_bits(formats[i], 1);
        check_bits(formats[i], 3);
        check_ends_of_range(formats[i], 0);
        check_ends_of_range(formats[i], 255);
    }
    check_refusals();
    check_too_strong_a_shrink();
    check_failing_allocations();
    check_threads_share_a_frame();
    return 0;
}
