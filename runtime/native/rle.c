#include "rle.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { STEP = 32, FIRST_ROOM = 256, DIGITS_MAX = 13 /* of 64 bits, five at a time */ };

/* Where the foreground begins and ends down the columns: the rows of column x are those from
 * ends[x - 1] to ends[x] - 1. */
struct changes {
    int32_t *rows;
    size_t *ends; /* (width) */
};

static const uint8_t *row_of(const struct dg_mask *mask, int32_t y)
{
    return mask->values + y * mask->stride;
}

/* A loop of fixed length, so that the compiler takes the values all at once. */
static bool is_same(const uint8_t *a, const uint8_t *b)
{
    int differences = 0;
    for (int i = 0; i < STEP; i++)
        differences |= (a[i] != 0) ^ (b[i] != 0);
    return differences == 0;
}

/* The next column from x on where two rows differ; `width` where there is none. */
static int32_t next_change(const uint8_t *a, const uint8_t *b, int32_t x, int32_t width)
{
    while (x <= width - STEP && is_same(a + x, b + x))
        x += STEP;
    while (x < width && (a[x] != 0) == (b[x] != 0))
        x++;
    return x;
}

/* The pixel above that of column x and row 0 is the last of the column before. */
static bool changes_at_top(const struct dg_mask *mask, int32_t x)
{
    const bool before = x > 0 && row_of(mask, mask->height - 1)[x - 1] != 0;
    return (row_of(mask, 0)[x] != 0) != before;
}

static void count_changes(struct changes *changes, const struct dg_mask *mask)
{
    for (int32_t x = 0; x < mask->width; x++)
        changes->ends[x] = changes_at_top(mask, x);
    for (int32_t y = 1; y < mask->height; y++) {
        const uint8_t *const above = row_of(mask, y - 1), *const row = row_of(mask, y);
        int32_t x = next_change(above, row, 0, mask->width);
        for (; x < mask->width; x = next_change(above, row, x + 1, mask->width))
            changes->ends[x]++;
    }
}

/* From counts to where each column begins; gives the total. */
static size_t add_up(struct changes *changes, int32_t width)
{
    size_t total = 0;
    for (int32_t x = 0; x < width; x++) {
        const size_t count = changes->ends[x];
        changes->ends[x] = total;
        total += count;
    }
    return total;
}

/* Each column's begin moves to its end on the way. */
static void note_changes(struct changes *changes, const struct dg_mask *mask)
{
    for (int32_t x = 0; x < mask->width; x++) {
        if (changes_at_top(mask, x))
            changes->rows[changes->ends[x]++] = 0;
    }
    for (int32_t y = 1; y < mask->height; y++) {
        const uint8_t *const above = row_of(mask, y - 1), *const row = row_of(mask, y);
        int32_t x = next_change(above, row, 0, mask->width);
        for (; x < mask->width; x = next_change(above, row, x + 1, mask->width))
            changes->rows[changes->ends[x]++] = y;
    }
}

static enum dg_status append(struct dg_rle *rle, int64_t number)
{
    if (rle->room - rle->length < DIGITS_MAX) {
        const size_t room = rle->room ? 2 * rle->room : FIRST_ROOM;
        char *const more = realloc(rle->text, room);
        if (!more)
            return DG_NO_MEMORY;
        rle->text = more;
        rle->room = room;
    }
    bool is_more = true;
    while (is_more) {
        const int digit = (int)(number & 31);
        number = (number - digit) / 32;
        is_more = number != (digit & 16 ? -1 : 0);
        rle->text[rle->length++] = (char)(48 + digit + (is_more ? 32 : 0));
    }
    return DG_OK;
}

static enum dg_status write_runs(struct dg_rle *rle, const struct changes *changes,
                                 const struct dg_mask *mask)
{
    int64_t runs[2] = {0}; /* the two before */
    int64_t begin = 0;
    size_t count = 0, i = 0;
    for (int32_t x = 0; x <= mask->width; x++) {
        const bool is_end = x == mask->width;
        for (; is_end ? i <= changes->ends[x - 1] : i < changes->ends[x]; i++) {
            const int64_t at = (int64_t)x * mask->height + (is_end ? 0 : changes->rows[i]);
            const int64_t run = at - begin;
            if (append(rle, count > 2 ? run - runs[count % 2] : run) != DG_OK)
                return DG_NO_MEMORY;
            runs[count++ % 2] = run;
            begin = at;
        }
    }
    return DG_OK;
}

enum dg_status dg_rle_make(struct dg_rle *rle, const struct dg_mask *mask)
{
    struct changes changes = {0};
    enum dg_status status = DG_NO_MEMORY;
    *rle = (struct dg_rle){0};
    if (mask->width < 1 || mask->width > DG_SIDE_MAX || mask->height < 1 ||
        mask->height > DG_SIDE_MAX)
        return DG_BAD_MASK;
    changes.ends = calloc((size_t)mask->width, sizeof *changes.ends);
    if (!changes.ends)
        goto fail;
    count_changes(&changes, mask);
    changes.rows = calloc(add_up(&changes, mask->width) + 1, sizeof *changes.rows);
    if (!changes.rows)
        goto fail;
    note_changes(&changes, mask);
    status = write_runs(rle, &changes, mask);
fail:
    if (status != DG_OK)
        dg_rle_free(rle);
    free(changes.ends);
    free(changes.rows);
    return status;
}

void dg_rle_free(struct dg_rle *rle)
{
    free(rle->text);
    *rle = (struct dg_rle){0};
}
