#include "kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 16, BLOCKS = 4, LANES = 8 };

/* BLOCK samples from sample j of a row on, as bytes in their order. */
typedef uint8x16_t load_block(const uint8_t *row, size_t j, int16x8_t shift);

INLINE uint8x16_t load_bytes(const uint8_t *row, size_t j, int16x8_t shift)
{
    (void)shift;
    return vld1q_u8(row + j);
}

INLINE uint8x16_t load_words(const uint8_t *row, size_t j, int16x8_t shift)
{
    const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(row + 2 * j));
    const uint16x8_t high = vreinterpretq_u16_u8(vld1q_u8(row + 2 * j + 16));
    return vcombine_u8(vqmovn_u16(vshlq_u16(low, shift)), vqmovn_u16(vshlq_u16(high, shift)));
}

/* Sixteen samples in twenty bytes, by two loads that overlap. */
INLINE uint8x16_t load_packed(const uint8_t *row, size_t j, int16x8_t shift)
{
    static const uint8_t from_first[] = {0,  1,  2,  3,  5,   6,   7,   8,
                                         10, 11, 12, 13, 255, 255, 255, 255};
    static const uint8_t from_last[] = {255, 255, 255, 255, 255, 255, 255, 255,
                                        255, 255, 255, 255, 11,  12,  13,  14};
    const uint8_t *const bytes = row + j / 4 * 5;
    (void)shift;
    return vorrq_u8(vqtbl1q_u8(vld1q_u8(bytes), vld1q_u8(from_first)),
                    vqtbl1q_u8(vld1q_u8(bytes + 4), vld1q_u8(from_last)));
}

/* Where a block goes: to a line or, where there is an other, to two by turns. */
struct parts {
    uint16_t *one, *other;
};

INLINE void store_block(const struct parts *parts, size_t j, uint16x8_t low, uint16x8_t high)
{
    if (!parts->other) {
        vst1q_u16(parts->one + j, low);
        vst1q_u16(parts->one + j + 8, high);
        return;
    }
    vst1q_u16(parts->one + j / 2, vuzp1q_u16(low, high));
    vst1q_u16(parts->other + j / 2, vuzp2q_u16(low, high));
}

/* `blocks` neighbours, from sample j on; asks for what the rows after these need. */
INLINE void average_some(const struct parts *parts, size_t j, size_t blocks,
                         const struct dg_rows *rows, enum dg_depth depth, load_block *load)
{
    const bool is_wide = depth != DG_BYTES;
    const int16x8_t shift = vdupq_n_s16((int16_t)-rows->shift);
    uint16x8_t low[BLOCKS], high[BLOCKS];
    for (size_t i = 0; i < blocks; i++)
        low[i] = high[i] = vdupq_n_u16(0);
    for (int32_t k = 0; k < rows->count; k++) {
        const uint8x8_t weight = vdup_n_u8(rows->weights[k]);
        for (size_t at = 0; at <= is_wide; at++)
            dg_rows_prefetch(rows, k, (j << is_wide) + 64 * at);
        for (size_t i = 0; i < blocks; i++) {
            const uint8x16_t samples = load(rows->rows[k], j + i * BLOCK, shift);
            low[i] = vmlal_u8(low[i], vget_low_u8(samples), weight);
            high[i] = vmlal_u8(high[i], vget_high_u8(samples), weight);
        }
    }
    for (size_t i = 0; i < blocks; i++)
        store_block(parts, j + i * BLOCK, vshrq_n_u16(low[i], 1), vshrq_n_u16(high[i], 1));
}

/* The last block overlaps the one before, so that nothing beyond the row is read. */
INLINE void average_all(struct parts parts, size_t samples, const struct dg_rows *rows,
                        enum dg_depth depth, load_block *load)
{
    if (samples < BLOCK) {
        dg_kernels_plain.average_rows[depth](parts.one, parts.other, samples, rows);
        return;
    }
    size_t j = 0;
    for (; j + BLOCKS * BLOCK <= samples; j += BLOCKS * BLOCK)
        average_some(&parts, j, BLOCKS, rows, depth, load);
    for (; j + BLOCK <= samples; j += BLOCK)
        average_some(&parts, j, 1, rows, depth, load);
    if (samples % BLOCK)
        average_some(&parts, samples - BLOCK, 1, rows, depth, load);
}

static void average_bytes(uint16_t *one, uint16_t *other, size_t samples,
                          const struct dg_rows *rows)
{
    average_all((struct parts){one, other}, samples, rows, DG_BYTES, load_bytes);
}

static void average_words(uint16_t *one, uint16_t *other, size_t samples,
                          const struct dg_rows *rows)
{
    average_all((struct parts){one, other}, samples, rows, DG_WORDS, load_words);
}

static void average_packed(uint16_t *one, uint16_t *other, size_t samples,
                           const struct dg_rows *rows)
{
    average_all((struct parts){one, other}, samples, rows, DG_PACKED, load_packed);
}

static void deal_pairs(uint16_t *even, uint16_t *odd, const uint16_t *line, size_t pairs)
{
    for (size_t i = 0; i < pairs; i += LANES) {
        const uint16x8x2_t words = vld2q_u16(line + 2 * i);
        vst1q_u16(even + i, words.val[0]);
        vst1q_u16(odd + i, words.val[1]);
    }
}

static void deal_triples(uint16_t *const *parts, const uint16_t *line, size_t triples)
{
    for (size_t i = 0; i < triples; i += LANES) {
        const uint16x8x3_t words = vld3q_u16(line + 3 * i);
        for (size_t c = 0; c < 3; c++)
            vst1q_u16(parts[c] + i, words.val[c]);
    }
}

