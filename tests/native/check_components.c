/* dg_components against a flood fill and sums over single pixels. */

#include <pthread.h>

#include "flood.h"

enum { THREADS = 4 };

static const double NEAR = 1e-9;

static bool is_near(double a, double b)
{
    return fabs(a - b) <= NEAR * (fabs(a) + fabs(b));
}

static bool is_same(const struct dg_blob *a, const struct dg_blob *b, bool is_round)
{
    return a->x == b->x && a->y == b->y && a->width == b->width && a->height == b->height &&
           is_near(a->centre_x, b->centre_x) && is_near(a->centre_y, b->centre_y) &&
           a->area == b->area && a->peak == b->peak && is_near(a->mean, b->mean) &&
           (is_round || is_near(a->length, b->length));
}

static size_t count_of(const struct dg_blobs *found, const struct dg_blob *blob, bool is_round)
{
    size_t count = 0;
    for (size_t i = 0; i < found->count; i++)
        count += is_same(&found->blobs[i], blob, is_round);
    return count;
}

static bool is_large(const struct scene *scene)
{
    const struct dg_limits *const limits = &scene->limits;
    return flood.count * limits->scale_x * limits->scale_y >= limits->min_area;
}

static void check_component(const struct scene *scene, const struct dg_blobs *found)
{
    bool is_round;
    const struct dg_blob blob = flood_blob(scene, &is_round);
    CLAIM((count_of(found, &blob, is_round) > 0) == is_large(scene));
    for (int32_t i = 0; i < flood.count; i++)
        CLAIM(scene->kept[flood.y[i] * scene->mask.width + flood.x[i]] == is_large(scene));
}

static void check_order(const struct dg_blobs *found)
{
    for (size_t i = 1; i < found->count; i++) {
        const struct dg_blob *const a = &found->blobs[i - 1], *const b = &found->blobs[i];
        CLAIM(a->area >= b->area);
        CLAIM(a->area > b->area || a->y <= b->y);
        CLAIM(a->area > b->area || a->y < b->y || a->x <= b->x);
    }
}

/* Every component is found, there are no others, and `kept` shows them. */
static size_t check_scene(const struct scene *scene)
{
    struct dg_blobs found;
    size_t large = 0;
    CLAIM(run(scene, &found) == DG_OK);
    memset(visited, 0, sizeof visited);
    for (int32_t y = 0; y < scene->mask.height; y++) {
        for (int32_t x = 0; x < scene->mask.width; x++) {
            fill_from(scene, x, y);
            if (flood.count > 0) {
                check_component(scene, &found);
                large += is_large(scene);
            } else if (!is_foreground(scene, x, y)) {
                CLAIM(scene->kept[y * scene->mask.width + x] == 0);
            }
        }
    }
    CLAIM(found.count == large);
    check_order(&found);
    dg_blobs_free(&found);
    dg_blobs_free(&found);
    return large;
}

static void check_noise(void)
{
    for (int i = 0; i < 150; i++) {
        struct scene scene = make_scene(noise_between(1, 100), noise_between(1, 40));
        const int32_t ceiling = noise_between(1, 255);
        for (int32_t y = 0; y < scene.mask.height; y++) {
            for (int32_t x = 0; x < scene.mask.width; x++)
                set(&scene, x, y, (uint8_t)noise_between(0, ceiling));
        }
        scene.limits.threshold = noise_between(1, 255);
        scene.limits.min_area = noise_between(0, 3) * 2;
        scene.limits.scale_x = noise_between(1, 9) / 4.0;
        scene.limits.scale_y = noise_between(1, 9) / 4.0;
        check_scene(&scene);
        give_back(&scene);
    }
}

/* Walls with gaps at alternating ends: one component whose runs meet late, or as many as rows. */
static void check_snake(bool is_joined)
{
    struct scene scene = make_scene(41, 39);
    for (int32_t y = 0; y < 39; y++) {
        for (int32_t x = 0; x < 41; x++)
            set(&scene, x, y, y % 2 == 0 || (is_joined && x == (y % 4 == 1 ? 40 : 0)) ? 255 : 127);
    }
    CLAIM(check_scene(&scene) == (is_joined ? 1 : 20));
    give_back(&scene);
}

/* A comb that is open at the top: every tooth is its own component until the last row. */
static void check_comb(void)
{
    struct scene scene = make_scene(99, 40);
    for (int32_t y = 0; y < 40; y++) {
        for (int32_t x = 0; x < 99; x++)
            set(&scene, x, y, x % 2 == 0 || y == 39 ? 200 : 0);
    }
    CLAIM(check_scene(&scene) == 1);
    give_back(&scene);
}

static void check_chessboard(void)
{
    struct scene scene = make_scene(64, 40);
    for (int32_t y = 0; y < 40; y++) {
        for (int32_t x = 0; x < 64; x++)
            set(&scene, x, y, (x + y) % 2 ? 255 : 0);
    }
    CLAIM(check_scene(&scene) == 1);
    give_back(&scene);
}

