#include "kernels.h"

#if defined(__x86_64__)

#include "avx2.h"

enum { LANES = 16 };

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

/* How LANES outputs of four samples each are made, whatever the channel. Loaded once: a byte that
 * is written could else be one of the table. */
struct lanes {
    int64_t first[LANES];
    __m256i windows[LANES / 4], weights[LANES / 4];
};

AVX2_INLINE struct lanes lanes_from(const struct dg_taps *taps, int32_t i)
{
    struct lanes lanes;
    const __m256i *const windows = (const __m256i *)(taps->windows + (size_t)i * 8);
    const __m256i *const weights = (const __m256i *)(taps->weights + (size_t)i * 4);
    for (int k = 0; k < LANES / 4; k++) {
        lanes.windows[k] = _mm256_loadu_si256(windows + k);
        lanes.weights[k] = _mm256_loadu_si256(weights + k);
    }
    for (int k = 0; k < LANES; k += 2)
        lanes.first[k] = taps->first[i + k];
    return lanes;
}

/* Sums of four outputs in two parts each. The windows take two outputs out of each load. */
AVX2_INLINE __m256i four_of_four(const struct lanes *lanes, int k, const uint16_t *samples)
{
    const __m256i taken =
        halves_at(samples + lanes->first[4 * k], samples + lanes->first[4 * k + 2]);
    return _mm256_madd_epi16(_mm256_shuffle_epi8(taken, lanes->windows[k]), lanes->weights[k]);
}

/* Sums of eight outputs, in the order 0 1 4 5, 2 3 6 7. */
AVX2_INLINE __m256i eight_of_four(const struct lanes *lanes, int k, const uint16_t *samples)
{
    return _mm256_hadd_epi32(four_of_four(lanes, k, samples), four_of_four(lanes, k + 1, samples));
}

/* Sums of outputs i and i + 2 in four parts each. */
AVX2_INLINE __m256i two_of_many(const struct dg_taps *taps, int32_t i, const uint16_t *samples)
{
    const int32_t longest = taps->longest, *const first = taps->first + i;
    const int16_t *const weights = taps->weights + (size_t)i * (size_t)longest;
    const int16_t *const others = weights + 2 * longest;
    __m256i sums = _mm256_setzero_si256();
    for (int32_t k = 0; k < longest; k += 8) {
        const __m256i taken = halves_at(samples + first[0] + k, samples + first[2] + k);
        const __m256i products = _mm256_madd_epi16(taken, halves_at(weights + k, others + k));
        sums = _mm256_add_epi32(sums, products);
    }
    return sums;
}

/* Sums of eight outputs in the order of eight_of_four. */
AVX2_INLINE __m256i eight_of_many(const struct dg_taps *taps, int32_t i, const uint16_t *samples)
{
    const __m256i upper = _mm256_hadd_epi32(two_of_many(taps, i, samples),
                                            two_of_many(taps, i + 1, samples));
    const __m256i lower = _mm256_hadd_epi32(two_of_many(taps, i + 4, samples),
                                            two_of_many(taps, i + 5, samples));
    return _mm256_hadd_epi32(upper, lower);
}

/* Rounds twice eight sums, and brings them to their order. */
AVX2_INLINE void store_averages(uint8_t *plane, __m256i sums, __m256i others)
{
    const __m256i half = _mm256_set1_epi32(1 << (DG_COLUMN_SHIFT - 1));
    const __m256i words =
        _mm256_packus_epi32(_mm256_srli_epi32(_mm256_add_epi32(sums, half), DG_COLUMN_SHIFT),
                            _mm256_srli_epi32(_mm256_add_epi32(others, half), DG_COLUMN_SHIFT));
    const __m128i levels =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    const __m128i order = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    _mm_storeu_si128((__m128i *)plane, _mm_shuffle_epi8(levels, order));
}

AVX2_INLINE void average_four(uint8_t *const *planes, uint16_t *const *samples, int32_t channels,
                              struct dg_taps taps)
{
    uint8_t *into[3];
    const uint16_t *from[3];
    for (int32_t c = 0; c < channels; c++) {
        into[c] = planes[c];
        from[c] = samples[c];
    }
    for (int32_t i = 0; i < taps.length; i += LANES) {
        const struct lanes lanes = lanes_from(&taps, i);
        for (int32_t c = 0; c < channels; c++)
            store_averages(into[c] + i, eight_of_four(&lanes, 0, from[c]),
                           eight_of_four(&lanes, 2, from[c]));
    }
}

AVX2_INLINE void average_many(uint8_t *plane, const uint16_t *samples, struct dg_taps taps)
{
    for (int32_t i = 0; i < taps.length; i += LANES)
        store_averages(plane + i, eight_of_many(&taps, i, samples),
                       eight_of_many(&taps, i + 8, samples));
}

static AVX2 void average_columns(uint8_t *const *planes, uint16_t *const *samples,
                                 int32_t channels, const struct dg_taps *taps)
{
    if (taps->longest > 4) {
        for (int32_t c = 0; c < channels; c++)
            average_many(planes[c], samples[c], *taps);
    } else if (channels == 1) {
        average_four(planes, samples, 1, *taps);
    } else if (channels == 2) {
        average_four(planes, samples, 2, *taps);
    } else {
        average_four(planes, samples, 3, *taps);
    }
}

