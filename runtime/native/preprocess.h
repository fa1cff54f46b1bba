#ifndef DG_PREPROCESS_H
#define DG_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* How a frame's bytes lie. A sample of more than 8 bits counts by its highest 8. */
enum dg_format {
    DG_GREY, /* 1 byte a pixel */
    DG_BGR,  /* 3 bytes a pixel */
    DG_YUYV, /* Y0 U Y1 V: 4 bytes for two pixels, BT.601, limited range; the width is even */
    DG_RGB,  /* 3 bytes a pixel */
    DG_UYVY, /* U Y0 V Y1; the width is even */
    DG_NV12, /* a plane of Y, then one of U V, a pair for each 2x2 pixels; both sides are even */
    DG_Y10,  /* grey in words of 16 bits, little endian, of which the lowest 10 count */
    DG_Y12,  /* the same, of which 12 count */
    DG_Y16,  /* the same, of which all count */
    DG_Y10P, /* grey as MIPI CSI-2 packs it: the high 8 bits of 4 pixels in 4 bytes, their low 2
              * bits in a fifth; the width is a multiple of 4 */
    /* Bayer: cells of 2x2 pixels, named by row; both sides are even. 1 byte a pixel. */
    DG_RGGB8,
    DG_GRBG8,
    DG_GBRG8,
    DG_BGGR8,
    /* The same in words of 16 bits, of which 10 count. */
    DG_RGGB10,
    DG_GRBG10,
    DG_GBRG10,
    DG_BGGR10,
    /* The same, packed as in Y10P; the width is a multiple of 4. */
    DG_RGGB10P,
    DG_GRBG10P,
    DG_GBRG10P,
    DG_BGGR10P,
    DG_FORMATS /* how many there are */
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
    const uint8_t *chroma; /* NV12 only: the first byte of the second plane's row 0 */
    ptrdiff_t chroma_stride;
};

/* How the frame is seen: turned clockwise by quarters, 0 to 3, and then mirrored, left to right. */
struct dg_turn {
    int32_t quarters;
    int32_t is_mirrored;
};

/* Room that the caller owns: uint8 (height, width, channels) without gaps. */
struct dg_image {
    uint8_t *pixels;
    int32_t width, height;
    int32_t channels; /* 1: grey, 3: R G B */
};

/*
 * Resizes `region` of the frame, as it is seen turned, into `target` of `out`, in colour or grey,
 * and sets every pixel outside the target to `fill`. Any thread may call; the frame and `out`
 * must not overlap.
 *
 * The definition, whose bits every faster version gives, in this order:
 * 1. Samples. A word's is min(word >> (bits - 8), 255), a packed one its byte of high bits.
 * 2. Rows, on the samples as they lie in the frame. Taps with total 256 (taps.h), for each sample
 *    of a row: line = (sum of weight * sample) >> 1, 15 bits. The sum fits in 16 bits. In NV12
 *    row y has the U and V of row y >> 1 of their plane, so they take the luma's weights. A Bayer
 *    row y lies in cell row y >> 1, which takes the weights of its two; G is (G of the cell's
 *    upper row + G of its lower row + 1) >> 1, of the lines.
 * 3. Columns, for each channel. Taps with total 16384:
 *    average = (sum of weight * line + (1 << 20)) >> 21, 8 bits. The sum fits in 31 bits. In
 *    YUYV, UYVY and NV12, column x has the U and V of pair x >> 1, so they take the luma's
 *    weights. In Bayer, column x has the R, G and B of cell x >> 1.
 * 4. Colour, on the averages; `clip` is to 0..255, >> rounds down.
 *    R G B to grey: (4899 R + 9617 G + 1868 B + 8192) >> 14.
 *    Y U V to R G B: with c = 298 (Y - 16) + 128, R = clip((c + 409 (V - 128)) >> 8),
 *    G = clip((c - 100 (U - 128) - 208 (V - 128)) >> 8), B = clip((c + 516 (U - 128)) >> 8).
 *    Y U V to grey: clip(c >> 8), which is R, G and B of a neutral pixel.
 *    Grey to R G B: three times the grey.
 * 5. Turn. All of this is done on the frame as it lies, and the target then turned and mirrored.
 * A region of its target's size keeps its bits, other than in Bayer.
 */
enum dg_status dg_preprocess(const struct dg_frame *frame, struct dg_rect region,
                             struct dg_turn turn, const struct dg_image *out,
                             struct dg_rect target, uint8_t fill);

/* The same in plain C, for tests. */
enum dg_status dg_preprocess_plain(const struct dg_frame *frame, struct dg_rect region,
                                   struct dg_turn turn, const struct dg_image *out,
                                   struct dg_rect target, uint8_t fill);

#endif
