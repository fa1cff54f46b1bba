#include "preprocess.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pass.h"

/* Where the frame's rows and columns come to lie. */
struct way {
    bool is_transposed; /* rows become columns */
    bool is_upside_down, is_leftwards; /* before that: the order of rows, and of columns in one */
};

static struct way way_of(struct dg_turn turn)
{
    struct way way = {
        .is_transposed = turn.quarters % 2 == 1,
        .is_upside_down = turn.quarters == 1 || turn.quarters == 2,
        .is_leftwards = turn.quarters == 2 || turn.quarters == 3,
    };
    bool *const mirrored = way.is_transposed ? &way.is_upside_down : &way.is_leftwards;
    *mirrored ^= turn.is_mirrored != 0;
    return way;
}

static bool is_side(int32_t length)
{
    return length >= 1 && length <= DG_SIDE_MAX;
}

static bool is_inside(const struct dg_rect *rect, int32_t width, int32_t height)
{
    return rect->x >= 0 && rect->y >= 0 && rect->width >= 1 && rect->height >= 1 &&
           rect->x <= width - rect->width && rect->y <= height - rect->height;
}

static bool is_frame(const struct dg_frame *frame, const struct dg_layout *layout)
{
    return is_side(frame->width) && is_side(frame->height) && frame->width % layout->columns == 0 &&
           frame->height % layout->rows == 0;
}

/* A rectangle of the frame as it is seen, in the frame as it lies. */
static struct dg_rect as_it_lies(struct dg_rect seen, struct way way, int32_t width, int32_t height)
{
    struct dg_rect rect = seen;
    if (way.is_transposed)
        rect = (struct dg_rect){seen.y, seen.x, seen.height, seen.width};
    if (way.is_leftwards)
        rect.x = width - rect.x - rect.width;
    if (way.is_upside_down)
        rect.y = height - rect.y - rect.height;
    return rect;
}

static enum dg_status check(const struct dg_frame *frame, const struct dg_rect *region,
                            struct dg_turn turn, const struct dg_image *out,
                            const struct dg_rect *target)
{
    const struct dg_layout *const layout = dg_layout_of(frame->format);
    const bool is_transposed = turn.quarters % 2 == 1;
    if (!layout)
        return DG_BAD_FORMAT;
    if (!is_frame(frame, layout))
        return DG_BAD_FRAME;
    if (turn.quarters < 0 || turn.quarters > 3)
        return DG_BAD_TURN;
    if (!is_side(out->width) || !is_side(out->height) || (out->channels != 1 && out->channels != 3))
        return DG_BAD_OUT;
    if (!is_inside(region, is_transposed ? frame->height : frame->width,
                   is_transposed ? frame->width : frame->height))
        return DG_BAD_REGION;
    if (!is_inside(target, out->width, out->height))
        return DG_BAD_TARGET;
    if (region->width > DG_SHRINK_MAX * (int64_t)target->width ||
        region->height > DG_SHRINK_MAX * (int64_t)target->height)
        return DG_BAD_SHRINK;
    return DG_OK;
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

/* Pixels `step` bytes apart, from those that follow one another. */
static void scatter(uint8_t *restrict into, ptrdiff_t step, const uint8_t *restrict pixels,
                    int32_t count, int32_t channels)
{
    if (channels == 1) {
        for (int32_t j = 0; j < count; j++, into += step)
            *into = pixels[j];
    } else { /* a copy of fixed length takes two stores */
        for (int32_t j = 0; j < count; j++, into += step)
            memcpy(into, pixels + 3 * (size_t)j, 3);
    }
}

/* Each row of the pass goes to a row or a column of the target; `room` holds one row. */
static void write_rows(const struct dg_pass *pass, int32_t height, struct way way,
                       const struct dg_image *out, const struct dg_rect *target, uint8_t *room)
{
    const ptrdiff_t pixel = out->channels, row = pixel * out->width;
    const ptrdiff_t along = (way.is_transposed ? row : pixel) * (way.is_leftwards ? -1 : 1);
    const ptrdiff_t across = (way.is_transposed ? pixel : row) * (way.is_upside_down ? -1 : 1);
    const int32_t right = target->x + target->width - 1, bottom = target->y + target->height - 1;
    const bool from_right = way.is_transposed ? way.is_upside_down : way.is_leftwards;
    const bool from_bottom = way.is_transposed ? way.is_leftwards : way.is_upside_down;
    uint8_t *into = out->pixels + (from_bottom ? bottom : target->y) * row +
                    (from_right ? right : target->x) * pixel;
    for (int32_t i = 0; i < height; i++, into += across) {
        dg_pass_row(pass, i, along == pixel ? into : room);
        if (along != pixel)
            scatter(into, along, room, pass->width, out->channels);
    }
}

static enum dg_status preprocess(const struct dg_kernels *kernels, const struct dg_frame *frame,
                                 struct dg_rect region, struct dg_turn turn,
                                 const struct dg_image *out, struct dg_rect target, uint8_t fill)
{
    struct dg_pass pass = {0};
    uint8_t *room = NULL;
    enum dg_status status = check(frame, &region, turn, out, &target);
    if (status != DG_OK)
        return status;
    const struct way way = way_of(turn);
    const struct dg_rect lying = as_it_lies(region, way, frame->width, frame->height);
    const int32_t width = way.is_transposed ? target.height : target.width;
    const int32_t height = way.is_transposed ? target.width : target.height;
    status = dg_pass_make(&pass, kernels, frame, &lying, width, height, out->channels);
    if (status != DG_OK)
        goto fail;
    room = malloc((size_t)width * (size_t)out->channels);
    status = room ? DG_OK : DG_NO_MEMORY;
    if (status != DG_OK)
        goto fail;
    fill_around(out, &target, fill);
    write_rows(&pass, height, way, out, &target, room);
fail:
    free(room);
    dg_pass_free(&pass);
    return status;
}

enum dg_status dg_preprocess(const struct dg_frame *frame, struct dg_rect region,
                             struct dg_turn turn, const struct dg_image *out,
                             struct dg_rect target, uint8_t fill)
{
    return preprocess(dg_kernels_fastest(), frame, region, turn, out, target, fill);
}

enum dg_status dg_preprocess_plain(const struct dg_frame *frame, struct dg_rect region,
                                   struct dg_turn turn, const struct dg_image *out,
                                   struct dg_rect target, uint8_t fill)
{
    return preprocess(&dg_kernels_plain, frame, region, turn, out, target, fill);
}
