#ifndef DG_FLOOD_H
#define DG_FLOOD_H

/* What dg_components must find, by a flood fill and sums over single pixels. */

#include <math.h>
#include <string.h>

#include "check.h"
#include "components.h"

enum { PIXELS_MAX = 100 * 40, ANY = 7 };

/* A mask that owns its memory to the byte. */
struct scene {
    struct dg_mask mask;
    uint8_t *memory;
    uint8_t *kept; /* (height, width) */
    struct dg_limits limits;
};

static struct scene make_scene(int32_t width, int32_t height)
{
    const int32_t gap = noise_between(0, 3), stride = width + gap;
    const bool is_flipped = noise() % 2;
    const size_t bytes = (size_t)(width + (height - 1) * stride);
    struct scene scene = {.limits = {.threshold = 128, .scale_x = 1, .scale_y = 1}};
    scene.memory = calloc(bytes, 1);
    scene.kept = malloc((size_t)(width * height));
    CLAIM(scene.memory && scene.kept);
    memset(scene.kept, ANY, (size_t)(width * height));
    scene.mask = (struct dg_mask){
        .values = scene.memory + (is_flipped ? (height - 1) * stride : 0),
        .stride = is_flipped ? -stride : stride,
        .width = width,
        .height = height,
    };
    return scene;
}

static void give_back(struct scene *scene)
{
    free(scene->memory);
    free(scene->kept);
}

static void set(const struct scene *scene, int32_t x, int32_t y, uint8_t value)
{
    scene->memory[scene->mask.values - scene->memory + y * scene->mask.stride + x] = value;
}

static int32_t value_at(const struct scene *scene, int32_t x, int32_t y)
{
    return scene->mask.values[y * scene->mask.stride + x];
}

static bool is_foreground(const struct scene *scene, int32_t x, int32_t y)
{
    return x >= 0 && y >= 0 && x < scene->mask.width && y < scene->mask.height &&
           value_at(scene, x, y) >= scene->limits.threshold;
}

static enum dg_status run(const struct scene *scene, struct dg_blobs *found)
{
    const struct dg_kept kept = {.values = scene->kept, .stride = scene->mask.width};
    return dg_components(&scene->mask, &scene->limits, &kept, found);
}

/* One component as a list of its pixels. */
struct flood {
    int32_t x[PIXELS_MAX], y[PIXELS_MAX];
    int32_t count;
};

static struct flood flood;
static bool visited[PIXELS_MAX];

static void visit(const struct scene *scene, int32_t x, int32_t y)
{
    if (!is_foreground(scene, x, y) || visited[y * scene->mask.width + x])
        return;
    visited[y * scene->mask.width + x] = true;
    flood.x[flood.count] = x;
    flood.y[flood.count++] = y;
}

static void fill_from(const struct scene *scene, int32_t x, int32_t y)
{
    flood.count = 0;
    visit(scene, x, y);
    for (int32_t i = 0; i < flood.count; i++) {
        for (int32_t step = 0; step < 9; step++)
            visit(scene, flood.x[i] + step % 3 - 1, flood.y[i] + step / 3 - 1);
    }
}

/* The formula of components.h, pixel by pixel and with the angle itself. */
static double flood_length(const struct dg_limits *limits, bool *is_round)
{
    double x_sum = 0, y_sum = 0, xx = 0, yy = 0, xy = 0, low = HUGE_VAL, high = -HUGE_VAL;
    for (int32_t i = 0; i < flood.count; i++) {
        x_sum += flood.x[i] * limits->scale_x;
        y_sum += flood.y[i] * limits->scale_y;
    }
    for (int32_t i = 0; i < flood.count; i++) {
        const double x = flood.x[i] * limits->scale_x - x_sum / flood.count;
        const double y = flood.y[i] * limits->scale_y - y_sum / flood.count;
        xx += x * x + limits->scale_x * limits->scale_x / 12;
        yy += y * y + limits->scale_y * limits->scale_y / 12;
        xy += x * y;
    }
    *is_round = fabs(xx - yy) + fabs(xy) < 1e-6 * (xx + yy);
    const double angle = atan2(2 * xy, xx - yy) / 2, c = cos(angle), s = sin(angle);
    for (int32_t i = 0; i < flood.count; i++) {
        const double at = c * flood.x[i] * limits->scale_x + s * flood.y[i] * limits->scale_y;
        low = fmin(low, at);
        high = fmax(high, at);
    }
    return high - low + fabs(c) * limits->scale_x + fabs(s) * limits->scale_y;
}

static struct dg_blob flood_blob(const struct scene *scene, bool *is_round)
{
    struct dg_blob blob = {.x = flood.x[0], .y = flood.y[0], .area = flood.count};
    int64_t sum = 0;
    double x_sum = 0, y_sum = 0;
    int32_t right = 0, bottom = 0;
    for (int32_t i = 0; i < flood.count; i++) {
        const int32_t x = flood.x[i], y = flood.y[i], value = value_at(scene, x, y);
        sum += value;
        x_sum += x;
        y_sum += y;
        blob.x = x < blob.x ? x : blob.x;
        blob.y = y < blob.y ? y : blob.y;
        right = x > right ? x : right;
        bottom = y > bottom ? y : bottom;
        blob.peak = value > blob.peak ? value : blob.peak;
    }
    blob.width = right + 1 - blob.x;
    blob.height = bottom + 1 - blob.y;
    blob.mean = (double)sum / flood.count;
    blob.centre_x = (x_sum / flood.count + 0.5) * scene->limits.scale_x;
    blob.centre_y = (y_sum / flood.count + 0.5) * scene->limits.scale_y;
    blob.length = flood_length(&scene->limits, is_round);
    return blob;
}

#endif
