#include "kernels.h"

#if defined(__x86_64__)

#include <stdbool.h>
#include <string.h>

#include "avx2.h"

enum { BLOCK = 32 };

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

/* Where a block goes: to a line or, where there is an other, to two by turns. */
struct parts {
    uint16_t *one, *other;
};

AVX2_INLINE void store_block(const struct parts *parts, size_t j, const struct sums *sums)
{
    const __m256i low = _mm256_srli_epi16(sums->low, 1), high = _mm256_srli_epi16(sums->high, 1);
    if (!parts->other) {
        __m256i *const into = (__m256i *)(parts->one + j);
        _mm256_storeu_si256(into, _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256(into + 1, _mm256_permute2x128_si256(low, high, 0x31));
        return;
    }
    const __m256i mask = _mm256_set1_epi32(0xFFFF);
    const __m256i even =
        _mm256_packus_epi32(_mm256_and_si256(low, mask), _mm256_and_si256(high, mask));
    const __m256i odd =
        _mm256_packus_epi32(_mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
    _mm256_storeu_si256((__m256i *)(parts->one + j / 2), even);
    _mm256_storeu_si256((__m256i *)(parts->other + j / 2), odd);
}

/* `blocks` neighbours, from sample j on; asks for what the rows after these need. */
AVX2_INLINE void average_some(const struct parts *parts, size_t j, size_t blocks,
                              const struct dg_rows *rows, enum dg_depth depth, load_block *load)
{
    const bool is_wide = depth != DG_BYTES; /* more than the 64 bytes of a cache line */
    const __m256i offset = _mm256_set1_epi16(INT16_MIN);
    const __m128i shift = _mm_cvtsi32_si128(rows->shift);
    struct sums sums[2] = {{offset, offset}, {offset, offset}};
    for (int32_t k = 0; k < rows->count; k += 2) {
        const uint8_t *const a = rows->rows[k], *const b = rows->rows[k + 1];
        int16_t weights;
        memcpy(&weights, rows->weights + k, sizeof weights);
        for (size_t at = 0; at <= is_wide; at++) {
            dg_rows_prefetch(rows, k, (j << is_wide) + 64 * at);
            dg_rows_prefetch(rows, k + 1, (j << is_wide) + 64 * at);
        }
        for (size_t i = 0; i < blocks; i++)
            add_block(&sums[i], load(a, j + i * BLOCK, shift), load(b, j + i * BLOCK, shift),
                      _mm256_set1_epi16(weights));
    }
    for (size_t i = 0; i < blocks; i++)
        store_block(parts, j + i * BLOCK, &sums[i]);
}

/* The last block overlaps the one before, so that nothing beyond the row is read. */
AVX2_INLINE void average_all(struct parts parts, size_t samples, const struct dg_rows *rows,
                             enum dg_depth depth, load_block *load)
{
    if (samples < BLOCK) {
        dg_kernels_plain.average_rows[depth](parts.one, parts.other, samples, rows);
        return;
    }
    size_t j = 0;
    for (; j + 2 * BLOCK <= samples; j += 2 * BLOCK)
        average_some(&parts, j, 2, rows, depth, load);
    if (j + BLOCK <= samples)
        average_some(&parts, j, 1, rows, depth, load);
    if (samples % BLOCK)
        average_some(&parts, samples - BLOCK, 1, rows, depth, load);
}

AVX2 void dg_avx2_average_bytes(uint16_t *one, uint16_t *other, size_t samples,
                                const struct dg_rows *rows)
{
    average_all((struct parts){one, other}, samples, rows, DG_BYTES, load_bytes);
}

AVX2 void dg_avx2_average_words(uint16_t *one, uint16_t *other, size_t samples,
                                const struct dg_rows *rows)
{
    average_all((struct parts){one, other}, samples, rows, DG_WORDS, load_words);
}

AVX2 void dg_avx2_average_packed(uint16_t *one, uint16_t *other, size_t samples,
                                 const struct dg_rows *rows)
{
    average_all((struct parts){one, other}, samples, rows, DG_PACKED, load_packed);
}

#endif
