/* Any mask and limits: blobs that add up to what `kept` shows, and run lengths that mean it. */

#include <string.h>

#include "components.h"
#include "decoded.h"
#include "fuzz.h"

enum { SIDE_MAX = 80 };

static int64_t sum_of(const uint8_t *kept, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        CLAIM(kept[i] <= 1);
        sum += kept[i];
    }
    return sum;
}

static void claim_inside(const struct dg_blob *blob, const struct dg_mask *mask,
                         const struct dg_limits *limits)
{
    CLAIM(blob->x >= 0 && blob->y >= 0 && blob->width >= 1 && blob->height >= 1);
    CLAIM(blob->x + blob->width <= mask->width && blob->y + blob->height <= mask->height);
    CLAIM(blob->area >= 1 && blob->area <= (int64_t)blob->width * blob->height);
    CLAIM(blob->peak >= limits->threshold && blob->mean <= blob->peak);
    CLAIM(blob->centre_x > blob->x * limits->scale_x && blob->length > 0);
    CLAIM(blob->centre_x < (blob->x + blob->width) * limits->scale_x);
}

static void claim_sound(const struct dg_blobs *found, const struct dg_mask *mask,
                        const struct dg_limits *limits, const uint8_t *kept)
{
    int64_t area = 0;
    for (size_t i = 0; i < found->count; i++) {
        claim_inside(&found->blobs[i], mask, limits);
        area += found->blobs[i].area;
    }
    const int64_t shown = sum_of(kept, (size_t)mask->width * (size_t)mask->height);
    CLAIM(found->others == 0 ? area == shown : area < shown);
}

static void claim_written(const struct dg_mask *kept, int32_t survivors)
{
    struct dg_rle rle;
    allocations_left = survivors;
    const enum dg_status status = dg_rle_make(&rle, kept);
    allocations_left = -1;
    CLAIM(status == DG_OK || (status == DG_NO_MEMORY && survivors >= 0 && !rle.text));
    if (status == DG_OK)
        claim_decoded(&rle, kept);
    dg_rle_free(&rle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, data + size};
    struct dg_blobs found;
    const struct dg_limits limits = {
        .threshold = take_number(&bytes),
        .min_area = take_number(&bytes),
        .scale_x = take_number(&bytes) / 4.0,
        .scale_y = take_number(&bytes) / 4.0,
        .most = take_byte(&bytes),
    };
    const int32_t survivors = take_between(&bytes, 0, 15) - 8;
    const int32_t width = take_between(&bytes, 1, SIDE_MAX);
    const int32_t height = take_between(&bytes, 1, SIDE_MAX);
    const size_t count = (size_t)width * (size_t)height;
    uint8_t *const values = malloc(count), *const room = malloc(count);
    CLAIM(values && room);
    take_into(&bytes, values, count);
    const struct dg_mask mask = {values, width, width, height};
    const struct dg_kept kept = {room, width};
    allocations_left = survivors < 0 ? -1 : survivors;
    const enum dg_status status = dg_components(&mask, &limits, &kept, &found);
    allocations_left = -1;
    CLAIM(status == DG_OK || (found.count == 0 && !found.blobs));
    if (status == DG_OK) {
        const struct dg_mask shown = {room, width, width, height};
        claim_sound(&found, &mask, &limits, room);
        claim_written(&shown, survivors < 0 ? -1 : survivors);
        claim_written(&mask, -1);
    }
    dg_blobs_free(&found);
    free(values);
    free(room);
    return 0;
}
