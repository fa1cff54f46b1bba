#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

enum { BLOCK = 32, LANES = 8, COLUMN_SHIFT = 21 };

AVX2_INLINE __m256i halves_at(const void *low, const void *high)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
        _mm_loadu_si128((const __m128i *)high), 1);
}

/* BLOCK samples from sample j of a row on, as bytes in their order. */
typedef __m256i load_block(const uint8_t *row, size_t j, __m128i shift);

AVX2_INLINE __m256i load_bytes(const uint8_t *row, size_t j, __m128i shift)
{
    (void)shift;
    return _mm256_loadu_si256((const __m256i *)(row + j));
}

AVX2_INLINE __m256i load_words(const uint8_t *row, size_t j, __m128i shift)
{
    const __m256i *const words = (const __m256i *)(row + 2 * j);
    const __m256i low = _mm256_srl_epi16(_mm256_loadu_si256(words), shift);
    const __m256i high = _mm256_srl_epi16(_mm256_loadu_si256(words + 1), shift);
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}

/* Sixteen samples in twenty bytes to a lane, by two loads that overlap. */
AVX2_INLINE __m256i load_packed(const uint8_t *row, size_t j, __m128i shift)
{
    const uint8_t *const bytes = row + j / 4 * 5;
    const __m256i from_first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, -1, -1, -1, -1));
    const __m256i from_last = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 11, 12, 13, 14));
    const __m256i first = halves_at(bytes, bytes + 20);
    const __m256i last = halves_at(bytes + 4, bytes + 24);
    (void)shift;
    return _mm256_or_si256(_mm256_shuffle_epi8(first, from_first),
                           _mm256_shuffle_epi8(last, from_last));
}

/* Sums of 16 samples each: samples 0 to 7 and 16 to 23 of a block, 8 to 15 and 24 to 31. */
struct sums {
    __m256i low, high;
};

/* A sample less 128 is signed, and 256 times it never leaves 16 bits; 32768 is added in the end. */
AVX2_INLINE void add_block(struct sums *sums, __m256i one, __m256i other, __m256i weights)
{
    const __m256i sign = _mm256_set1_epi8(-128);
    const __m256i a = _mm256_xor_si256(one, sign), b = _mm256_xor_si256(other, sign);
    const __m256i low = _mm256_maddubs_epi16(weights, _mm256_unpacklo_epi8(a, b));
    const __m256i high = _mm256_maddubs_epi16(weights, _mm256_unpackhi_epi8(a, b));
    sums->low = _mm256_add_epi16(sums->low, low);
    sums->high = _mm256_add_epi16(sums->high, high);
}

