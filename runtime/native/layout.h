#ifndef DG_LAYOUT_H
#define DG_LAYOUT_H

#include <stdint.h>

#include "preprocess.h"

/* How the channels lie: each family is preprocessed by one pass. */
enum dg_family { DG_FAMILY_GREY, DG_FAMILY_RGB, DG_FAMILY_YUYV, DG_FAMILY_NV12, DG_FAMILY_BAYER };

/* How a sample lies in the bytes of a row. */
enum dg_depth { DG_BYTES, DG_WORDS, DG_PACKED, DG_DEPTHS };

struct dg_layout {
    enum dg_family family;
    enum dg_depth depth;
    int32_t shift;         /* of a word, down to 8 bits */
    int32_t samples;       /* for each column, in a row */
    int32_t columns, rows; /* a frame is a multiple of these */
    /* The channel that each sample of a period belongs to, in the order of the bytes. RGB: R G B
     * are 0 1 2. YUYV: luma is 0, chroma 3. Bayer, two rows of two: R G B are 0 1 2, the other
     * green is 3. */
    int8_t order[4];
};

/* The layout of a format, for good; NULL where there is no such format. */
const struct dg_layout *dg_layout_of(enum dg_format format);

/* How many bytes a pixel takes; 1 also where it is packed. */
int32_t dg_layout_bytes_per_pixel(const struct dg_layout *layout);

/* How many bytes `samples` of them take, which are whole groups where they are packed. */
int64_t dg_layout_bytes(const struct dg_layout *layout, int64_t samples);

#endif
