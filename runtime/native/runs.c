#include "runs.h"

#include <stdbool.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64, BLANK_STEP = 32 };

static enum dg_status append(struct dg_runs *runs, struct dg_run run)
{
    if (runs->count == runs->room) {
        const size_t room = runs->room ? 2 * runs->room : FIRST_ROOM;
        struct dg_run *const more = realloc(runs->runs, room * sizeof *more);
        if (!more)
            return DG_NO_MEMORY;
        runs->runs = more;
        runs->room = room;
    }
    run.blob = runs->count; /* for now, `blob` is the index of a parent run: a new one is a root */
    runs->runs[runs->count++] = run;
    return DG_OK;
}

static size_t root_of(struct dg_run *runs, size_t index)
{
    while (runs[index].blob != index) {
        runs[index].blob = runs[runs[index].blob].blob;
        index = runs[index].blob;
    }
    return index;
}

/* The root is always the first run of its component. */
static void join(struct dg_run *runs, size_t one, size_t other)
{
    const size_t a = root_of(runs, one), b = root_of(runs, other);
    runs[a > b ? a : b].blob = a > b ? b : a;
}

/* A loop of fixed length, so that the compiler takes the values all at once. */
static bool is_blank(const uint8_t *values, uint8_t threshold)
{
    uint8_t largest = 0;
    for (int i = 0; i < BLANK_STEP; i++)
        largest = values[i] > largest ? values[i] : largest;
    return largest < threshold;
}

static int32_t next_begin(const uint8_t *row, int32_t x, int32_t width, uint8_t threshold)
{
    while (x <= width - BLANK_STEP && is_blank(row + x, threshold))
        x += BLANK_STEP;
    while (x < width && row[x] < threshold)
        x++;
    return x;
}

static enum dg_status find_in_row(struct dg_runs *runs, const uint8_t *row, int32_t y,
                                  int32_t width, uint8_t threshold)
{
    int32_t x = next_begin(row, 0, width, threshold);
    while (x < width) {
        const int32_t begin = x;
        while (x < width && row[x] >= threshold)
            x++;
        const struct dg_run run = {.y = y, .begin = begin, .end = x};
        if (append(runs, run) != DG_OK)
            return DG_NO_MEMORY;
        x = next_begin(row, x, width, threshold);
    }
    return DG_OK;
}

/* Joins the runs `above` .. `here` - 1 of one row with those of the next that touch them. */
static void join_rows(struct dg_runs *runs, size_t above, size_t here)
{
    size_t upper = above, lower = here;
    while (upper < here && lower < runs->count) {
        const struct dg_run *const a = &runs->runs[upper], *const b = &runs->runs[lower];
        const int32_t a_end = a->end, b_end = b->end;
        if (a->begin <= b_end && b->begin <= a_end)
            join(runs->runs, upper, lower);
        if (a_end < b_end)
            upper++;
        else
            lower++;
    }
}

/* A parent comes before its children, so its number is there when theirs is asked for. */
static void number_blobs(struct dg_runs *runs)
{
    for (size_t i = 0; i < runs->count; i++) {
        struct dg_run *const run = &runs->runs[i];
        run->blob = run->blob == i ? runs->blobs++ : runs->runs[run->blob].blob;
    }
}

enum dg_status dg_runs_find(struct dg_runs *runs, const struct dg_mask *mask, int32_t threshold)
{
    *runs = (struct dg_runs){0};
    size_t above = 0;
    for (int32_t y = 0; y < mask->height; y++) {
        const size_t here = runs->count;
        const uint8_t *const row = mask->values + y * mask->stride;
        if (find_in_row(runs, row, y, mask->width, (uint8_t)threshold) != DG_OK)
            goto fail;
        join_rows(runs, above, here);
        above = here;
    }
    number_blobs(runs);
    return DG_OK;
fail:
    dg_runs_free(runs);
    return DG_NO_MEMORY;
}

void dg_runs_free(struct dg_runs *runs)
{
    free(runs->runs);
    *runs = (struct dg_runs){0};
}
