#ifndef DG_DEFINITION_H
#define DG_DEFINITION_H

/* What preprocess.h defines, computed pixel by pixel. */

#include <string.h>

#include "check.h"
#include "preprocess.h"
#include "taps.h"

enum { FILL = 77 };

/* A frame and an output that own their memory, to the byte, so that sanitizers see a step out. */
struct job {
    struct dg_frame frame;
    struct dg_image out;
    struct dg_rect region, target;
    struct dg_turn turn;
    uint8_t *memory, *chroma; /* the frame's planes */
    uint8_t *wanted;          /* what `out` must become */
};

static size_t out_bytes(const struct job *job)
{
    return (size_t)job->out.width * (size_t)job->out.height * (size_t)job->out.channels;
}

static bool is_bayer(enum dg_format format)
{
    return format >= DG_RGGB8;
}

static bool is_yuv(enum dg_format format)
{
    return format == DG_YUYV || format == DG_UYVY || format == DG_NV12;
}

static bool is_grey(enum dg_format format)
{
    return format == DG_GREY || (format >= DG_Y10 && format <= DG_Y10P);
}

static bool is_packed(enum dg_format format)
{
    return format == DG_Y10P || format >= DG_RGGB10P;
}

/* How many bits of a word count; 0 where there are none. */
static int32_t word_bits(enum dg_format format)
{
    if (format >= DG_RGGB10 && format <= DG_BGGR10)
        return 10;
    return format == DG_Y10 ? 10 : format == DG_Y12 ? 12 : format == DG_Y16 ? 16 : 0;
}

static int32_t row_bytes(enum dg_format format, int32_t width)
{
    if (format == DG_BGR || format == DG_RGB)
        return 3 * width;
    if (is_packed(format))
        return width / 4 * 5;
    return format == DG_YUYV || format == DG_UYVY || word_bits(format) ? 2 * width : width;
}

/* The one sample of pixel x, in grey and Bayer. */
static int32_t sample_of(enum dg_format format, const uint8_t *row, int32_t x)
{
    if (is_packed(format))
        return row[x / 4 * 5 + x % 4];
    if (word_bits(format) == 0)
        return row[x];
    const int32_t level = (row[2 * x] + 256 * row[2 * x + 1]) / (1 << (word_bits(format) - 8));
    return level > 255 ? 255 : level;
}

/* Channel c of the cell that has the pixel: R, upper G, B, lower G. */
static int32_t cell_sample(const struct dg_frame *frame, int32_t x, int32_t y, int32_t c)
{
    const char *const colours[] = {"RGGB", "GRBG", "GBRG", "BGGR"};
    const char *const cell = colours[(frame->format - DG_RGGB8) % 4];
    for (int32_t place = 0; place < 4; place++) {
        const bool is_it = c == 0   ? cell[place] == 'R'
                           : c == 2 ? cell[place] == 'B'
                                    : cell[place] == 'G' && (place < 2) == (c == 1);
        if (is_it)
            return sample_of(frame->format,
                             frame->pixels + (y / 2 * 2 + place / 2) * frame->stride,
                             x / 2 * 2 + place % 2);
    }
    CLAIM(false);
    return 0;
}

/* Channel c of a frame's pixel: R G B, Y U V or grey. */
static int32_t sample(const struct dg_frame *frame, int32_t x, int32_t y, int32_t c)
{
    const uint8_t *const row = frame->pixels + y * frame->stride;
    const uint8_t *const pair = row + x / 2 * 4;
    switch (frame->format) {
    case DG_RGB:
        return row[3 * x + c];
    case DG_BGR:
        return row[3 * x + 2 - c];
    case DG_YUYV:
        return c == 0 ? row[2 * x] : pair[2 * c - 1];
    case DG_UYVY:
        return c == 0 ? row[2 * x + 1] : pair[2 * c - 2];
    case DG_NV12:
        return c == 0 ? row[x] : frame->chroma[y / 2 * frame->chroma_stride + x / 2 * 2 + c - 1];
    default:
        return is_bayer(frame->format) ? cell_sample(frame, x, y, c)
                                       : sample_of(frame->format, row, x);
    }
}

static const int16_t *weights_of(const struct dg_taps *taps, int32_t i)
{
    return taps->weights + i * taps->longest;
}