AVX2_INLINE __m256i sixteen_of(const uint8_t *plane)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)plane));
}

/* Two words for each of eight pairs, the first for the lower. */
AVX2_INLINE __m256i pair_of(int low, int high)
{
    return _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)high << 16 | (uint16_t)low));
}

AVX2_INLINE __m128i bytes_of(__m256i words)
{
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static AVX2 void mix_planes(uint8_t *mixed, const uint8_t *const *planes, const struct dg_mix *mix,
                            size_t width)
{
    const __m256i two = pair_of(mix->weights[0], mix->weights[1]);
    const __m256i one = pair_of(mix->weights[2], 0);
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
        _mm_storeu_si128((__m128i *)(mixed + i), bytes_of(_mm256_packs_epi32(low, high)));
    }
}

/* Sixteen bytes of three planes in turn, the first of them from plane a. */
AVX2_INLINE __m128i in_turn(__m128i a, __m128i b, __m128i c)
{
    const __m128i from_a = _mm_setr_epi8(-1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1);
    const __m128i from_b = _mm_setr_epi8(0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0);
    return _mm_blendv_epi8(_mm_blendv_epi8(c, b, from_b), a, from_a);
}

/* 48 bytes R G B. A plane's byte k comes to lie where it is needed: at 3 k, modulo 16. */
AVX2_INLINE void store_pixels(uint8_t *pixels, __m128i red, __m128i green, __m128i blue)
{
    const __m128i spread = _mm_setr_epi8(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5);
    const __m128i by_one = _mm_setr_epi8(5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10);
    const __m128i by_two = _mm_setr_epi8(10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15);
    const __m128i a = _mm_shuffle_epi8(red, spread), b = _mm_shuffle_epi8(green, by_one);
    const __m128i c = _mm_shuffle_epi8(blue, by_two);
    __m128i *const into = (__m128i *)pixels;
    _mm_storeu_si128(into, in_turn(a, b, c));
    _mm_storeu_si128(into + 1, in_turn(b, c, a));
    _mm_storeu_si128(into + 2, in_turn(c, a, b));
}

static AVX2 void interleave(uint8_t *pixels, const uint8_t *const *planes, size_t width)
{
    size_t i = 0;
    for (; i + 16 <= width; i += 16)
        store_pixels(pixels + 3 * i, _mm_loadu_si128((const __m128i *)(planes[0] + i)),
                     _mm_loadu_si128((const __m128i *)(planes[1] + i)),
                     _mm_loadu_si128((const __m128i *)(planes[2] + i)));
    const uint8_t *const rest[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    dg_kernels_plain.interleave(pixels + 3 * i, rest, width - i);
}

/* Sixteen of a colour: what luma gives it, and the weights of U and V. */
AVX2_INLINE __m128i tinted(const __m256i *luma, const __m256i *chroma, int of_u, int of_v)
{
    const __m256i weights = pair_of(of_u, of_v);
    const __m256i low = _mm256_add_epi32(luma[0], _mm256_madd_epi16(chroma[0], weights));
    const __m256i high = _mm256_add_epi32(luma[1], _mm256_madd_epi16(chroma[1], weights));
    return bytes_of(
        _mm256_packs_epi32(_mm256_srai_epi32(low, 8), _mm256_srai_epi32(high, 8)));
}

static AVX2 void rgb_from_yuv(uint8_t *pixels, const uint8_t *const *planes, size_t width)
{
    const uint8_t *const from_y = planes[0], *const from_u = planes[1], *const from_v = planes[2];
    const __m256i black = _mm256_set1_epi16(16), neutral = _mm256_set1_epi16(128);
    const __m256i of_luma = pair_of(298, 1);
    size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const __m256i y = _mm256_sub_epi16(sixteen_of(from_y + i), black);
        const __m256i u = _mm256_sub_epi16(sixteen_of(from_u + i), neutral);
        const __m256i v = _mm256_sub_epi16(sixteen_of(from_v + i), neutral);
        const __m256i luma[] = {
            _mm256_madd_epi16(_mm256_unpacklo_epi16(y, neutral), of_luma),
            _mm256_madd_epi16(_mm256_unpackhi_epi16(y, neutral), of_luma)};
        const __m256i chroma[] = {_mm256_unpacklo_epi16(u, v), _mm256_unpackhi_epi16(u, v)};
        store_pixels(pixels + 3 * i, tinted(luma, chroma, 0, 409),
                     tinted(luma, chroma, -100, -208), tinted(luma, chroma, 516, 0));
    }
    const uint8_t *const rest[] = {from_y + i, from_u + i, from_v + i};
    dg_kernels_plain.rgb_from_yuv(pixels + 3 * i, rest, width - i);
}

static const struct dg_kernels kernels = {
    .average_rows = {dg_avx2_average_bytes, dg_avx2_average_words, dg_avx2_average_packed},
    .deal_pairs = deal_pairs,
    .deal_triples = deal_triples,
    .average_columns = average_columns,
    .mix = mix_planes,
    .interleave = interleave,
    .rgb_from_yuv = rgb_from_yuv,
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
