#ifndef DG_PASS_H
#define DG_PASS_H

#include "kernels.h"

/*
 * The rows of a resized region, one after the other: every byte of the frame is taken up once, and
 * what lies between stays in the caches. The caller owns the struct and gives back what it holds
 * by dg_pass_free; a zeroed struct holds nothing. One thread uses it at a time.
 */
struct dg_pass {
    const struct dg_kernels *kernels;
    const struct dg_layout *layout;
    int32_t width;    /* of the target, in the frame's direction */
    int32_t channels; /* of the output */
    size_t columns;   /* of the frame that are averaged: the region's, in whole periods */
    int32_t shift;    /* the region's first column within its period */
    const uint8_t *corners[2]; /* where the region begins, in each plane or Bayer row */
    ptrdiff_t strides[2];
    struct dg_taps rows, half_rows, across, half_across;
    uint16_t *line;       /* one row, its samples as they lie */
    uint16_t *samples[4]; /* one row of each channel */
    uint8_t *planes[4];   /* the same at the target's width, and what they are mixed to */
    uint8_t *memory;
};

/* `width` and `height` are the target's, in the frame's direction. All arguments are checked. */
enum dg_status dg_pass_make(struct dg_pass *pass, const struct dg_kernels *kernels,
                            const struct dg_frame *frame, const struct dg_rect *region,
                            int32_t width, int32_t height, int32_t channels);

/* Writes row i of the target, `width` pixels of `channels` bytes. */
void dg_pass_row(const struct dg_pass *pass, int32_t i, uint8_t *pixels);

void dg_pass_free(struct dg_pass *pass);

#endif
