#ifndef DG_TAPS_H
#define DG_TAPS_H

#include <stdint.h>

#include "status.h"

/*
 * How each output index of one axis is made: the weighted sum of `count` neighbouring source
 * indices from `first` on. The weights of every output sum to exactly the table's `total`.
 * The caller owns the struct, which owns its arrays; a zeroed struct is an empty table. For
 * registers of several outputs, the arrays go on to a multiple of sixteen, without weight.
 */
struct dg_taps {
    int32_t length;   /* outputs */
    int32_t longest;  /* weights kept for each output: 4 or a multiple of 8, the unused ones 0 */
    int32_t *first;   /* (length) */
    int32_t *count;   /* (length), 1 to longest */
    int16_t *weights; /* (length, longest) */
    /* (length / 2, 16), only where `longest` is 4: where two outputs' 4 samples of 16 bits lie, in
     * bytes from the first one's on. They are never more than 16 bytes. */
    uint8_t *windows;
};

/*
 * Fills `taps` for resizing `source` indices to `target`, both 1 to DG_SIDE_MAX, with weights
 * that sum to `total`, at most 16384.
 *
 * source >= target: the average over an interval. Output i covers [i*s/d, (i+1)*s/d); the
 *     border after each source index is rounded to the nearest 1/total of that interval, halves
 *     up, and a weight is the distance between two borders. So the weights sum to `total`, the
 *     rounding never adds up over neighbours, and a constant image stays what it is.
 * source < target: linear between the two nearest half-pixel centres, the second weight rounded
 *     to the nearest, halves up; beyond the outermost centres the outermost index alone.
 */
enum dg_status dg_taps_make(struct dg_taps *taps, int32_t source, int32_t target, int32_t total);

/*
 * Fills `pairs` with the taps of a signal at half the rate of `taps`: source index k falls on
 * sample (k + shift) >> 1, and the weights of the two that share a sample are added.
 */
enum dg_status dg_taps_halve(struct dg_taps *pairs, const struct dg_taps *taps, int32_t shift);

/* Gives the arrays back and empties the table; harmless on an empty one. */
void dg_taps_free(struct dg_taps *taps);

#endif
