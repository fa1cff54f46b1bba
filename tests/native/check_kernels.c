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
    uint16_t *const odd = make_line(samples, false), *const other_odd = make_line(samples, false);
    const size_t even = samples / 2 * 2, half = samples / 2 * sizeof *one;
    choose_weights(&rows, count);
    for (int32_t k = 0; k < count; k++)
        rows.rows[k] = memory[k] = make_bytes(bytes, is_extreme);
    dg_kernels_plain.average_rows[depth](one, NULL, samples, &rows);
    fast->average_rows[depth](other, NULL, samples, &rows);
    CLAIM(memcmp(one, other, samples * sizeof *one) == 0);
    dg_kernels_plain.average_rows[depth](one, odd, even, &rows);
    fast->average_rows[depth](other, other_odd, even, &rows);
    CLAIM(memcmp(one, other, half) == 0 && memcmp(odd, other_odd, half) == 0);
    for (int32_t k = 0; k < count; k++)
        free(memory[k]);
    free(one);
    free(other);
    free(odd);
    free(other_odd);
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

/* Three of `count` bytes and slack. */
struct planes {
    uint8_t *of[3];
};

static struct planes make_planes(size_t count, bool is_extreme)
{
    struct planes planes;
    for (size_t c = 0; c < 3; c++)
        planes.of[c] = make_bytes(count + DG_SLACK, is_extreme);
    return planes;
}

static void free_planes(struct planes *planes)
{
    for (size_t c = 0; c < 3; c++)
        free(planes->of[c]);
}

static void claim_same(const struct planes *one, const struct planes *other, int32_t channels,
                       size_t count)
{
    for (int32_t c = 0; c < channels; c++)
        CLAIM(memcmp(one->of[c], other->of[c], count) == 0);
}

static void check_columns(int32_t source, int32_t target, bool is_extreme)
{
    struct dg_taps taps, halves;
    const size_t count = (size_t)target;
    uint16_t *samples[3];
    struct planes one = make_planes(count, false), other = make_planes(count, false);
    CLAIM(dg_taps_make(&taps, source, target, 16384) == DG_OK);
    CLAIM(dg_taps_halve(&halves, &taps, source % 2) == DG_OK);
    for (size_t c = 0; c < 3; c++)
        samples[c] = make_line((size_t)source, is_extreme);
    for (int32_t channels = 1; channels <= 3; channels++) {
        dg_kernels_plain.average_columns(one.of, samples, channels, &taps);
        fast->average_columns(other.of, samples, channels, &taps);
        claim_same(&one, &other, channels, count);
        dg_kernels_plain.average_columns(one.of, samples, channels, &halves);
        fast->average_columns(other.of, samples, channels, &halves);
        claim_same(&one, &other, channels, count);
    }
    for (size_t c = 0; c < 3; c++)
        free(samples[c]);
    dg_taps_free(&taps);
    dg_taps_free(&halves);
    free_planes(&one);
    free_planes(&other);
}

static struct dg_mix random_mix(void)
{
    const struct dg_mix mix = {
        .weights = {(int16_t)noise_between(INT16_MIN, INT16_MAX),
                    (int16_t)noise_between(INT16_MIN, INT16_MAX),
                    (int16_t)noise_between(INT16_MIN, INT16_MAX)},
        .shift = (int16_t)noise_between(0, 20),
        .offset = noise_between(-1000000, 1000000),
    };
    return mix;
}

static void check_colours(size_t width, bool is_extreme)
{
    const struct dg_mix mix = random_mix();
    struct planes planes = make_planes(width, is_extreme), mixed = make_planes(width, false);
    const uint8_t *const from[] = {planes.of[0], planes.of[1], planes.of[2]};
    uint8_t *const pixels = make_bytes(3 * width, false);
    uint8_t *const same = make_bytes(3 * width, false);
    dg_kernels_plain.mix(mixed.of[0], from, &mix, width);
    fast->mix(mixed.of[1], from, &mix, width);
    CLAIM(memcmp(mixed.of[0], mixed.of[1], width) == 0);
    dg_kernels_plain.interleave(pixels, from, width);
    fast->interleave(same, from, width);
    CLAIM(memcmp(pixels, same, 3 * width) == 0);
    dg_kernels_plain.rgb_from_yuv(pixels, from, width);
    fast->rgb_from_yuv(same, from, width);
    CLAIM(memcmp(pixels, same, 3 * width) == 0);
    free_planes(&planes);
    free_planes(&mixed);
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
            check_colours((size_t)length, is_extreme);
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
