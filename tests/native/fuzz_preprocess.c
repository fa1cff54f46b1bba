/* Any frame, rectangles and turn: an answer or a refusal, the same in plain C, nothing outside. */

#include <string.h>

#include "fuzz.h"
#include "layout.h"
#include "preprocess.h"

enum { GUARD = 0xA5, FILL = 77, SIDE_MAX = 300 };

struct job {
    struct dg_frame frame;
    struct dg_image out;
    struct dg_rect region, target;
    struct dg_turn turn;
    uint8_t *memory, *chroma;
};

/* Exactly as long as its rows, which may run upwards; gives the first byte of row 0. */
static uint8_t *take_plane(struct bytes *bytes, uint8_t **memory, ptrdiff_t *stride, int64_t row,
                           int32_t height)
{
    const int64_t step = row + take_between(bytes, 0, 3);
    const bool is_flipped = take_byte(bytes) % 2;
    const size_t count = height > 0 ? (size_t)(row + (height - 1) * step) : 0;
    *memory = malloc(count + (count == 0));
    CLAIM(*memory);
    noise_state = take_byte(bytes);
    for (size_t i = 0; i < count; i++)
        (*memory)[i] = (uint8_t)noise();
    *stride = is_flipped ? -step : step;
    return *memory + (is_flipped && height > 0 ? (height - 1) * step : 0);
}

static struct dg_rect take_rect(struct bytes *bytes)
{
    struct dg_rect rect;
    rect.x = take_number(bytes);
    rect.y = take_number(bytes);
    rect.width = take_number(bytes);
    rect.height = take_number(bytes);
    return rect;
}

static struct job take_job(struct bytes *bytes)
{
    struct job job = {0};
    struct dg_frame *const frame = &job.frame;
    frame->format = (enum dg_format)take_between(bytes, 0, DG_FORMATS);
    frame->width = take_between(bytes, 0, SIDE_MAX);
    frame->height = take_between(bytes, 0, SIDE_MAX);
    const struct dg_layout *const layout = dg_layout_of(frame->format);
    const int64_t samples = layout ? (int64_t)frame->width * layout->samples : 0;
    const int64_t row = layout ? dg_layout_bytes(layout, samples) : 0;
    frame->pixels = take_plane(bytes, &job.memory, &frame->stride, row, frame->height);
    frame->chroma =
        take_plane(bytes, &job.chroma, &frame->chroma_stride, row, frame->height / 2);
    job.out = (struct dg_image){.width = take_between(bytes, 1, SIDE_MAX),
                                .height = take_between(bytes, 1, SIDE_MAX),
                                .channels = take_between(bytes, 1, 3)};
    job.turn = (struct dg_turn){take_number(bytes), take_byte(bytes) % 2};
    job.region = take_rect(bytes);
    job.target = take_rect(bytes);
    return job;
}

static bool is_guard(const uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pixels[i] != GUARD)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, data + size};
    struct job job = take_job(&bytes);
    const int32_t survivors = take_byte(&bytes) % 64;
    const size_t count =
        (size_t)job.out.width * (size_t)job.out.height * (size_t)job.out.channels;
    uint8_t *const plain = malloc(count), *const fast = malloc(count);
    CLAIM(plain && fast);
    memset(plain, GUARD, count);
    memset(fast, GUARD, count);
    job.out.pixels = plain;
    const enum dg_status wanted =
        dg_preprocess_plain(&job.frame, job.region, job.turn, &job.out, job.target, FILL);
    job.out.pixels = fast;
    allocations_left = survivors < 32 ? survivors : -1;
    const enum dg_status status =
        dg_preprocess(&job.frame, job.region, job.turn, &job.out, job.target, FILL);
    allocations_left = -1;
    CLAIM(status == wanted || (status == DG_NO_MEMORY && survivors < 32));
    CLAIM(status == DG_OK ? memcmp(plain, fast, count) == 0 : is_guard(fast, count));
    free(plain);
    free(fast);
    free(job.memory);
    free(job.chroma);
    return 0;
}