static void check_empty_and_full(void)
{
    struct scene scene = make_scene(70, 40);
    CLAIM(check_scene(&scene) == 0);
    for (int32_t y = 0; y < 40; y++) {
        for (int32_t x = 0; x < 70; x++)
            set(&scene, x, y, 255);
    }
    scene.limits.threshold = 255;
    CLAIM(check_scene(&scene) == 1);
    give_back(&scene);
}

static void check_refusals(void)
{
    struct scene scene = make_scene(8, 8);
    const struct scene good = scene;
    struct dg_blobs found;
    const double bad_scales[] = {0, -1, NAN, HUGE_VAL, -HUGE_VAL};
    for (size_t i = 0; i < 5; i++) {
        scene.limits.scale_x = bad_scales[i];
        CLAIM(run(&scene, &found) == DG_BAD_SCALE);
        scene = good;
        scene.limits.scale_y = bad_scales[i];
        CLAIM(run(&scene, &found) == DG_BAD_SCALE);
        scene = good;
        scene.limits.min_area = i == 0 ? -0.5 : bad_scales[i];
        CLAIM(run(&scene, &found) == DG_BAD_AREA);
        scene = good;
    }
    scene.limits.threshold = 0;
    CLAIM(run(&scene, &found) == DG_BAD_THRESHOLD);
    scene.limits.threshold = 256;
    CLAIM(run(&scene, &found) == DG_BAD_THRESHOLD);
    scene = good;
    scene.mask.width = 0;
    CLAIM(run(&scene, &found) == DG_BAD_MASK);
    scene.mask.width = DG_SIDE_MAX + 1;
    CLAIM(run(&scene, &found) == DG_BAD_MASK);
    CLAIM(found.blobs == NULL && found.count == 0 && good.kept[0] == ANY);
    scene = good;
    give_back(&scene);
}

/* More runs than the first room holds, so that it is enlarged. A sort that gets no memory of its
 * own does without, so a refusal may also pass unnoticed. */
static void check_failing_allocations(void)
{
    struct scene scene = make_scene(100, 4);
    struct dg_blobs found;
    int failures = 0;
    for (int32_t x = 0; x < 100; x += 2) {
        set(&scene, x, 0, 255);
        set(&scene, x, 3, 255);
    }
    for (int survivors = 0; survivors < 8; survivors++) {
        allocations_left = survivors;
        const enum dg_status status = run(&scene, &found);
        allocations_left = -1;
        CLAIM(status == DG_OK || status == DG_NO_MEMORY);
        CLAIM(found.count == (status == DG_OK ? 100 : 0));
        CLAIM(status == DG_OK || scene.kept[0] == ANY);
        failures += status == DG_NO_MEMORY;
        memset(scene.kept, ANY, 100 * 4);
        dg_blobs_free(&found);
    }
    CLAIM(failures == 4);
    CLAIM(check_scene(&scene) == 100);
    give_back(&scene);
}

static void check_the_largest(void)
{
    struct scene scene = make_scene(100, 4);
    struct dg_blobs found;
    for (int32_t x = 0; x < 100; x += 4)
        set(&scene, x, x / 4 % 4, 255);
    set(&scene, 41, 2, 255);
    scene.limits.most = 3;
    CLAIM(run(&scene, &found) == DG_OK);
    CLAIM(found.count == 3 && found.others == 22 && found.blobs[0].area == 2);
    CLAIM(scene.kept[96] == 1);
    dg_blobs_free(&found);
    give_back(&scene);
}

static void *run_often(void *scene)
{
    for (int i = 0; i < 20; i++) {
        struct dg_blobs found;
        CLAIM(run(scene, &found) == DG_OK);
        CLAIM(found.count == 1);
        dg_blobs_free(&found);
    }
    return NULL;
}

static void check_threads_share_a_mask(void)
{
    struct scene scene = make_scene(30, 30), scenes[THREADS];
    pthread_t threads[THREADS];
    for (int32_t x = 0; x < 30; x++)
        set(&scene, x, x, 255);
    for (int i = 0; i < THREADS; i++) {
        scenes[i] = scene;
        scenes[i].kept = calloc(30, 30);
        CLAIM(scenes[i].kept);
        CLAIM(pthread_create(&threads[i], NULL, run_often, &scenes[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CLAIM(pthread_join(threads[i], NULL) == 0);
        free(scenes[i].kept);
    }
    give_back(&scene);
}

int main(void)
{
    check_noise();
    check_snake(true);
    check_snake(false);
    check_comb();
    check_chessboard();
    check_empty_and_full();
    check_refusals();
    check_failing_allocations();
    check_the_largest();
    check_threads_share_a_mask();
    return 0;
}
