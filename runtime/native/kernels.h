#ifndef DG_KERNELS_H
#define DG_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "taps.h"

/* The rows of one average. No weight is 256: a row that is alone comes twice, with 128 each. */
struct dg_rows {
    int32_t count;   /* even */
    int32_t shift;   /* of a word, down to 8 bits: 1 or more */
    ptrdiff_t ahead; /* bytes from each row to one that is needed soon, inside the frame or not */
    const uint8_t *rows[DG_SHRINK_MAX + 4]; /* the first byte of each */
    uint8_t weights[DG_SHRINK_MAX + 4];     /* their sum is 256 */
};

/* A row of the next average, at the place of byte `at`: from one row to the next the hardware
 * would not know, and a pointer out of the frame must not be made. Into the second cache: the
 * first is full of this average. */
static inline void dg_rows_prefetch(const struct dg_rows *rows, int32_t k, size_t at)
{
    const uintptr_t next = (uintptr_t)rows->rows[k] + at + (uintptr_t)rows->ahead;
    __builtin_prefetch((const void *)next, 0, 2);
}

/* clip((sum of weight * plane + offset) >> shift); the sum fits in 31 bits. */
struct dg_mix {
    int16_t weights[3];
    int16_t shift;
    int32_t offset;
};

enum { DG_COLUMN_SHIFT = 21 /* 7 bits that the rows left, 14 of the columns' weights */ };

/* How many items a kernel may read and write beyond what it was asked for, except in the rows of
 * a frame and in `pixels`. It covers the longest taps and the widest registers. */
#define DG_SLACK 192

/*
 * The loops that take the time, in plain C and for one kind of CPU. All versions give the same
 * bits. Arrays do not overlap, other than those that are only read.
 */
struct dg_kernels {
    /* one[j] = (sum of weight * sample j) >> 1. Where there is an `other`, the samples, an even
     * number, go to both by turns. Packed samples come in whole groups of four. */
    void (*average_rows[DG_DEPTHS])(uint16_t *one, uint16_t *other, size_t samples,
                                    const struct dg_rows *rows);
    /* even[i] = line[2 i], odd[i] = line[2 i + 1], for i < pairs. */
    void (*deal_pairs)(uint16_t *even, uint16_t *odd, const uint16_t *line, size_t pairs);
    /* parts[c][i] = line[3 i + c], for i < triples. */
    void (*deal_triples)(uint16_t *const *parts, const uint16_t *line, size_t triples);
    /* planes[c][i] = (sum of weight * samples[c] + (1 << 20)) >> 21, for each output i of the
     * table and 1 to 3 channels c. */
    void (*average_columns)(uint8_t *const *planes, uint16_t *const *samples, int32_t channels,
                            const struct dg_taps *taps);
    void (*mix)(uint8_t *mixed, const uint8_t *const *planes, const struct dg_mix *mix,
                size_t width);
    /* pixels[3 i + c] = planes[c][i]; of `pixels` nothing but 3 * width bytes is written. */
    void (*interleave)(uint8_t *pixels, const uint8_t *const *planes, size_t width);
    /* The same with R G B from planes Y U V, as preprocess.h has it. */
    void (*rgb_from_yuv)(uint8_t *pixels, const uint8_t *const *planes, size_t width);
};

extern const struct dg_kernels dg_kernels_plain;

/* NULL where this CPU, or the one that was compiled for, does not have what they need. */
const struct dg_kernels *dg_kernels_avx2(void);
const struct dg_kernels *dg_kernels_neon(void);

/* The fastest that this CPU can run. Any thread may call. */
const struct dg_kernels *dg_kernels_fastest(void);

#endif
