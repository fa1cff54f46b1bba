/* The tap tables: sums, places and weights, against the definition in taps.h in other words. */

#include "check.h"
#include "preprocess.h"
#include "taps.h"

static int16_t weight_of(const struct dg_taps *taps, int32_t i, int32_t source_index)
{
    const int32_t k = source_index - taps->first[i];
    return k < 0 || k >= taps->count[i] ? 0 : taps->weights[i * taps->longest + k];
}

/* How much of the first `k` source indices lies in output i, in units of 1/target. */
static int64_t covered_before(int64_t k, int64_t i, int64_t source, int64_t target)
{
    const int64_t length = k * target - i * source;
    return length < 0 ? 0 : length > source ? source : length;
}

static int64_t rounded(int64_t numerator, int64_t denominator)
{
    return (2 * numerator + denominator) / (2 * denominator);
}

static int64_t averaged(int64_t k, int64_t i, int64_t source, int64_t target, int64_t total)
{
    const int64_t before = covered_before(k, i, source, target);
    const int64_t after = covered_before(k + 1, i, source, target);
    return rounded(total * after, source) - rounded(total * before, source);
}

/* Distances are in units of 1/(2 * target) of a source index. */
static int64_t interpolated(int64_t k, int64_t i, int64_t source, int64_t target, int64_t total)
{
    const int64_t unit = 2 * target, last = (source - 1) * unit;
    int64_t centre = (2 * i + 1) * source - target;
    centre = centre < 0 ? 0 : centre > last ? last : centre;
    const int64_t first = centre / unit, second = rounded(total * (centre - first * unit), unit);
    return k == first ? total - second : k == first + 1 ? second : 0;
}

/* Two outputs of four samples, and what follows the last: inside 16 bytes, without weight. */
static void check_windows(const struct dg_taps *taps)
{
    CLAIM(taps->longest == 4 ? taps->windows != NULL : taps->longest % 8 == 0 && !taps->windows);
    for (int32_t i = 0; i < (taps->length + 15) / 16 * 16; i++) {
        const int32_t ahead = taps->first[i] - taps->first[i / 2 * 2];
        for (int32_t k = 0; taps->windows && k < 8; k++)
            CLAIM(taps->windows[8 * i + k] == 2 * ahead + k && 2 * ahead + k < 16);
        for (int32_t k = i < taps->length ? taps->count[i] : 0; k < taps->longest; k++)
            CLAIM(taps->weights[i * taps->longest + k] == 0);
    }
}

static void check_table(int32_t source, int32_t target, int32_t total)
{
    struct dg_taps taps;
    CLAIM(dg_taps_make(&taps, source, target, total) == DG_OK);
    for (int32_t i = 0; i < target; i++) {
        int32_t sum = 0;
        CLAIM(taps.first[i] >= 0 && taps.first[i] + taps.count[i] <= source);
        CLAIM(taps.count[i] >= 1 && taps.count[i] <= taps.longest);
        for (int32_t k = 0; k < source; k++) {
            const int64_t wanted = source >= target ? averaged(k, i, source, target, total)
                                                    : interpolated(k, i, source, target, total);
            CLAIM(weight_of(&taps, i, k) == wanted);
            sum += weight_of(&taps, i, k);
        }
        CLAIM(sum == total);
    }
    check_windows(&taps);
    dg_taps_free(&taps);
    dg_taps_free(&taps);
}

static void check_every_index_counts(int32_t source, int32_t target)
{
    struct dg_taps taps;
    CLAIM(dg_taps_make(&taps, source, target, 256) == DG_OK);
    for (int32_t k = 0; k < source; k++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < target; i++)
            sum += weight_of(&taps, i, k);
        CLAIM(sum >= 1);
    }
    dg_taps_free(&taps);
}

static void check_halves(int32_t source, int32_t target, int32_t shift)
{
    struct dg_taps taps, pairs;
    CLAIM(dg_taps_make(&taps, source, target, 16384) == DG_OK);
    CLAIM(dg_taps_halve(&pairs, &taps, shift) == DG_OK);
    for (int32_t i = 0; i < target; i++) {
        CLAIM(pairs.count[i] >= 1 && pairs.count[i] <= pairs.longest);
        for (int32_t pair = 0; pair <= (source - 1 + shift) / 2; pair++) {
            const int32_t k = 2 * pair - shift;
            const int32_t both = weight_of(&taps, i, k) + weight_of(&taps, i, k + 1);
            CLAIM(weight_of(&pairs, i, pair) == both);
        }
    }
    check_windows(&pairs);
    dg_taps_free(&taps);
    dg_taps_free(&pairs);
}

static void check_failing_allocations(void)
{
    struct dg_taps taps;
    for (int survivors = 0; survivors < 4; survivors++) {
        allocations_left = survivors;
        CLAIM(dg_taps_make(&taps, 20, 7, 256) == DG_NO_MEMORY);
        CLAIM(!taps.first && !taps.count && !taps.weights && !taps.windows);
    }
    allocations_left = 4;
    CLAIM(dg_taps_make(&taps, 20, 7, 256) == DG_OK);
    allocations_left = -1;
    dg_taps_free(&taps);
}

int main(void)
{
    for (int32_t source = 1; source <= 24; source++) {
        for (int32_t target = 1; target <= 24; target++) {
            check_table(source, target, 256);
            check_table(source, target, 16384);
            check_halves(source, target, 0);
            check_halves(source, target, 1);
        }
    }
    check_table(1080, 352, 256);
    check_table(1, DG_SIDE_MAX, 16384);
    check_table(128 * 3, 3, 256);
    check_every_index_counts(128 * 5, 5);
    check_every_index_counts(128 * 5 - 1, 5);
    check_failing_allocations();
    return 0;
}
