#include "preprocess.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "taps.h"

enum {
    ROW_TOTAL = 256,
    COLUMN_TOTAL = 16384,
    COLUMN_SHIFT = 21 /* 7 bits that the rows left, 14 of the columns' weights */
};

/* What one call works with: the tables, an averaged row, its channels at the target's width. */
struct scratch {
    struct dg_taps rows, columns, chroma;
    uint16_t *line;  /* (bytes of the region's row) */
    uint8_t *planes; /* (3, target width) */
};

static bool is_side(int32_t length)
{
    return length >= 1 && length <= DG_SIDE_MAX;
}

static bool is_inside(const struct dg_rect *rect, int32_t width, int32_t height)
{
    return rect->x >= 0 && rect->y >= 0 && rect->width >= 1 && rect->height >= 1 &&
           rect->x <= width - rect->width && rect->y <= height - rect->height;
}

static bool is_frame(const struct dg_frame *frame)
{
    const bool is_paired = frame->format != DG_YUYV || frame->width % 2 == 0;
    return is_side(frame->width) && is_side(frame->height) && is_paired;
}

static enum dg_status check(const struct dg_frame *frame, const struct dg_rect *region,
                            const struct dg_image *out, const struct dg_rect *target)
{
    if (frame->format != DG_GREY && frame->format != DG_BGR && frame->format != DG_YUYV)
        return DG_BAD_FORMAT;
    if (!is_frame(frame))
        return DG_BAD_FRAME;
    if (!is_side(out->width) || !is_side(out->height) || (out->channels != 1 && out->channels != 3))
        return DG_BAD_OUT;
    if (!is_inside(region, frame->width, frame->height))
        return DG_BAD_REGION;
    if (!is_inside(target, out->width, out->height))
        return DG_BAD_TARGET;
    if (region->width > DG_SHRINK_MAX * (int64_t)target->width ||
        region->height > DG_SHRINK_MAX * (int64_t)target->height)
        return DG_BAD_SHRINK;
    return DG_OK;
}

/* The columns of the frame that a region needs: in YUYV, whole pairs. */
struct span {
    size_t begin, bytes; /* of each row */
    int32_t shift;       /* the region's first column within its pair */
};

static struct span span_of(enum dg_format format, const struct dg_rect *region)
{
    const size_t x = (size_t)region->x, width = (size_t)region->width;
    if (format == DG_GREY)
        return (struct span){.begin = x, .bytes = width};
    if (format == DG_BGR)
        return (struct span){.begin = 3 * x, .bytes = 3 * width};
    const size_t first = x / 2, last = (x + width - 1) / 2;
    return (struct span){
        .begin = 4 * first, .bytes = 4 * (last - first + 1), .shift = region->x % 2};
}

static enum dg_status prepare(struct scratch *scratch, enum dg_format format,
                              const struct dg_rect *region, const struct dg_rect *target)
{
    const struct span span = span_of(format, region);
    enum dg_status status = dg_taps_make(&scratch->rows, region->height, target->height, ROW_TOTAL);
    if (status == DG_OK)
        status = dg_taps_make(&scratch->columns, region->width, target->width, COLUMN_TOTAL);
    if (status == DG_OK && format == DG_YUYV)
        status = dg_taps_halve(&scratch->chroma, &scratch->columns, span.shift);
    if (status != DG_OK)
        return status;
    scratch->line = calloc(span.bytes, sizeof *scratch->line);
    scratch->planes = calloc((size_t)target->width, 3);
    return scratch->line && scratch->planes ? DG_OK : DG_NO_MEMORY;
}

static void scratch_free(struct scratch *scratch)
{
    dg_taps_free(&scratch->rows);
    dg_taps_free(&scratch->columns);
    dg_taps_free(&scratch->chroma);
    free(scratch->line);
    free(scratch->planes);
}

/* Step 1: `rows` begins at the first byte of the first tap. */
static void average_rows(uint16_t *restrict line, size_t bytes, const uint8_t *rows,
                         ptrdiff_t stride, const int16_t *weights, int32_t count)
{
    memset(line, 0, bytes * sizeof *line);
    for (int32_t k = 0; k < count; k++) {
        const uint8_t *restrict row = rows + k * stride;
        const uint16_t weight = (uint16_t)weights[k];
        for (size_t j = 0; j < bytes; j++)
            line[j] = (uint16_t)(line[j] + weight * row[j]);
    }
    for (size_t j = 0; j < bytes; j++)
        line[j] = (uint16_t)(line[j] >> 1);
}

/* Step 2 for one channel, whose samples lie `step` apart from line[0] on. */
static void average_columns(uint8_t *restrict plane, const struct dg_taps *taps,
                            const uint16_t *restrict line, int32_t step)
{
    for (int32_t i = 0; i < taps->length; i++) {
        const int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
        const uint16_t *const samples = line + (size_t)taps->first[i] * (size_t)step;
        int32_t sum = 1 << (COLUMN_SHIFT - 1);
        for (int32_t k = 0; k < taps->count[i]; k++)
            sum += weights[k] * samples[k * step];
        plane[i] = (uint8_t)(sum >> COLUMN_SHIFT);
    }
}

