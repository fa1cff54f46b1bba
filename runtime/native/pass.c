#include "pass.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_TOTAL = 256, COLUMN_TOTAL = 16384, AHEAD_MAX = 8 };

static const struct dg_mix GREY_FROM_RGB = {.weights = {4899, 9617, 1868}, .shift = 14,
                                            .offset = 8192};

static const struct dg_mix GREY_FROM_Y = {.weights = {298}, .shift = 8, .offset = 128 - 298 * 16};

static bool is_yuv(const struct dg_pass *pass)
{
    return pass->layout->family == DG_FAMILY_YUYV || pass->layout->family == DG_FAMILY_NV12;
}

static bool has_half_rows(const struct dg_pass *pass)
{
    return pass->layout->family == DG_FAMILY_NV12 || pass->layout->family == DG_FAMILY_BAYER;
}

static void place(struct dg_pass *pass, const struct dg_frame *frame, const struct dg_rect *region)
{
    const struct dg_layout *const layout = pass->layout;
    const int32_t period = region->x / layout->columns;
    const int32_t last = (region->x + region->width - 1) / layout->columns;
    const int64_t first = (int64_t)period * layout->columns * layout->samples;
    const int64_t begin = dg_layout_bytes(layout, first);
    const int32_t y = region->y;
    pass->shift = region->x % layout->columns;
    pass->columns = (size_t)(last - period + 1) * (size_t)layout->columns;
    if (layout->family == DG_FAMILY_BAYER) {
        pass->strides[0] = pass->strides[1] = 2 * frame->stride;
        pass->corners[0] = frame->pixels + y / 2 * pass->strides[0] + begin;
        pass->corners[1] = pass->corners[0] + frame->stride;
    } else {
        pass->strides[0] = frame->stride;
        pass->corners[0] = frame->pixels + y * frame->stride + begin;
    }
    if (layout->family == DG_FAMILY_NV12) {
        pass->strides[1] = frame->chroma_stride;
        pass->corners[1] = frame->chroma + y / 2 * frame->chroma_stride + begin;
    }
}

static enum dg_status make_taps(struct dg_pass *pass, const struct dg_rect *region, int32_t height)
{
    enum dg_status status = dg_taps_make(&pass->rows, region->height, height, ROW_TOTAL);
    if (status == DG_OK && has_half_rows(pass))
        status = dg_taps_halve(&pass->half_rows, &pass->rows, region->y % 2);
    if (status == DG_OK)
        status = dg_taps_make(&pass->across, region->width, pass->width, COLUMN_TOTAL);
    if (status == DG_OK && pass->layout->columns > 1)
        status = dg_taps_halve(&pass->half_across, &pass->across, pass->shift);
    return status;
}

/* One piece of memory for the line, the samples and the planes, each with slack behind it. */
static enum dg_status make_room(struct dg_pass *pass)
{
    const size_t samples = pass->columns * (size_t)pass->layout->samples + DG_SLACK;
    const size_t channel = pass->columns + DG_SLACK, plane = (size_t)pass->width + DG_SLACK;
    const size_t words = samples + 4 * channel;
    pass->memory = calloc(words * sizeof *pass->line + 4 * plane, 1);
    if (!pass->memory)
        return DG_NO_MEMORY;
    pass->line = (uint16_t *)(void *)pass->memory;
    for (size_t c = 0; c < 4; c++)
        pass->samples[c] = pass->line + samples + c * channel;
    for (size_t c = 0; c < 4; c++)
        pass->planes[c] = pass->memory + words * sizeof *pass->line + c * plane;
    return DG_OK;
}

enum dg_status dg_pass_make(struct dg_pass *pass, const struct dg_kernels *kernels,
                            const struct dg_frame *frame, const struct dg_rect *region,
                            int32_t width, int32_t height, int32_t channels)
{
    *pass = (struct dg_pass){.kernels = kernels,
                             .layout = dg_layout_of(frame->format),
                             .width = width,
                             .channels = channels};
    place(pass, frame, region);
    enum dg_status status = make_taps(pass, region, height);
    if (status == DG_OK)
        status = make_room(pass);
    if (status != DG_OK)
        dg_pass_free(pass);
    return status;
}

/* The rows of output i: those without weight are left out, and one that is alone comes twice. */
static void choose_rows(struct dg_rows *rows, const struct dg_taps *taps, int32_t i,
                        const uint8_t *corner, ptrdiff_t stride)
{
    const int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
    rows->count = 0;
    for (int32_t k = 0; k < taps->count[i]; k++) {
        if (weights[k] == 0)
            continue;
        const bool is_alone = weights[k] == ROW_TOTAL;
        for (int32_t times = 0; times <= is_alone; times++) {
            rows->rows[rows->count] = corner + (taps->first[i] + k) * stride;
            rows->weights[rows->count++] = (uint8_t)(weights[k] >> is_alone);
        }
    }
    if (rows->count % 2) {
        rows->rows[rows->count] = rows->rows[rows->count - 1];
        rows->weights[rows->count++] = 0;
    }
}