AVX2_INLINE void store_block(uint16_t *line, const struct sums *sums)
{
    const __m256i low = _mm256_srli_epi16(sums->low, 1), high = _mm256_srli_epi16(sums->high, 1);
    _mm256_storeu_si256((__m256i *)line, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((__m256i *)line + 1, _mm256_permute2x128_si256(low, high, 0x31));
}

/* `blocks` neighbours, from sample j on; asks for what the rows after these need. */
AVX2_INLINE void average_some(uint16_t *line, size_t j, size_t blocks, const struct dg_rows *rows,
                              enum dg_depth depth, load_block *load)
{
    const bool is_wide = depth != DG_BYTES; /* more than the 64 bytes of a cache line */
    const __m256i offset = _mm256_set1_epi16(INT16_MIN);
    const __m128i shift = _mm_cvtsi32_si128(rows->shift);
    struct sums sums[2] = {{offset, offset}, {offset, offset}};
    for (int32_t k = 0; k < rows->count; k += 2) {
        const uint8_t *const a = rows->rows[k], *const b = rows->rows[k + 1];
        const int weights = rows->weights[k] | rows->weights[k + 1] << 8;
        for (size_t at = 0; at <= is_wide; at++) {
            dg_rows_prefetch(rows, k, (j << is_wide) + 64 * at);
            dg_rows_prefetch(rows, k + 1, (j << is_wide) + 64 * at);
        }
        for (size_t i = 0; i < blocks; i++)
            add_block(&sums[i], load(a, j + i * BLOCK, shift), load(b, j + i * BLOCK, shift),
                      _mm256_set1_epi16((int16_t)weights));
    }
    for (size_t i = 0; i < blocks; i++)
        store_block(line + j + i * BLOCK, &sums[i]);
}

/* The last block overlaps the one before, so that nothing beyond the row is read. */
AVX2_INLINE void average_all(uint16_t *line, size_t samples, const struct dg_rows *rows,
                             enum dg_depth depth, load_block *load)
{
    if (samples < BLOCK) {
        dg_kernels_plain.average_rows[depth](line, samples, rows);
        return;
    }
    size_t j = 0;
    for (; j + 2 * BLOCK <= samples; j += 2 * BLOCK)
        average_some(line, j, 2, rows, depth, load);
    if (j + BLOCK <= samples)
        average_some(line, j, 1, rows, depth, load);
    if (samples % BLOCK)
        average_some(line, samples - BLOCK, 1, rows, depth, load);
}

static AVX2 void average_bytes(uint16_t *line, size_t samples, const struct dg_rows *rows)
{
    average_all(line, samples, rows, DG_BYTES, load_bytes);
}

static AVX2 void average_words(uint16_t *line, size_t samples, const struct dg_rows *rows)
{
    average_all(line, samples, rows, DG_WORDS, load_words);
}

static AVX2 void average_packed(uint16_t *line, size_t samples, const struct dg_rows *rows)
{
    average_all(line, samples, rows, DG_PACKED, load_packed);
}

static AVX2 void deal_pairs(uint16_t *even, uint16_t *odd, const uint16_t *line, size_t pairs)
{
    const __m256i low = _mm256_set1_epi32(0xFFFF);
    for (size_t i = 0; i < pairs; i += 16) {
        const __m256i *const words = (const __m256i *)(line + 2 * i);
        const __m256i a = _mm256_loadu_si256(words), b = _mm256_loadu_si256(words + 1);
        const __m256i evens =
            _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
        const __m256i odds =
            _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
        _mm256_storeu_si256((__m256i *)(even + i), _mm256_permute4x64_epi64(evens, 0xD8));
        _mm256_storeu_si256((__m256i *)(odd + i), _mm256_permute4x64_epi64(odds, 0xD8));
    }
}

/* Words 0, 3, 6 of `a`, 1, 4, 7 of `b` and 2, 5 of `c`, brought to their order. */
AVX2_INLINE __m128i every_third(__m128i a, __m128i b, __m128i c, __m128i order)
{
    return _mm_shuffle_epi8(_mm_blend_epi16(_mm_blend_epi16(a, b, 0x92), c, 0x24), order);
}

static AVX2 void deal_triples(uint16_t *const *parts, const uint16_t *line, size_t triples)
{
    const __m128i first = _mm_setr_epi8(0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15, 4, 5, 10, 11);
    const __m128i second = _mm_setr_epi8(2, 3, 8, 9, 14, 15, 4, 5, 10, 11, 0, 1, 6, 7, 12, 13);
    const __m128i third = _mm_setr_epi8(4, 5, 10, 11, 0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15);
    for (size_t i = 0; i < triples; i += 8) {
        const __m128i *const words = (const __m128i *)(line + 3 * i);
        const __m128i a = _mm_loadu_si128(words), b = _mm_loadu_si128(words + 1);
        const __m128i c = _mm_loadu_si128(words + 2);
        _mm_storeu_si128((__m128i *)(parts[0] + i), every_third(a, b, c, first));
        _mm_storeu_si128((__m128i *)(parts[1] + i), every_third(c, a, b, second));
        _mm_storeu_si128((__m128i *)(parts[2] + i), every_third(b, c, a, third));
    }
}

AVX2_INLINE __m128i two_fours(const uint16_t *a, const uint16_t *b)
{
    return _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)a),
                              _mm_loadl_epi64((const __m128i *)b));
}

/* Sums of four outputs' two halves each, of four samples an output. */
AVX2_INLINE __m256i four_of_four(const int32_t *first, const int16_t *weights,
                                 const uint16_t *samples)
{
    const __m256i taken = _mm256_set_m128i(two_fours(samples + first[4], samples + first[5]),
                                           two_fours(samples + first[0], samples + first[1]));
    return _mm256_madd_epi16(taken, halves_at(weights, weights + 4 * 4));
}

/* Eight outputs in their order, of four samples each. */
AVX2_INLINE __m256i eight_of_four(const int32_t *first, const int16_t *weights,
                                  const uint16_t *samples)
{
    return _mm256_hadd_epi32(four_of_four(first, weights, samples),
                             four_of_four(first + 2, weights + 2 * 4, samples));
}

/* Sums of outputs 0 and 4 in four parts each, of `longest` samples. */
AVX2_INLINE __m256i two_of_many(const int32_t *first, const int16_t *weights,
                                const uint16_t *samples, int32_t longest)
{
    const int16_t *const others = weights + 4 * longest;
    __m256i sums = _mm256_setzero_si256();
    for (int32_t k = 0; k < longest; k += LANES) {
        const __m256i taken = halves_at(samples + first[0] + k, samples + first[4] + k);
        const __m256i products = _mm256_madd_epi16(taken, halves_at(weights + k, others + k));
        sums = _mm256_add_epi32(sums, products);
    }
    return sums;
}

