#ifndef DG_DECODED_H
#define DG_DECODED_H

/* What COCO's compressed run lengths mean, read number by number. */

#include "check.h"
#include "rle.h"

/* The next number of the text; `at` moves behind it. */
static inline int64_t number_at(const struct dg_rle *rle, size_t *at)
{
    int64_t number = 0, weight = 1;
    int digit = 32;
    while (digit & 32) {
        CLAIM(*at < rle->length);
        digit = rle->text[(*at)++] - 48;
        CLAIM(digit >= 0 && digit < 64);
        number += (digit & 31) * weight;
        weight *= 32;
    }
    return digit & 16 ? number - weight : number;
}

static inline void claim_decoded(const struct dg_rle *rle, const struct dg_mask *mask)
{
    int64_t runs[2] = {0}, pixel = 0;
    const int64_t pixels = (int64_t)mask->width * mask->height;
    size_t at = 0, count = 0;
    for (; at < rle->length; count++) {
        const int64_t run = number_at(rle, &at) + (count > 2 ? runs[count % 2] : 0);
        runs[count % 2] = run;
        CLAIM(run >= (count > 0) && pixel + run <= pixels);
        for (int64_t end = pixel + run; pixel < end; pixel++) {
            const uint8_t *const row = mask->values + pixel % mask->height * mask->stride;
            CLAIM((row[pixel / mask->height] != 0) == (count % 2 == 1));
        }
    }
    CLAIM(pixel == pixels);
}

#endif
