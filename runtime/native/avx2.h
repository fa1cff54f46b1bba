#ifndef DG_AVX2_H
#define DG_AVX2_H

/* What the files for AVX2 share. They are compiled for any x86-64, and run where the CPU has it. */

#include <immintrin.h>

#include "kernels.h"

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

AVX2_INLINE __m256i halves_at(const void *low, const void *high)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
        _mm_loadu_si128((const __m128i *)high), 1);
}

/* For the table of kernels. */
void dg_avx2_average_bytes(uint16_t *one, uint16_t *other, size_t samples,
                           const struct dg_rows *rows);
void dg_avx2_average_words(uint16_t *one, uint16_t *other, size_t samples,
                           const struct dg_rows *rows);
void dg_avx2_average_packed(uint16_t *one, uint16_t *other, size_t samples,
                            const struct dg_rows *rows);

#endif