AVX2_INLINE __m256i eight_of_many(const int32_t *first, const int16_t *weights,
                                  const uint16_t *samples, int32_t longest)
{
    __m256i sums[4];
    for (int32_t i = 0; i < 4; i++)
        sums[i] = two_of_many(first + i, weights + i * longest, samples, longest);
    return _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                             _mm256_hadd_epi32(sums[2], sums[3]));
}

AVX2_INLINE void store_averages(uint8_t *plane, __m256i sums)
{
    const __m256i half = _mm256_set1_epi32(1 << (COLUMN_SHIFT - 1));
    const __m256i levels = _mm256_srli_epi32(_mm256_add_epi32(sums, half), COLUMN_SHIFT);
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(levels), _mm256_extracti128_si256(levels, 1));
    _mm_storel_epi64((__m128i *)plane, _mm_packus_epi16(words, words));
}

static AVX2 void average_columns(uint8_t *plane, const struct dg_taps *taps,
                                 const uint16_t *samples)
{
    const int32_t longest = taps->longest;
    for (int32_t i = 0; i < taps->length; i += LANES) {
        const int16_t *const weights = taps->weights + (size_t)i * (size_t)longest;
        const int32_t *const first = taps->first + i;
        store_averages(plane + i, longest == 4 ? eight_of_four(first, weights, samples)
                                               : eight_of_many(first, weights, samples, longest));
    }
}

AVX2_INLINE __m256i sixteen_of(const uint8_t *plane)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)plane));
}

static AVX2 void mix_planes(uint8_t *mixed, const uint8_t *const *planes, const struct dg_mix *mix,
                            size_t width)
{
    const __m256i two = _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)mix->weights[1] << 16 |
                                                    (uint16_t)mix->weights[0]));
    const __m256i one = _mm256_set1_epi32((uint16_t)mix->weights[2]);
    const __m256i offset = _mm256_set1_epi32(mix->offset), zero = _mm256_setzero_si256();
    const __m128i shift = _mm_cvtsi32_si128(mix->shift);
    for (size_t i = 0; i < width; i += 16) {
        const __m256i a = sixteen_of(planes[0] + i), b = sixteen_of(planes[1] + i);
        const __m256i c = sixteen_of(planes[2] + i);
        __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), two);
        __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), two);
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(c, zero), one));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(c, zero), one));
        low = _mm256_sra_epi32(_mm256_add_epi32(low, offset), shift);
        high = _mm256_sra_epi32(_mm256_add_epi32(high, offset), shift);
        const __m256i levels = _mm256_packs_epi32(low, high);
        _mm_storeu_si128((__m128i *)(mixed + i),
                         _mm_packus_epi16(_mm256_castsi256_si128(levels),
                                          _mm256_extracti128_si256(levels, 1)));
    }
}

/* Sixteen bytes of three planes in turn, the first of them from plane a. */
AVX2_INLINE __m128i in_turn(__m128i a, __m128i b, __m128i c)
{
    const __m128i from_a = _mm_setr_epi8(-1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1);
    const __m128i from_b = _mm_setr_epi8(0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0);
    return _mm_blendv_epi8(_mm_blendv_epi8(c, b, from_b), a, from_a);
}

/* A plane's byte 3 i + k of each third lies where it is needed: at 11 i + 6 k, modulo 16. */
static AVX2 void interleave(uint8_t *pixels, const uint8_t *const *planes, size_t width)
{
    const __m128i spread = _mm_setr_epi8(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5);
    const __m128i by_one = _mm_setr_epi8(5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10);
    const __m128i by_two = _mm_setr_epi8(10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15);
    size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        __m128i *const into = (__m128i *)(pixels + 3 * i);
        const __m128i a =
            _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(planes[0] + i)), spread);
        const __m128i b =
            _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(planes[1] + i)), by_one);
        const __m128i c =
            _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(planes[2] + i)), by_two);
        _mm_storeu_si128(into, in_turn(a, b, c));
        _mm_storeu_si128(into + 1, in_turn(b, c, a));
        _mm_storeu_si128(into + 2, in_turn(c, a, b));
    }
    const uint8_t *const rest[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    dg_kernels_plain.interleave(pixels + 3 * i, rest, width - i);
}

static const struct dg_kernels kernels = {
    .average_rows = {average_bytes, average_words, average_packed},
    .deal_pairs = deal_pairs,
    .deal_triples = deal_triples,
    .average_columns = average_columns,
    .mix = mix_planes,
    .interleave = interleave,
};

const struct dg_kernels *dg_kernels_avx2(void)
{
    return __builtin_cpu_supports("avx2") ? &kernels : NULL;
}

#else

const struct dg_kernels *dg_kernels_avx2(void)
{
    return NULL;
}

#endif
