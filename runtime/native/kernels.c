#include "kernels.h"

#include <stdbool.h>
#include <string.h>

enum { COLUMN_SHIFT = 21 /* 7 bits that the rows left, 14 of the columns' weights */ };

static inline uint16_t word_at(const uint8_t *row, size_t j, int32_t shift)
{
    const uint32_t level = (uint32_t)(row[2 * j] | row[2 * j + 1] << 8) >> shift;
    return (uint16_t)(level > 255 ? 255 : level);
}

static void halve(uint16_t *line, size_t samples)
{
    for (size_t j = 0; j < samples; j++)
        line[j] = (uint16_t)(line[j] >> 1);
}

static void average_bytes(uint16_t *restrict line, size_t samples, const struct dg_rows *rows)
{
    memset(line, 0, samples * sizeof *line);
    for (int32_t k = 0; k < rows->count; k++) {
        const uint8_t *restrict row = rows->rows[k];
        const uint16_t weight = rows->weights[k];
        for (size_t j = 0; weight && j < samples; j++)
            line[j] = (uint16_t)(line[j] + weight * row[j]);
    }
    halve(line, samples);
}

static void average_words(uint16_t *restrict line, size_t samples, const struct dg_rows *rows)
{
    memset(line, 0, samples * sizeof *line);
    for (int32_t k = 0; k < rows->count; k++) {
        const uint8_t *restrict row = rows->rows[k];
        const uint16_t weight = rows->weights[k];
        for (size_t j = 0; weight && j < samples; j++)
            line[j] = (uint16_t)(line[j] + weight * word_at(row, j, rows->shift));
    }
    halve(line, samples);
}

/* Four samples in five bytes; the fifth holds low bits. */
static void average_packed(uint16_t *restrict line, size_t samples, const struct dg_rows *rows)
{
    memset(line, 0, samples * sizeof *line);
    for (int32_t k = 0; k < rows->count; k++) {
        const uint8_t *restrict row = rows->rows[k];
        const uint16_t weight = rows->weights[k];
        for (size_t j = 0; weight && j < samples; j++)
            line[j] = (uint16_t)(line[j] + weight * row[j + j / 4]);
    }
    halve(line, samples);
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

static void average_columns(uint8_t *restrict plane, const struct dg_taps *taps,
                            const uint16_t *restrict samples)
{
    for (int32_t i = 0; i < taps->length; i++) {
        const int16_t *const weights = taps->weights + (size_t)i * (size_t)taps->longest;
        const uint16_t *const from = samples + taps->first[i];
        int32_t sum = 1 << (COLUMN_SHIFT - 1);
        for (int32_t k = 0; k < taps->count[i]; k++)
            sum += weights[k] * from[k];
        plane[i] = (uint8_t)(sum >> COLUMN_SHIFT);
    }
}

static void mix_planes(uint8_t *restrict mixed, const uint8_t *const *planes,
                       const struct dg_mix *mix, size_t width)
{
    const uint8_t *const a = planes[0], *const b = planes[1], *const c = planes[2];
    const int32_t wa = mix->weights[0], wb = mix->weights[1], wc = mix->weights[2];
    for (size_t i = 0; i < width; i++) {
        const int32_t sum = wa * a[i] + wb * b[i] + wc * c[i] + mix->offset;
        const int32_t level = sum < 0 ? 0 : sum >> mix->shift;
        mixed[i] = (uint8_t)(level > 255 ? 255 : level);
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

const struct dg_kernels dg_kernels_plain = {
    .average_rows = {average_bytes, average_words, average_packed},
    .deal_pairs = deal_pairs,
    .deal_triples = deal_triples,
    .average_columns = average_columns,
    .mix = mix_planes,
    .interleave = interleave,
};

const struct dg_kernels *dg_kernels_fastest(void)
{
    const struct dg_kernels *const fast = dg_kernels_avx2() ? dg_kernels_avx2() : dg_kernels_neon();
    return fast ? fast : &dg_kernels_plain;
}