/* The sum for one output in four parts. */
INLINE int32x4_t parts_of(const uint16_t *samples, const int16_t *weights, int32_t longest)
{
    int32x4_t sums = vmull_s16(vreinterpret_s16_u16(vld1_u16(samples)), vld1_s16(weights));
    for (int32_t k = 4; k < longest; k += 4)
        sums = vmlal_s16(sums, vreinterpret_s16_u16(vld1_u16(samples + k)), vld1_s16(weights + k));
    return sums;
}

/* Four outputs, rounded. */
INLINE uint16x4_t four_of(const struct dg_taps *taps, const uint16_t *samples, int32_t i,
                          int32_t longest)
{
    const int16_t *const weights = taps->weights + (size_t)i * (size_t)longest;
    int32x4_t sums[4];
    for (int32_t k = 0; k < 4; k++)
        sums[k] = parts_of(samples + taps->first[i + k], weights + k * longest, longest);
    const int32x4_t all =
        vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
    return vmovn_u32(vreinterpretq_u32_s32(vrshrq_n_s32(all, DG_COLUMN_SHIFT)));
}

INLINE void average_outputs(uint8_t *plane, const struct dg_taps *taps, const uint16_t *samples,
                            int32_t longest)
{
    for (int32_t i = 0; i < taps->length; i += LANES) {
        const uint16x4_t low = four_of(taps, samples, i, longest);
        const uint16x4_t high = four_of(taps, samples, i + 4, longest);
        vst1_u8(plane + i, vmovn_u16(vcombine_u16(low, high)));
    }
}

static void average_columns(uint8_t *const *planes, uint16_t *const *samples, int32_t channels,
                            const struct dg_taps *taps)
{
    for (int32_t c = 0; c < channels; c++) {
        if (taps->longest == 4)
            average_outputs(planes[c], taps, samples[c], 4);
        else
            average_outputs(planes[c], taps, samples[c], taps->longest);
    }
}

INLINE int16x8_t eight_of(const uint8_t *plane)
{
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(plane)));
}

static void mix_planes(uint8_t *mixed, const uint8_t *const *planes, const struct dg_mix *mix,
                       size_t width)
{
    const int32x4_t shift = vdupq_n_s32(-mix->shift);
    for (size_t i = 0; i < width; i += LANES) {
        int32x4_t low = vdupq_n_s32(mix->offset), high = low;
        for (size_t c = 0; c < 3; c++) {
            const int16x8_t samples = eight_of(planes[c] + i);
            low = vmlal_n_s16(low, vget_low_s16(samples), mix->weights[c]);
            high = vmlal_n_s16(high, vget_high_s16(samples), mix->weights[c]);
        }
        const int16x4_t below = vqmovn_s32(vshlq_s32(low, shift));
        const int16x4_t above = vqmovn_s32(vshlq_s32(high, shift));
        vst1_u8(mixed + i, vqmovun_s16(vcombine_s16(below, above)));
    }
}

static void interleave(uint8_t *pixels, const uint8_t *const *planes, size_t width)
{
    size_t i = 0;
    for (; i + BLOCK <= width; i += BLOCK) {
        const uint8x16x3_t all = {
            {vld1q_u8(planes[0] + i), vld1q_u8(planes[1] + i), vld1q_u8(planes[2] + i)}};
        vst3q_u8(pixels + 3 * i, all);
    }
    const uint8_t *const rest[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    dg_kernels_plain.interleave(pixels + 3 * i, rest, width - i);
}

/* Eight of a colour: what luma gives it, and the weights of U and V. */
INLINE uint8x8_t tinted(int32x4x2_t luma, int16x8_t u, int16x8_t v, int16_t of_u, int16_t of_v)
{
    int32x4_t low = vmlal_n_s16(luma.val[0], vget_low_s16(u), of_u);
    int32x4_t high = vmlal_n_s16(luma.val[1], vget_high_s16(u), of_u);
    low = vmlal_n_s16(low, vget_low_s16(v), of_v);
    high = vmlal_n_s16(high, vget_high_s16(v), of_v);
    return vqmovun_s16(vcombine_s16(vqmovn_s32(vshrq_n_s32(low, 8)),
                                    vqmovn_s32(vshrq_n_s32(high, 8))));
}

static void rgb_from_yuv(uint8_t *pixels, const uint8_t *const *planes, size_t width)
{
    const int16x8_t black = vdupq_n_s16(16), neutral = vdupq_n_s16(128);
    const int32x4_t half = vdupq_n_s32(128);
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        const int16x8_t y = vsubq_s16(eight_of(planes[0] + i), black);
        const int16x8_t u = vsubq_s16(eight_of(planes[1] + i), neutral);
        const int16x8_t v = vsubq_s16(eight_of(planes[2] + i), neutral);
        const int32x4x2_t luma = {{vmlal_n_s16(half, vget_low_s16(y), 298),
                                   vmlal_n_s16(half, vget_high_s16(y), 298)}};
        const uint8x8x3_t rgb = {{tinted(luma, u, v, 0, 409), tinted(luma, u, v, -100, -208),
                                  tinted(luma, u, v, 516, 0)}};
        vst3_u8(pixels + 3 * i, rgb);
    }
    const uint8_t *const rest[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    dg_kernels_plain.rgb_from_yuv(pixels + 3 * i, rest, width - i);
}

static const struct dg_kernels kernels = {
    .average_rows = {average_bytes, average_words, average_packed},
    .deal_pairs = deal_pairs,
    .deal_triples = deal_triples,
    .average_columns = average_columns,
    .mix = mix_planes,
    .interleave = interleave,
    .rgb_from_yuv = rgb_from_yuv,
};

const struct dg_kernels *dg_kernels_neon(void)
{
    return &kernels;
}

#else

const struct dg_kernels *dg_kernels_neon(void)
{
    return NULL;
}

#endif
