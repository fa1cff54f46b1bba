#include "taps.h"

#include <stdlib.h>

static enum dg_status reserve(struct dg_taps *taps, int32_t length, int32_t most)
{
    const size_t outputs = ((size_t)length + 7) / 8 * 8;
    const int32_t longest = most <= 4 ? 4 : (most + 7) / 8 * 8;
    *taps = (struct dg_taps){
        .length = length,
        .longest = longest,
        .first = calloc(outputs, sizeof *taps->first),
        .count = calloc(outputs, sizeof *taps->count),
        .weights = calloc(outputs * (size_t)longest, sizeof *taps->weights),
    };
    if (taps->first && taps->count && taps->weights)
        return DG_OK;
    dg_taps_free(taps);
    return DG_NO_MEMORY;
}

/* Lengths are in units of 1/target of a source index, so that every border is an integer. */
static void average_interval(struct dg_taps *taps, int32_t i, int64_t source, int64_t total)
{
    const int64_t unit = taps->length;
    const int64_t begin = i * source, end = begin + source;
    const int64_t first = begin / unit, last = (end - 1) / unit;
    int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
    int64_t before = 0;
    for (int64_t k = first; k <= last; k++) {
        const int64_t covered = (k == last ? end : (k + 1) * unit) - begin;
        const int64_t border = (2 * total * covered + source) / (2 * source);
        weights[k - first] = (int16_t)(border - before);
        before = border;
    }
    taps->first[i] = (int32_t)first;
    taps->count[i] = (int32_t)(last - first + 1);
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
    return DG_OK;
}

void dg_taps_free(struct dg_taps *taps)
{
    free(taps->first);
    free(taps->count);
    free(taps->weights);
    *taps = (struct dg_taps){0};
}
