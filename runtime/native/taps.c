#include "taps.h"

#include <stdlib.h>

static enum dg_status reserve(struct dg_taps *taps, int32_t length, int32_t most)
{
    const size_t outputs = ((size_t)length + 15) / 16 * 16;
    const int32_t longest = most <= 4 ? 4 : (most + 7) / 8 * 8;
    *taps = (struct dg_taps){
        .length = length,
        .longest = longest,
        .first = calloc(outputs, sizeof *taps->first),
        .count = calloc(outputs, sizeof *taps->count),
        .weights = calloc(outputs * (size_t)longest, sizeof *taps->weights),
    };
    if (longest == 4)
        taps->windows = calloc(outputs / 2, 16);
    if (taps->first && taps->count && taps->weights && (taps->windows || longest != 4))
        return DG_OK;
    dg_taps_free(taps);
    return DG_NO_MEMORY;
}

/* The outputs beyond the last lie where it does. */
static void finish(struct dg_taps *taps)
{
    const int32_t outputs = (taps->length + 15) / 16 * 16;
    for (int32_t i = taps->length; i < outputs; i++)
        taps->first[i] = taps->first[taps->length - 1];
    for (int32_t i = 0; taps->windows && i < outputs; i++) {
        const int32_t ahead = taps->first[i] - taps->first[i / 2 * 2];
        for (int32_t k = 0; k < 8; k++)
            taps->windows[8 * i + k] = (uint8_t)(2 * ahead + k);
    }
}

/* Lengths are in units of 1/target of a source index, so that every border is an integer. From one
 * border to the next, quotient and remainder are added to: a division costs as much as a pixel. */
static void average_interval(struct dg_taps *taps, int32_t i, int64_t source, int64_t total)
{
    const int64_t unit = taps->length, whole = 2 * source;
    const int64_t step = 2 * total * unit / whole, rest_step = 2 * total * unit % whole;
    const int64_t begin = i * source, first = begin / unit;
    int64_t covered = (first + 1) * unit - begin;
    int64_t border = (2 * total * covered + source) / whole;
    int64_t rest = (2 * total * covered + source) % whole, before = 0;
    int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
    int32_t k = 0;
    for (; covered < source; covered += unit) {
        weights[k++] = (int16_t)(border - before);
        before = border;
        border += step + (rest + rest_step >= whole);
        rest += rest_step - (rest + rest_step >= whole ? whole : 0);
    }
    weights[k] = (int16_t)(total - before);
    taps->first[i] = (int32_t)first;
    taps->count[i] = k + 1;
}

/* The centre of output i lies at `centre` / (2 * target) between source centres 0 and source-1. */
static void interpolate(struct dg_taps *taps, int32_t i, int64_t source, int64_t total)
{
    const int64_t unit = 2 * (int64_t)taps->length;
    const int64_t centre = (2 * (int64_t)i + 1) * source - taps->length;
    const int64_t first = centre < 0 ? 0 : centre / unit;
    const int64_t second = (2 * total * (centre - first * unit) + unit) / (2 * unit);
    const int alone = centre < 0 || first == source - 1;
    int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
    weights[0] = (int16_t)(alone ? total : total - second);
    weights[1] = (int16_t)(alone ? 0 : second);
    taps->first[i] = (int32_t)first;
    taps->count[i] = alone ? 1 : 2;
}

enum dg_status dg_taps_make(struct dg_taps *taps, int32_t source, int32_t target, int32_t total)
{
    const int shrinks = source >= target;
    const int32_t most = shrinks ? source / target + (source % target ? 2 : 0) : 2;
    const enum dg_status status = reserve(taps, target, most);
    if (status != DG_OK)
        return status;
    for (int32_t i = 0; i < target; i++) {
        if (shrinks)
            average_interval(taps, i, source, total);
        else
            interpolate(taps, i, source, total);
    }
    finish(taps);
    return DG_OK;
}

static int32_t most_of(const struct dg_taps *taps)
{
    int32_t most = 0;
    for (int32_t i = 0; i < taps->length; i++)
        most = taps->count[i] > most ? taps->count[i] : most;
    return most;
}

enum dg_status dg_taps_halve(struct dg_taps *pairs, const struct dg_taps *taps, int32_t shift)
{
    const enum dg_status status = reserve(pairs, taps->length, most_of(taps) / 2 + 1);
    if (status != DG_OK)
        return status;
    for (int32_t i = 0; i < taps->length; i++) {
        const int32_t begin = taps->first[i] + shift;
        const int16_t *const from = taps->weights + (size_t)i * (size_t)taps->longest;
        int16_t *const into = pairs->weights + (size_t)i * (size_t)pairs->longest;
        for (int32_t k = 0; k < taps->count[i]; k++) {
            int16_t *const weight = &into[((begin + k) >> 1) - (begin >> 1)];
            *weight = (int16_t)(*weight + from[k]);
        }
        pairs->first[i] = begin >> 1;
        pairs->count[i] = ((begin + taps->count[i] - 1) >> 1) - (begin >> 1) + 1;
    }
    finish(pairs);
    return DG_OK;
}

void dg_taps_free(struct dg_taps *taps)
{
    free(taps->first);
    free(taps->count);
    free(taps->weights);
    free(taps->windows);
    *taps = (struct dg_taps){0};
}
