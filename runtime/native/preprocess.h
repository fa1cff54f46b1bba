#ifndef DG_PREPROCESS_H
#define DG_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum dg_format {
    DG_GREY, /* 1 byte a pixel */
    DG_BGR,  /* 3 bytes a pixel */
    DG_YUYV  /* Y0 U Y1 V: 4 bytes for two pixels, BT.601, limited range; the width is even */
};

/* A region may be at most this many times as long as its target on either axis: with 8-bit row
 * weights, more would give some pixels of the frame no weight. */
#define DG_SHRINK_MAX 128

struct dg_rect {
    int32_t x, y, width, height;
};

/* Pixels that somebody else owns and nobody writes to during the call. */
struct dg_frame {
    const uint8_t *pixels; /* the first byte of row 0 */
    ptrdiff_t stride;      /* bytes from one row to the next; may be negative */
    int32_t width, height;
    enum dg_format format;
};

/* Room that the caller owns: uint8 (height, width, channels) without gaps. */
struct dg_image {
    uint8_t *pixels;
    int32_t width, height;
    int32_t channels; /* 1: grey, 3: R G B */
};

/*
 * Resizes `region` of the frame into `target` of `out`, in colour or grey, and sets every pixel
 * outside the target to `fill`. Any thread may call; the frame and `out` must not overlap.
 *
 * The definition, whose bits every faster version gives, in this order:
 * 1. Rows, on the bytes as they lie in the frame. Taps with total 256 (taps.h), for each byte
 *    column: line = (sum of weight * byte) >> 1, 15 bits. The sum fits in 16 bits.
 * 2. Columns, for each channel. Taps with total 16384:
 *    average = (sum of weight * line + (1 << 20)) >> 21, 8 bits. The sum fits in 31 bits. In
 *    YUYV, frame column x has the U and V of pair x >> 1, so they take the luma's weights.
 * 3. Colour, on the averages; `clip` is to 0..255, >> rounds down.
 *    BGR to grey: (4899 R + 9617 G + 1868 B + 8192) >> 14.
 *    YUYV to R G B: with c = 298 (Y - 16) + 128, R = clip((c + 409 (V - 128)) >> 8),
 *    G = clip((c - 100 (U - 128) - 208 (V - 128)) >> 8), B = clip((c + 516 (U - 128)) >> 8).
 *    YUYV to grey: clip(c >> 8), which is R, G and B of a neutral pixel.
 *    Grey to R G B: three times the grey.
 * A region of its target's size keeps its bits.
 */
enum dg_status dg_preprocess(const struct dg_frame *frame, struct dg_rect region,
                             const struct dg_image *out, struct dg_rect target, uint8_t fill);

#endif