static int32_t line_at(const struct dg_frame *frame, const struct dg_taps *rows, int32_t i,
                       int32_t x, int32_t y, int32_t c)
{
    int32_t line = 0;
    for (int32_t k = 0; k < rows->count[i]; k++)
        line += weights_of(rows, i)[k] * sample(frame, x, y + rows->first[i] + k, c);
    CLAIM(line <= UINT16_MAX);
    if (is_bayer(frame->format) && c == 1)
        return (line / 2 + line_at(frame, rows, i, x, y, 3) + 1) / 2;
    return line / 2;
}

static int32_t average(const struct dg_frame *frame, const struct dg_rect *region,
                       const struct dg_taps *rows, const struct dg_taps *columns, int32_t i,
                       int32_t j, int32_t c)
{
    int64_t sum = 1 << 20;
    for (int32_t m = 0; m < columns->count[j]; m++)
        sum += weights_of(columns, j)[m] *
               (int64_t)line_at(frame, rows, i, region->x + columns->first[j] + m, region->y, c);
    CLAIM(sum <= INT32_MAX);
    return (int32_t)(sum / (1 << 21));
}

static uint8_t clipped(int32_t numerator)
{
    return (uint8_t)(numerator < 0 ? 0 : numerator >= 65536 ? 255 : numerator / 256);
}

/* The pixel's colour from its averages: a is R G B, Y U V or grey. */
static void colour_of(const struct job *job, const int32_t *a, uint8_t *pixel)
{
    const int32_t luma = 298 * (a[0] - 16) + 128, u = a[1] - 128, v = a[2] - 128;
    for (int32_t c = 0; c < job->out.channels; c++) {
        const int32_t tint = c == 0 ? 409 * v : c == 1 ? -100 * u - 208 * v : 516 * u;
        if (is_grey(job->frame.format))
            pixel[c] = (uint8_t)a[0];
        else if (is_yuv(job->frame.format))
            pixel[c] = clipped(job->out.channels == 1 ? luma : luma + tint);
        else if (job->out.channels == 1)
            pixel[c] = (uint8_t)((4899 * a[0] + 9617 * a[1] + 1868 * a[2] + 8192) / 16384);
        else
            pixel[c] = (uint8_t)a[c];
    }
}

struct point {
    int32_t x, y;
};

/* Where a point of the turned picture lies in the picture of this size. */
static struct point lying(struct point seen, struct dg_turn turn, int32_t width, int32_t height)
{
    const int32_t seen_width = turn.quarters % 2 ? height : width;
    struct point at = seen;
    if (turn.is_mirrored)
        at.x = seen_width - 1 - at.x;
    for (int32_t quarter = turn.quarters; quarter > 0; quarter--) {
        const int32_t rows_before = quarter % 2 ? height : width;
        at = (struct point){at.y, rows_before - 1 - at.x};
    }
    return at;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static struct dg_rect lying_region(const struct job *job)
{
    const struct dg_rect seen = job->region;
    const int32_t width = job->frame.width, height = job->frame.height;
    const struct point first = {seen.x, seen.y};
    const struct point last = {seen.x + seen.width - 1, seen.y + seen.height - 1};
    const struct point a = lying(first, job->turn, width, height);
    const struct point b = lying(last, job->turn, width, height);
    return (struct dg_rect){smaller(a.x, b.x), smaller(a.y, b.y), abs(a.x - b.x) + 1,
                            abs(a.y - b.y) + 1};
}

static void compute_wanted(struct job *job)
{
    struct dg_taps rows, columns;
    const struct dg_rect region = lying_region(job);
    const bool is_turned = job->turn.quarters % 2;
    const int32_t width = is_turned ? job->target.height : job->target.width;
    const int32_t height = is_turned ? job->target.width : job->target.height;
    CLAIM(dg_taps_make(&rows, region.height, height, 256) == DG_OK);
    CLAIM(dg_taps_make(&columns, region.width, width, 16384) == DG_OK);
    memset(job->wanted, FILL, out_bytes(job));
    for (int32_t y = 0; y < job->target.height; y++) {
        for (int32_t x = 0; x < job->target.width; x++) {
            const struct point from = lying((struct point){x, y}, job->turn, width, height);
            int32_t averages[3] = {0};
            for (int32_t c = 0; c < (is_grey(job->frame.format) ? 1 : 3); c++)
                averages[c] = average(&job->frame, &region, &rows, &columns, from.y, from.x, c);
            const int32_t at = (job->target.y + y) * job->out.width + job->target.x + x;
            colour_of(job, averages, job->wanted + at * job->out.channels);
        }
    }
    dg_taps_free(&rows);
    dg_taps_free(&columns);
}

#endif
