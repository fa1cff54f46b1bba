/* dg_rle_make: decoded again, each mask is what it was. */

#include "decoded.h"

static struct dg_mask make_mask(uint8_t **memory, int32_t width, int32_t height)
{
    const int32_t stride = width + noise_between(0, 3);
    const bool is_flipped = noise() % 2;
    const size_t bytes = (size_t)(width + (height - 1) * stride);
    const int32_t one_in = 1 << noise_between(0, 8);
    *memory = malloc(bytes);
    CLAIM(*memory);
    for (size_t i = 0; i < bytes; i++)
        (*memory)[i] = noise() % (uint32_t)one_in ? 0 : (uint8_t)noise();
    return (struct dg_mask){
        .values = *memory + (is_flipped ? (height - 1) * stride : 0),
        .stride = is_flipped ? -stride : stride,
        .width = width,
        .height = height,
    };
}

static void check_noise(void)
{
    for (int i = 0; i < 400; i++) {
        uint8_t *memory;
        struct dg_rle rle;
        const struct dg_mask mask =
            make_mask(&memory, noise_between(1, 130), noise_between(1, 40));
        CLAIM(dg_rle_make(&rle, &mask) == DG_OK);
        claim_decoded(&rle, &mask);
        dg_rle_free(&rle);
        dg_rle_free(&rle);
        free(memory);
    }
}

static void check_refusals(void)
{
    const uint8_t pixel = 1;
    struct dg_rle rle;
    struct dg_mask mask = {.values = &pixel, .stride = 1, .width = 0, .height = 1};
    CLAIM(dg_rle_make(&rle, &mask) == DG_BAD_MASK && !rle.text);
    mask = (struct dg_mask){.values = &pixel, .stride = 1, .width = 1, .height = DG_SIDE_MAX + 1};
    CLAIM(dg_rle_make(&rle, &mask) == DG_BAD_MASK && !rle.text);
}

static void check_failing_allocations(void)
{
    uint8_t *memory;
    struct dg_rle rle;
    struct dg_mask mask = make_mask(&memory, 100, 40);
    int survivors = 0;
    for (size_t i = 0; i < 100 * 40; i++)
        memory[i] = noise() % 2 != 0;
    for (;; survivors++) {
        allocations_left = survivors;
        const enum dg_status status = dg_rle_make(&rle, &mask);
        allocations_left = -1;
        if (status == DG_OK)
            break;
        CLAIM(status == DG_NO_MEMORY && !rle.text && rle.length == 0);
    }
    CLAIM(survivors > 4); /* two for the changes, and the text grows */
    claim_decoded(&rle, &mask);
    dg_rle_free(&rle);
    free(memory);
}

int main(void)
{
    check_noise();
    check_refusals();
    check_failing_allocations();
    return 0;
}
