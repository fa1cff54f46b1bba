#ifndef DG_COMPONENTS_H
#define DG_COMPONENTS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Probabilities x 255 that somebody else owns and nobody writes to during the call. */
struct dg_mask {
    const uint8_t *values; /* the first byte of row 0 */
    ptrdiff_t stride;      /* bytes from one row to the next; may be negative */
    int32_t width, height;
};

/* Room of the mask's size that the caller owns; without it, `values` is NULL. */
struct dg_kept {
    uint8_t *values;
    ptrdiff_t stride;
};

struct dg_limits {
    int32_t threshold;      /* 1 to 255; a pixel is foreground where its value reaches it */
    double min_area;        /* in frame pixels; a smaller blob is dropped */
    double scale_x, scale_y; /* frame pixels per mask pixel */
    size_t most;             /* the blobs that are given, the largest ones; 0: all */
};

/* One 8-connected component of the foreground. Mask pixels where nothing else is said. */
struct dg_blob {
    int32_t x, y, width, height; /* the smallest box around it */
    int64_t area;
    double mean;    /* of its values, 0 to 255 */
    double length;  /* along its main axis, in frame pixels */
    double centre_x, centre_y; /* in frame pixels, from the upper left corner of the mask */
    int32_t peak;   /* its largest value */
};

/* The caller gives it back by dg_blobs_free; a zeroed struct holds nothing. */
struct dg_blobs {
    struct dg_blob *blobs; /* (count) */
    size_t count;
    size_t others; /* those that were large enough, but not among the largest */
};

/*
 * Finds the blobs of a mask that are large enough: largest area first, then the higher, then the
 * one further left. Where `kept` has room, 1 is written on their pixels, also on the others', and
 * 0 elsewhere. Memory grows with the foreground's runs. Any thread may call. On failure `found` is
 * empty.
 *
 * The main axis is the principal axis of the second central moments of the blob's area in frame
 * pixels, where a mask pixel is a rectangle of scale_x by scale_y: with m_xx, m_yy, m_xy, it has
 * the angle atan2(2 m_xy, m_xx - m_yy) / 2, or 0 where the blob spreads alike in all directions.
 * The length is how far the rectangles reach along its unit vector (c, s):
 *     max(c x + s y) - min(c x + s y) over their centres, + |c| scale_x + |s| scale_y.
 * A row of n pixels has the length n * scale_x, a diagonal of n pixels at scale 1 n * sqrt(2).
 */
enum dg_status dg_components(const struct dg_mask *mask, const struct dg_limits *limits,
                             const struct dg_kept *kept, struct dg_blobs *found);

/* Gives the blobs back and empties the struct; harmless on an empty one. */
void dg_blobs_free(struct dg_blobs *found);

#endif
