/* Each kernel of this CPU against the plain one: every length, any offset, ends of the range. */

#include <string.h>

#include "check.h"
#include "kernels.h"

enum { LONGEST = 200, GUARD = 0xA5 };

static const struct dg_kernels *fast;

static uint8_t noise_byte(bool is_extreme)
{
    return is_extreme ? (uint8_t)(noise() % 2 ? 255 : 0) : (uint8_t)noise();
}

static uint8_t *make_bytes(size_t count, bool is_extreme)
{
    uint8_t *const bytes = malloc(count + (count == 0));
    CLAIM(bytes);
    for (size_t i = 0; i < count; i++)
        bytes[i] = noise_byte(is_extreme);
    return bytes;
}

/* A line as the rows leave it, up to 255 * 128, with slack behind. */
static uint16_t *make_line(size_t count, bool is_extreme)
{
    uint16_t *const line = malloc((count + DG_SLACK) * sizeof *line);
    CLAIM(line);
    for (size_t i = 0; i < count + DG_SLACK; i++)
        line[i] = (uint16_t)(is_extreme ? noise_byte(true) * 128 : noise_between(0, 255 * 128));
    return line;
}

/* `count` weights, an even number of them, that sum to 256, each below it. */
static void choose_weights(struct dg_rows *rows, int32_t count)
{
    int32_t left = 256;
    rows->count = count;
    for (int32_t k = 0; k < count; k++) {
        const int32_t most = left < 255 ? left : 255;
        const int32_t least = left == 256 && k == count - 2;
        const int32_t weight = k == count - 1 ? left : noise_between(least, most);
        rows->weights[k] = (uint8_t)weight;
        left -= weight;
    }
}

static void check_rows(enum dg_depth depth, size_t samples, int32_t count, bool is_extreme)
{
    const size_t bytes = depth == DG_WORDS ? 2 * samples : depth == DG_PACKED ? samples / 4 * 5
                                                                              : samples;
    struct dg_rows rows = {.shift = noise_between(2, 8),
                           .ahead = noise_between(-9999, 9999)};
    uint8_t *memory[DG_SHRINK_MAX];
    uint16_t *const one = make_line(samples, false), *const other = make_line(samples, false);
    choose_weights(&rows, count);
    for (int32_t k = 0; k < count; k++)
        rows.rows[k] = memory[k] = make_bytes(bytes, is_extreme);
    dg_kernels_plain.average_rows[depth](one, samples, &rows);
    fast->average_rows[depth](other, samples, &rows);
    CLAIM(memcmp(one, other, samples * sizeof *one) == 0);
    for (int32_t k = 0; k < count; k++)
        free(memory[k]);
    free(one);
    free(other);
}

static void check_deals(size_t count, bool is_extreme)
{
    uint16_t *const line = make_line(3 * count, is_extreme);
    uint16_t *const one[] = {make_line(count, false), make_line(count, false),
                             make_line(count, false)};
    uint16_t *const other[] = {make_line(count, false), make_line(count, false),
                               make_line(count, false)};
    dg_kernels_plain.deal_pairs(one[0], one[1], line, count);
    fast->deal_pairs(other[0], other[1], line, count);
    for (size_t c = 0; c < 2; c++)
        CLAIM(memcmp(one[c], other[c], count * sizeof *line) == 0);
    dg_kernels_plain.deal_triples(one, line, count);
    fast->deal_triples(other, line, count);
    for (size_t c = 0; c < 3; c++) {
        CLAIM(memcmp(one[c], other[c], count * sizeof *line) == 0);
        free(one[c]);
        free(other[c]);
    }
    free(line);
}

static void check_columns(int32_t source, int32_t target, bool is_extreme)
{
    struct dg_taps taps, halves;
    uint16_t *const samples = make_line((size_t)source, is_extreme);
    uint8_t *const one = make_bytes((size_t)target + DG_SLACK, false);
    uint8_t *const other = make_bytes((size_t)target + DG_SLACK, false);
    CLAIM(dg_taps_make(&taps, source, target, 16384) == DG_OK);
    CLAIM(dg_taps_halve(&halves, &taps, source % 2) == DG_OK);
    dg_kernels_plain.average_columns(one, &taps, samples);
    fast->average_columns(other, &taps, samples);
    CLAIM(memcmp(one, other, (size_t)target) == 0);
    dg_kernels_plain.average_columns(one, &halves, samples);
    fast->average_columns(other, &halves, samples);
    CLAIM(memcmp(one, other, (size_t)target) == 0);
    dg_taps_free(&taps);
    dg_taps_free(&halves);
    free(samples);
    free(one);
    free(other);
}

static void check_mix(size_t width, bool is_extreme)
{
    const struct dg_mix mix = {
        .weights = {(int16_t)noise_between(INT16_MIN, INT16_MAX),
                    (int16_t)noise_between(INT16_MIN, INT16_MAX),
                    (int16_t)noise_between(INT16_MIN, INT16_MAX)},
        .shift = (int16_t)noise_between(0, 20),
        .offset = noise_between(-1000000, 1000000),
    };
    const uint8_t *const planes[] = {make_bytes(width + DG_SLACK, is_extreme),
                                     make_bytes(width + DG_SLACK, is_extreme),
                                     make_bytes(width + DG_SLACK, is_extreme)};
    uint8_t *const one = make_bytes(width + DG_SLACK, false);
    uint8_t *const other = make_bytes(width + DG_SLACK, false);
    dg_kernels_plain.mix(one, planes, &mix, width);
    fast->mix(other, planes, &mix, width);
    CLAIM(memcmp(one, other, width) == 0);
    uint8_t *const pixels = make_bytes(3 * width, false);
    uint8_t *const same = make_bytes(3 * width, false);
    dg_kernels_plain.interleave(pixels, planes, width);
    fast->interleave(same, planes, width);
    CLAIM(memcmp(pixels, same, 3 * width) == 0);
    for (size_t c = 0; c < 3; c++)
        free((void *)(uintptr_t)planes[c]);
    free(one);
    free(other);
    free(pixels);
    free(same);
}

static void check_all(const struct dg_kernels *kernels)
{
    fast = kernels;
    for (int32_t length = 0; length <= LONGEST; length++) {
        for (int is_extreme = 0; is_extreme < 2; is_extreme++) {
            const int32_t count = 2 * noise_between(1, length % 8 ? 4 : DG_SHRINK_MAX / 2);
            check_rows(DG_BYTES, (size_t)length, count, is_extreme);
            check_rows(DG_WORDS, (size_t)length, count, is_extreme);
            check_rows(DG_PACKED, (size_t)length / 4 * 4, count, is_extreme);
            check_deals((size_t)length, is_extreme);
            check_mix((size_t)length, is_extreme);
            if (length > 0) {
                check_columns(noise_between(1, 3 * length), length, is_extreme);
                check_columns(length * noise_between(1, 20), length, is_extreme);
                check_columns(length, noise_between(1, LONGEST), is_extreme);
            }
        }
    }
    check_columns(DG_SHRINK_MAX, 1, true);
    check_columns(DG_SHRINK_MAX * 9, 9, true);
}

int main(void)
{
    const struct dg_kernels *const kinds[] = {&dg_kernels_plain, dg_kernels_avx2(),
                                              dg_kernels_neon()};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i])
            check_all(kinds[i]);
    }
    return 0;
}
