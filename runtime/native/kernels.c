#include "kernels.h"

#include <stdbool.h>
#include <string.h>

/* Sample j of a row, as 8 bits. Packed are four samples in five bytes; the fifth holds low bits. */
static inline uint16_t sample_at(const uint8_t *row, size_t j, enum dg_depth depth, int32_t shift)
{
    if (depth == DG_BYTES)
        return row[j];
    if (depth == DG_PACKED)
        return row[j + j / 4];
    const uint32_t level = (uint32_t)(row[2 * j] | row[2 * j + 1] << 8) >> shift;
    return (uint16_t)(level > 255 ? 255 : level);
}

/* Of every `step`th sample from `first` on. Inlined, so that the compiler knows depth and step. */
static inline void average(uint16_t *restrict line, size_t count, const struct dg_rows *rows,
                           enum dg_depth depth, size_t first, size_t step)
{
    memset(line, 0, count * sizeof *line);
    for (int32_t k = 0; k < rows->count; k++) {
        const uint8_t *restrict row = rows->rows[k];
        const uint16_t weight = rows->weights[k];
        const int32_t shift = rows->shift;
        for (size_t j = 0; weight && j < count; j++)
            line[j] = (uint16_t)(line[j] + weight * sample_at(row, first + j * step, depth, shift));
    }
    for (size_t j = 0; j < count; j++)
        line[j] = (uint16_t)(line[j] >> 1);
}

static inline void average_parts(uint16_t *one, uint16_t *other, size_t samples,
                                 const struct dg_rows *rows, enum dg_depth depth)
{
    if (other) {
        average(one, samples / 2, rows, depth, 0, 2);
        average(other, samples / 2, rows, depth, 1, 2);
    } else {
        average(one, samples, rows, depth, 0, 1);
    }
}

static void average_bytes(uint16_t *one, uint16_t *other, size_t samples,
                          const struct dg_rows *rows)
{
    average_parts(one, other, samples, rows, DG_BYTES);
}

static void average_words(uint16_t *one, uint16_t *other, size_t samples,
                          const struct dg_rows *rows)
{
    average_parts(one, other, samples, rows, DG_WORDS);
}

static void average_packed(uint16_t *one, uint16_t *other, size_t samples,
                           const struct dg_rows *rows)
{
    average_parts(one, other, samples, rows, DG_PACKED);
}

static void deal_pairs(uint16_t *restrict even, uint16_t *restrict odd,
                       const uint16_t *restrict line, size_t pairs)
{
    for (size_t i = 0; i < pairs; i++) {
        even[i] = line[2 * i];
        odd[i] = line[2 * i + 1];
    }
}

static void deal_triples(uint16_t *const *parts, const uint16_t *restrict line, size_t triples)
{
    uint16_t *restrict a = parts[0], *restrict b = parts[1], *restrict c = parts[2];
    for (size_t i = 0; i < triples; i++) {
        a[i] = line[3 * i];
        b[i] = line[3 * i + 1];
        c[i] = line[3 * i + 2];
    }
}

static void average_channel(uint8_t *restrict plane, const uint16_t *restrict samples,
                            const struct dg_taps *taps)
{
    for (int32_t i = 0; i < taps->length; i++) {
        const int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
        const uint16_t *const from = samples + taps->first[i];
        int32_t sum = 1 << (DG_COLUMN_SHIFT - 1);
        for (int32_t k = 0; k < taps->count[i]; k++)
            sum += weights[k] * from[k];
        plane[i] = (uint8_t)(sum >> DG_COLUMN_SHIFT);
    }
}

static void average_columns(uint8_t *const *planes, uint16_t *const *samples, int32_t channels,
                            const struct dg_taps *taps)
{
    for (int32_t c = 0; c < channels; c++)
        average_channel(planes[c], samples[c], taps);
}

static inline uint8_t clip(int32_t sum, int32_t shift)
{
    const int32_t level = sum < 0 ? 0 : sum >> shift;
    return (uint8_t)(level > 255 ? 255 : level);
}

static void mix_planes(uint8_t *restrict mixed, const uint8_t *const *planes,
                       const struct dg_mix *mix, size_t width)
{
    const uint8_t *const a = planes[0], *const b = planes[1], *const c = planes[2];
    const int32_t wa = mix->weights[0], wb = mix->weights[1], wc = mix->weights[2];
    for (size_t i = 0; i < width; i++) {
        mixed[i] = clip(wa * a[i] + wb * b[i] + wc * c[i] + mix->offset, mix->shift);
    }
}

static void interleave(uint8_t *restrict pixels, const uint8_t *const *planes, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        pixels[3 * i] = planes[0][i];
        pixels[3 * i + 1] = planes[1][i];
        pixels[3 * i + 2] = planes[2][i];
    }
}

static void rgb_from_yuv(uint8_t *restrict pixels, const uint8_t *const *planes, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        const int32_t c = 298 * (planes[0][i] - 16) + 128;
        const int32_t u = planes[1][i] - 128, v = planes[2][i] - 128;
        pixels[3 * i] = clip(c + 409 * v, 8);
        pixels[3 * i + 1] = clip(c - 100 * u - 208 * v, 8);
        pixels[3 * i + 2] = clip(c + 516 * u, 8);
    }
}

const struct dg_kernels dg_kernels_plain = {
    .average_rows = {average_bytes, average_words, average_packed},
    .deal_pairs = deal_pairs,
    .deal_triples = deal_triples,
    .average_columns = average_columns,
    .mix = mix_planes,
    .interleave = interleave,
    .rgb_from_yuv = rgb_from_yuv,
};

const struct dg_kernels *dg_kernels_fastest(void)
{
    const struct dg_kernels *const fast = dg_kernels_avx2() ? dg_kernels_avx2() : dg_kernels_neon();
    return fast ? fast : &dg_kernels_plain;
}
