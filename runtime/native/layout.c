#include "layout.h"

#include <stddef.h>

#define GREY(bits) \
    {.family = DG_FAMILY_GREY, .depth = DG_WORDS, .shift = (bits) - 8, .samples = 1, .columns = 1, \
     .rows = 1}

#define BAYER(how, bits, align, a, b, c, d) \
    {.family = DG_FAMILY_BAYER, .depth = (how), .shift = (bits) - 8, .samples = 1, \
     .columns = (align), .rows = 2, .order = {a, b, c, d}}

static const struct dg_layout layouts[] = {
    [DG_GREY] = {.family = DG_FAMILY_GREY, .samples = 1, .columns = 1, .rows = 1},
    [DG_BGR] = {.family = DG_FAMILY_RGB, .samples = 3, .columns = 1, .rows = 1, .order = {2, 1, 0}},
    [DG_YUYV] =
        {.family = DG_FAMILY_YUYV, .samples = 2, .columns = 2, .rows = 1, .order = {0, 3}},
    [DG_RGB] = {.family = DG_FAMILY_RGB, .samples = 3, .columns = 1, .rows = 1, .order = {0, 1, 2}},
    [DG_UYVY] =
        {.family = DG_FAMILY_YUYV, .samples = 2, .columns = 2, .rows = 1, .order = {3, 0}},
    [DG_NV12] = {.family = DG_FAMILY_NV12, .samples = 1, .columns = 2, .rows = 2},
    [DG_Y10] = GREY(10),
    [DG_Y12] = GREY(12),
    [DG_Y16] = GREY(16),
    [DG_Y10P] =
        {.family = DG_FAMILY_GREY, .depth = DG_PACKED, .samples = 1, .columns = 4, .rows = 1},
    [DG_RGGB8] = BAYER(DG_BYTES, 8, 2, 0, 1, 3, 2),
    [DG_GRBG8] = BAYER(DG_BYTES, 8, 2, 1, 0, 2, 3),
    [DG_GBRG8] = BAYER(DG_BYTES, 8, 2, 1, 2, 0, 3),
    [DG_BGGR8] = BAYER(DG_BYTES, 8, 2, 2, 1, 3, 0),
    [DG_RGGB10] = BAYER(DG_WORDS, 10, 2, 0, 1, 3, 2),
    [DG_GRBG10] = BAYER(DG_WORDS, 10, 2, 1, 0, 2, 3),
    [DG_GBRG10] = BAYER(DG_WORDS, 10, 2, 1, 2, 0, 3),
    [DG_BGGR10] = BAYER(DG_WORDS, 10, 2, 2, 1, 3, 0),
    [DG_RGGB10P] = BAYER(DG_PACKED, 8, 4, 0, 1, 3, 2),
    [DG_GRBG10P] = BAYER(DG_PACKED, 8, 4, 1, 0, 2, 3),
    [DG_GBRG10P] = BAYER(DG_PACKED, 8, 4, 1, 2, 0, 3),
    [DG_BGGR10P] = BAYER(DG_PACKED, 8, 4, 2, 1, 3, 0),
};

const struct dg_layout *dg_layout_of(enum dg_format format)
{
    const size_t index = (size_t)format;
    return index < sizeof layouts / sizeof *layouts ? &layouts[index] : NULL;
}

int32_t dg_layout_bytes_per_pixel(const struct dg_layout *layout)
{
    return layout->samples * (layout->depth == DG_WORDS ? 2 : 1);
}

int64_t dg_layout_bytes(const struct dg_layout *layout, int64_t samples)
{
    switch (layout->depth) {
    case DG_WORDS:
        return 2 * samples;
    case DG_PACKED:
        return samples / 4 * 5;
    default:
        return samples;
    }
}
