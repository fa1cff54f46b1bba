#ifndef DG_RLE_H
#define DG_RLE_H

#include <stddef.h>

#include "components.h"

/* The caller gives it back by dg_rle_free; a zeroed struct holds nothing. */
struct dg_rle {
    char *text; /* (length), without a zero behind */
    size_t length, room;
};

/*
 * Writes a mask, any value but 0 being foreground, as COCO's compressed run lengths: those of 0 and
 * of 1 by turns, column after column, from the third on less the one before the last, each in
 * digits of five bits, the lowest first, 48 + digit, and 32 more where another follows; the last
 * digit's highest bit is the sign. Any thread may call. On failure `rle` is empty.
 */
enum dg_status dg_rle_make(struct dg_rle *rle, const struct dg_mask *mask);

/* Gives the text back and empties the struct; harmless on an empty one. */
void dg_rle_free(struct dg_rle *rle);

#endif
