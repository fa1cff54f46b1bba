/* dg_preprocess, bit by bit, against its definition computed pixel by pixel. */

#include <pthread.h>

#include "definition.h"

enum { GUARD = 0xA5, THREADS = 4 };

static struct dg_rect rect_within(int32_t width, int32_t height)
{
    struct dg_rect rect = {.width = noise_between(1, width), .height = noise_between(1, height)};
    rect.x = noise_between(0, width - rect.width);
    rect.y = noise_between(0, height - rect.height);
    return rect;
}

/* Rows of noise; gives the first byte of row 0. */
static uint8_t *make_plane(uint8_t **memory, ptrdiff_t *stride, int32_t row, int32_t height)
{
    const int32_t step = row + noise_between(0, 5);
    const bool is_flipped = noise() % 4 == 0;
    const bool is_extreme = noise() % 4 == 0;
    const size_t bytes = (size_t)(row + (height - 1) * step);
    *memory = malloc(bytes);
    CLAIM(*memory);
    for (size_t i = 0; i < bytes; i++)
        (*memory)[i] = is_extreme ? (uint8_t)(noise() % 2 ? 255 : 0) : (uint8_t)noise();
    *stride = is_flipped ? -step : step;
    return *memory + (is_flipped ? (height - 1) * step : 0);
}

static void make_frame(struct job *job, enum dg_format format, int32_t width, int32_t height)
{
    struct dg_frame *const frame = &job->frame;
    *frame = (struct dg_frame){.width = width, .height = height, .format = format};
    frame->pixels = make_plane(&job->memory, &frame->stride, row_bytes(format, width), height);
    if (format == DG_NV12)
        frame->chroma = make_plane(&job->chroma, &frame->chroma_stride, width, height / 2);
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
    make_frame(&job, format, 4 * noise_between(1, 24), 2 * noise_between(1, 16));
    make_out(&job, noise_between(1, 40), noise_between(1, 24), channels);
    job.turn = (struct dg_turn){noise_between(0, 3), noise_between(0, 1)};
    const bool is_turned = job.turn.quarters % 2;
    job.region = rect_within(is_turned ? job.frame.height : job.frame.width,
                             is_turned ? job.frame.width : job.frame.height);
    job.target = rect_within(job.out.width, job.out.height);
    return job;
}

static void give_back(struct job *job)
{
    free(job->memory);
    free(job->chroma);
    free(job->out.pixels);
    free(job->wanted);
}

static enum dg_status run(const struct job *job)
{
    return dg_preprocess(&job->frame, job->region, job->turn, &job->out, job->target, FILL);
}

static enum dg_status run_plain(const struct job *job)
{
    return dg_preprocess_plain(&job->frame, job->region, job->turn, &job->out, job->target, FILL);
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

static void check_job(struct job *job)
{
    compute_wanted(job);
    CLAIM(run(job) == DG_OK);
    CLAIM(is_as_wanted(job));
    memset(job->out.pixels, GUARD, out_bytes(job));
    CLAIM(run_plain(job) == DG_OK);
    CLAIM(is_as_wanted(job));
    give_back(job);
}

static void check_bits(enum dg_format format, int32_t channels)
{
    for (int i = 0; i < 30; i++) {
        struct job job = random_job(format, channels);
        check_job(&job);
    }
}

/* Longer than the widest registers, at sides that are a multiple of nothing. */
static void check_a_large_frame(enum dg_format format)
{
    struct job job = {0};
    make_frame(&job, format, 332, 38);
    make_out(&job, noise_between(40, 150), noise_between(5, 20), 3);
    job.region = (struct dg_rect){1, 1, 329, 35};
    job.target = (struct dg_rect){0, 0, job.out.width, job.out.height};
    check_job(&job);
}

/* The strongest shrink there is, on a frame of one value: the sums are at their ends. */
static void check_ends_of_range(enum dg_format format, uint8_t value)
{
    struct job job = {0};
    make_frame(&job, format, 2 * DG_SHRINK_MAX, DG_SHRINK_MAX);
    make_out(&job, 2, 1, 3);
    for (int32_t y = 0; y < job.frame.height; y++)
        memset(job.memory + y * labs(job.frame.stride), value,
               (size_t)row_bytes(format, job.frame.width));
    job.region = (struct dg_rect){.width = job.frame.width, .height = job.frame.height};
    job.target = (struct dg_rect){.width = 2, .height = 1};
    check_job(&job);
}

static void check_refusals(void)
{
    struct job job = random_job(DG_YUYV, 3);
    job.turn = (struct dg_turn){0};
    job.region = (struct dg_rect){0, 0, job.frame.width, job.frame.height};
    job.target = (struct dg_rect){0, 0, job.out.width, job.out.height};
    const struct job good = job;
    const int32_t most = INT32_MAX, least = INT32_MIN;
    const struct dg_rect outside[] = {
        {-1, 0, 1, 1},       {0, -1, 1, 1},       {0, 0, 0, 1},          {0, 0, 1, 0},
        {0, 0, -1, 1},       {most, 0, 1, 1},     {0, most, 1, 1},       {0, 0, most, 1},
        {0, 0, 1, most},     {most, 0, most, 1},  {least, 0, least, 1},  {1, 1, most, most},
        {0, 0, 1000, 1},     {0, 0, 1, 1000},     {least, least, 1, 1},  {96, 32, 40, 40},
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
    job.turn.quarters = 4;
    CLAIM(run(&job) == DG_BAD_TURN);
    job.turn.quarters = -1;
    CLAIM(run(&job) == DG_BAD_TURN);
    job = good;
    job.out.channels = 2;
    CLAIM(run(&job) == DG_BAD_OUT);
    job = good;
    job.out.height = 0;
    CLAIM(run(&job) == DG_BAD_OUT);
    job = good;
    job.frame.format = DG_FORMATS;
    CLAIM(run(&job) == DG_BAD_FORMAT);
    CLAIM(is_untouched(&good));
    job = good;
    give_back(&job);
}

static void check_odd_sides(enum dg_format format, bool is_odd_row_fine)
{
    struct job job = random_job(format, 1);
    job.frame.width -= 2 + !is_packed(format);
    CLAIM(run(&job) == DG_BAD_FRAME);
    job.frame.width += 2 + !is_packed(format);
    job.frame.height--;
    job.region = (struct dg_rect){0, 0, 1, 1};
    CLAIM(run(&job) == (is_odd_row_fine && job.frame.height > 0 ? DG_OK : DG_BAD_FRAME));
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
    struct job job = random_job(DG_NV12, 3);
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
    CLAIM(survivors >= 14); /* twelve of the four tables, two of the pass, and windows */
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
            jobs[i].turn.quarters = i;
            jobs[i].region = (struct dg_rect){1, 1, 1, 1};
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
    for (enum dg_format format = 0; format < DG_FORMATS; format++) {
        check_bits(format, 1);
        check_bits(format, 3);
        check_a_large_frame(format);
        check_ends_of_range(format, 0);
        check_ends_of_range(format, 255);
    }
    check_refusals();
    check_odd_sides(DG_YUYV, true);
    check_odd_sides(DG_UYVY, true);
    check_odd_sides(DG_NV12, false);
    check_odd_sides(DG_GBRG8, false);
    check_odd_sides(DG_BGGR10, false);
    check_odd_sides(DG_Y10P, true);
    check_odd_sides(DG_RGGB10P, false);
    check_too_strong_a_shrink();
    check_failing_allocations();
    check_threads_share_a_frame();
    return 0;
}