/* Step 2 for one plane, or for one of the two rows of Bayer cells; to two parts in turn, or, where
 * there is no other, to one. */
static void average_rows(const struct dg_pass *pass, int32_t i, int32_t plane, uint16_t *one,
                         uint16_t *other)
{
    struct dg_rows rows;
    const enum dg_depth depth = pass->layout->depth;
    const bool is_half = pass->layout->family == DG_FAMILY_BAYER || plane == 1;
    choose_rows(&rows, is_half ? &pass->half_rows : &pass->rows, i, pass->corners[plane],
                pass->strides[plane]);
    rows.shift = pass->layout->shift;
    rows.ahead = pass->strides[plane] * (rows.count < AHEAD_MAX ? rows.count : AHEAD_MAX);
    const size_t samples = pass->columns * (size_t)pass->layout->samples;
    pass->kernels->average_rows[depth](one, other, samples, &rows);
}

static void average_cells(const struct dg_pass *pass, int32_t i)
{
    const int8_t *const order = pass->layout->order;
    const size_t cells = pass->columns / 2;
    for (int32_t row = 0; row < 2; row++)
        average_rows(pass, i, row, pass->samples[order[2 * row]],
                     pass->samples[order[2 * row + 1]]);
    uint16_t *restrict green = pass->samples[1];
    const uint16_t *restrict other = pass->samples[3];
    for (size_t j = 0; j < cells; j++)
        green[j] = (uint16_t)((green[j] + other[j] + 1) >> 1);
}

/* Fills pass->samples, a row of each channel. */
static void average_channels(const struct dg_pass *pass, int32_t i)
{
    const struct dg_kernels *const kernels = pass->kernels;
    const int8_t *const order = pass->layout->order;
    uint16_t *const *const samples = pass->samples;
    const bool is_colour = pass->channels == 3;
    switch (pass->layout->family) {
    case DG_FAMILY_GREY:
        average_rows(pass, i, 0, samples[0], NULL);
        break;
    case DG_FAMILY_RGB:
        average_rows(pass, i, 0, pass->line, NULL);
        kernels->deal_triples(
            (uint16_t *[]){samples[order[0]], samples[order[1]], samples[order[2]]}, pass->line,
            pass->columns);
        break;
    case DG_FAMILY_YUYV:
        average_rows(pass, i, 0, samples[order[0]], samples[order[1]]);
        if (is_colour)
            kernels->deal_pairs(samples[1], samples[2], samples[3], pass->columns / 2);
        break;
    case DG_FAMILY_NV12:
        average_rows(pass, i, 0, samples[0], NULL);
        if (is_colour)
            average_rows(pass, i, 1, samples[1], samples[2]);
        break;
    case DG_FAMILY_BAYER:
        average_cells(pass, i);
        break;
    }
}

/* Step 3. The channels of whole resolution come first. */
static void average_columns(const struct dg_pass *pass)
{
    const enum dg_family family = pass->layout->family;
    const bool is_one = family == DG_FAMILY_GREY || (is_yuv(pass) && pass->channels == 1);
    const int32_t channels = is_one ? 1 : 3;
    const int32_t whole = family == DG_FAMILY_BAYER ? 0 : is_yuv(pass) ? 1 : channels;
    uint16_t *const begins[] = {pass->samples[0] + pass->shift, pass->samples[1] + pass->shift,
                                pass->samples[2] + pass->shift};
    if (whole > 0)
        pass->kernels->average_columns(pass->planes, begins, whole, &pass->across);
    if (channels > whole)
        pass->kernels->average_columns(pass->planes + whole, pass->samples + whole,
                                       channels - whole, &pass->half_across);
}

/* Step 4. */
static void colour(const struct dg_pass *pass, uint8_t *pixels)
{
    const struct dg_kernels *const kernels = pass->kernels;
    uint8_t *const *const p = pass->planes;
    const uint8_t *const averages[] = {p[0], p[1], p[2]}, *const greys[] = {p[0], p[0], p[0]};
    const size_t width = (size_t)pass->width;
    const bool is_grey = pass->layout->family == DG_FAMILY_GREY;
    if (pass->channels == 3 && is_yuv(pass)) {
        kernels->rgb_from_yuv(pixels, averages, width);
    } else if (pass->channels == 3) {
        kernels->interleave(pixels, is_grey ? greys : averages, width);
    } else {
        if (!is_grey)
            kernels->mix(p[3], averages, is_yuv(pass) ? &GREY_FROM_Y : &GREY_FROM_RGB, width);
        memcpy(pixels, is_grey ? p[0] : p[3], width);
    }
}

void dg_pass_row(const struct dg_pass *pass, int32_t i, uint8_t *pixels)
{
    average_channels(pass, i);
    average_columns(pass);
    colour(pass, pixels);
}

void dg_pass_free(struct dg_pass *pass)
{
    dg_taps_free(&pass->rows);
    dg_taps_free(&pass->half_rows);
    dg_taps_free(&pass->across);
    dg_taps_free(&pass->half_across);
    free(pass->memory);
    *pass = (struct dg_pass){0};
}