static void split_channels(const struct scratch *scratch, enum dg_format format, int32_t shift,
                           bool is_colour)
{
    const struct dg_taps *const columns = &scratch->columns;
    const size_t width = (size_t)columns->length;
    uint8_t *const planes = scratch->planes;
    const uint16_t *const line = scratch->line;
    if (format == DG_GREY) {
        average_columns(planes, columns, line, 1);
    } else if (format == DG_BGR) {
        for (size_t c = 0; c < 3; c++)
            average_columns(planes + c * width, columns, line + c, 3);
    } else {
        average_columns(planes, columns, line + 2 * shift, 2);
        for (size_t c = 1; is_colour && c < 3; c++)
            average_columns(planes + c * width, &scratch->chroma, line + 2 * c - 1, 4);
    }
}

static uint8_t clip(int32_t sum)
{
    const int32_t level = sum < 0 ? 0 : sum >> 8;
    return (uint8_t)(level > 255 ? 255 : level);
}

static void rgb_from_yuv(uint8_t *restrict pixels, const uint8_t *restrict planes, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        const int32_t c = 298 * (planes[i] - 16) + 128;
        const int32_t u = planes[width + i] - 128, v = planes[2 * width + i] - 128;
        pixels[3 * i] = clip(c + 409 * v);
        pixels[3 * i + 1] = clip(c - 100 * u - 208 * v);
        pixels[3 * i + 2] = clip(c + 516 * u);
    }
}

static void grey_from_bgr(uint8_t *restrict pixels, const uint8_t *restrict planes, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        const int32_t b = planes[i], g = planes[width + i], r = planes[2 * width + i];
        pixels[i] = (uint8_t)((4899 * r + 9617 * g + 1868 * b + 8192) >> 14);
    }
}

/* Step 3 for one row of the target. */
static void colour(uint8_t *restrict pixels, const uint8_t *restrict planes, size_t width,
                   enum dg_format format, bool is_colour)
{
    if (format == DG_YUYV && is_colour) {
        rgb_from_yuv(pixels, planes, width);
    } else if (format == DG_BGR && !is_colour) {
        grey_from_bgr(pixels, planes, width);
    } else if (format == DG_BGR) {
        for (size_t i = 0; i < 3 * width; i++)
            pixels[i] = planes[(2 - i % 3) * width + i / 3];
    } else if (format == DG_YUYV) {
        for (size_t i = 0; i < width; i++)
            pixels[i] = clip(298 * (planes[i] - 16) + 128);
    } else {
        const size_t channels = is_colour ? 3 : 1;
        for (size_t i = 0; i < channels * width; i++)
            pixels[i] = planes[i / channels];
    }
}

static void fill_around(const struct dg_image *out, const struct dg_rect *target, uint8_t fill)
{
    const size_t channels = (size_t)out->channels, row = (size_t)out->width * channels;
    const size_t left = (size_t)target->x * channels, wide = (size_t)target->width * channels;
    const size_t top = (size_t)target->y, bottom = top + (size_t)target->height;
    memset(out->pixels, fill, top * row);
    for (size_t y = top; y < bottom; y++) {
        memset(out->pixels + y * row, fill, left);
        memset(out->pixels + y * row + left + wide, fill, row - left - wide);
    }
    memset(out->pixels + bottom * row, fill, ((size_t)out->height - bottom) * row);
}

enum dg_status dg_preprocess(const struct dg_frame *frame, struct dg_rect region,
                             const struct dg_image *out, struct dg_rect target, uint8_t fill)
{
    struct scratch scratch = {0};
    enum dg_status status = check(frame, &region, out, &target);
    if (status != DG_OK)
        return status;
    status = prepare(&scratch, frame->format, &region, &target);
    if (status != DG_OK)
        goto fail;
    fill_around(out, &target, fill);
    const struct span span = span_of(frame->format, &region);
    const uint8_t *const corner = frame->pixels + region.y * frame->stride + span.begin;
    const bool is_colour = out->channels == 3;
    for (int32_t i = 0; i < target.height; i++) {
        const struct dg_taps *const rows = &scratch.rows;
        average_rows(scratch.line, span.bytes, corner + rows->first[i] * frame->stride,
                     frame->stride, rows->weights + (size_t)i * (size_t)rows->longest,
                     rows->count[i]);
        split_channels(&scratch, frame->format, span.shift, is_colour);
        const size_t y = (size_t)(target.y + i), x = (size_t)target.x;
        uint8_t *const pixels =
            out->pixels + (y * (size_t)out->width + x) * (size_t)out->channels;
        colour(pixels, scratch.planes, (size_t)target.width, frame->format, is_colour);
    }
fail:
    scratch_free(&scratch);
    return status;
}
