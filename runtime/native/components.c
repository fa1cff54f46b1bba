#include "components.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runs.h"

/* Spread below this share of the whole is rounding: the blob has no main axis. */
static const double ISOTROPIC = 1e-9;

/* A blob while its runs are added up; `blob.x` to `blob.height` are left, top, right and bottom. */
struct tally {
    struct dg_blob blob;
    int64_t value_sum, x_twice_sum, y_sum; /* x_twice: begin + end, two centres' worth, exact */
    double xx, yy, xy;                     /* second central moments in mask pixels, x area */
    double c, s;                           /* unit vector of the main axis */
    double nearest, furthest;              /* along it, of the centres */
    size_t number;
};

static bool is_positive(double length)
{
    return isfinite(length) && length > 0;
}

static bool is_side(int32_t length)
{
    return length >= 1 && length <= DG_SIDE_MAX;
}

static enum dg_status check(const struct dg_mask *mask, const struct dg_limits *limits)
{
    if (!is_side(mask->width) || !is_side(mask->height))
        return DG_BAD_MASK;
    if (limits->threshold < 1 || limits->threshold > 255)
        return DG_BAD_THRESHOLD;
    if (!isfinite(limits->min_area) || limits->min_area < 0)
        return DG_BAD_AREA;
    if (!is_positive(limits->scale_x) || !is_positive(limits->scale_y))
        return DG_BAD_SCALE;
    return DG_OK;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static void add_values(struct tally *tally, const struct dg_run *run, const uint8_t *row)
{
    for (int32_t x = run->begin; x < run->end; x++) {
        tally->value_sum += row[x];
        tally->blob.peak = larger(tally->blob.peak, row[x]);
    }
}

/* First pass: what the centre and the box need. */
static void add(struct tally *tally, const struct dg_run *run)
{
    struct dg_blob *const blob = &tally->blob;
    const int64_t pixels = run->end - run->begin;
    const bool is_first = blob->area == 0;
    blob->x = is_first ? run->begin : smaller(blob->x, run->begin);
    blob->y = is_first ? run->y : blob->y;
    blob->width = larger(blob->width, run->end);
    blob->height = run->y + 1;
    blob->area += pixels;
    tally->x_twice_sum += pixels * (run->begin + run->end);
    tally->y_sum += pixels * run->y;
}

/* Second pass: a run of n pixels has the moment n^3 / 12 along and n / 12 across, about itself. */
static void add_moments(struct tally *tally, const struct dg_run *run)
{
    const double pixels = run->end - run->begin, area = (double)tally->blob.area;
    const double x = (run->begin + run->end) / 2.0 - (double)tally->x_twice_sum / (2 * area);
    const double y = run->y - (double)tally->y_sum / area;
    tally->xx += pixels * (x * x + pixels * pixels / 12);
    tally->yy += pixels * (y * y + 1.0 / 12);
    tally->xy += pixels * x * y;
}

/* Half-angle formulas with square roots only, which give the same bits on every machine. */
static void find_axis(struct tally *tally, const struct dg_limits *limits)
{
    const double xx = tally->xx * limits->scale_x * limits->scale_x;
    const double yy = tally->yy * limits->scale_y * limits->scale_y;
    const double xy = tally->xy * limits->scale_x * limits->scale_y;
    const double spread = sqrt((xx - yy) * (xx - yy) + 4 * xy * xy);
    const double cosine = spread > ISOTROPIC * (xx + yy) ? (xx - yy) / spread : 1;
    tally->c = sqrt(fmax(0, (1 + cosine) / 2));
    tally->s = copysign(sqrt(fmax(0, (1 - cosine) / 2)), xy);
    tally->nearest = HUGE_VAL;
    tally->furthest = -HUGE_VAL;
}

/* Third pass: the outermost centres along the axis are those of some run's ends. */
static void add_reach(struct tally *tally, const struct dg_run *run, const struct dg_limits *limits)
{
    const double y = tally->s * limits->scale_y * run->y;
    const double first = tally->c * limits->scale_x * run->begin + y;
    const double last = tally->c * limits->scale_x * (run->end - 1) + y;
    tally->nearest = fmin(tally->nearest, fmin(first, last));
    tally->furthest = fmax(tally->furthest, fmax(first, last));
}

static void finish(struct tally *tally, size_t number, const struct dg_limits *limits)
{
    struct dg_blob *const blob = &tally->blob;
    blob->width -= blob->x;
    blob->height -= blob->y;
    blob->centre_x = (double)tally->x_twice_sum / (2 * (double)blob->area) * limits->scale_x;
    blob->centre_y = ((double)tally->y_sum / (double)blob->area + 0.5) * limits->scale_y;
    blob->mean = (double)tally->value_sum / (double)blob->area;
    blob->length = tally->furthest - tally->nearest + fabs(tally->c) * limits->scale_x +
                   fabs(tally->s) * limits->scale_y;
    tally->number = number;
}

static void measure(struct tally *tallies, const struct dg_runs *runs, const struct dg_mask *mask,
                    const struct dg_limits *limits)
{
    if (runs->count == 0)
        return;
    const struct dg_run *const first = runs->runs, *const end = first + runs->count;
    for (const struct dg_run *run = first; run < end; run++) {
        add(&tallies[run->blob], run);
        add_values(&tallies[run->blob], run, mask->values + run->y * mask->stride);
    }
    for (const struct dg_run *run = first; run < end; run++)
        add_moments(&tallies[run->blob], run);
    for (size_t i = 0; i < runs->blobs; i++)
        find_axis(&tallies[i], limits);
    for (const struct dg_run *run = first; run < end; run++)
        add_reach(&tallies[run->blob], run, limits);
    for (size_t i = 0; i < runs->blobs; i++)
        finish(&tallies[i], i, limits);
}

static bool is_large(const struct tally *tally, const struct dg_limits *limits)
{
    return (double)tally->blob.area * limits->scale_x * limits->scale_y >= limits->min_area;
}

static void write_kept(const struct dg_kept *kept, const struct dg_mask *mask,
                       const struct dg_runs *runs, const struct tally *tallies,
                       const struct dg_limits *limits)
{
    if (!kept->values)
        return;
    for (int32_t y = 0; y < mask->height; y++)
        memset(kept->values + y * kept->stride, 0, (size_t)mask->width);
    for (size_t i = 0; i < runs->count; i++) {
        const struct dg_run *const run = &runs->runs[i];
        if (is_large(&tallies[run->blob], limits))
            memset(kept->values + run->y * kept->stride + run->begin, 1,
                   (size_t)(run->end - run->begin));
    }
}

static int compare(const void *one, const void *other)
{
    const struct tally *const a = one, *const b = other;
    if (a->blob.area != b->blob.area)
        return a->blob.area > b->blob.area ? -1 : 1;
    if (a->blob.y != b->blob.y)
        return a->blob.y < b->blob.y ? -1 : 1;
    if (a->blob.x != b->blob.x)
        return a->blob.x < b->blob.x ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

static enum dg_status reserve(struct dg_blobs *found, const struct tally *tallies, size_t count,
                              const struct dg_limits *limits)
{
    size_t large = 0;
    for (size_t i = 0; i < count; i++)
        large += is_large(&tallies[i], limits);
    if (large == 0)
        return DG_OK;
    const size_t given = limits->most > 0 && limits->most < large ? limits->most : large;
    found->blobs = malloc(given * sizeof *found->blobs);
    if (!found->blobs)
        return DG_NO_MEMORY;
    found->count = given;
    found->others = large - given;
    return DG_OK;
}

/* Sorts the `tallies`; the small ones are then behind the large ones. */
static void collect(struct dg_blobs *found, struct tally *tallies, size_t count)
{
    qsort(tallies, count, sizeof *tallies, compare);
    for (size_t i = 0; i < found->count; i++)
        found->blobs[i] = tallies[i].blob;
}

enum dg_status dg_components(const struct dg_mask *mask, const struct dg_limits *limits,
                             const struct dg_kept *kept, struct dg_blobs *found)
{
    struct dg_runs runs = {0};
    struct tally *tallies = NULL;
    *found = (struct dg_blobs){0};
    enum dg_status status = check(mask, limits);
    if (status != DG_OK)
        return status;
    status = dg_runs_find(&runs, mask, limits->threshold);
    if (status != DG_OK)
        goto fail;
    tallies = calloc(runs.blobs + 1, sizeof *tallies);
    status = tallies ? DG_OK : DG_NO_MEMORY;
    if (status != DG_OK)
        goto fail;
    measure(tallies, &runs, mask, limits);
    status = reserve(found, tallies, runs.blobs, limits);
    if (status != DG_OK)
        goto fail;
    write_kept(kept, mask, &runs, tallies, limits);
    collect(found, tallies, runs.blobs);
fail:
    free(tallies);
    dg_runs_free(&runs);
    return status;
}

void dg_blobs_free(struct dg_blobs *found)
{
    free(found->blobs);
    *found = (struct dg_blobs){0};
}
