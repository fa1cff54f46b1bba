#ifndef DG_RUNS_H
#define DG_RUNS_H

#include <stddef.h>

#include "components.h"

/* A row's stretch of foreground: columns begin to end - 1. */
struct dg_run {
    int32_t y, begin, end;
    size_t blob; /* the number of its component, 0 to blobs - 1, in the order of their first runs */
};

/* The caller gives it back by dg_runs_free; a zeroed struct holds nothing. */
struct dg_runs {
    struct dg_run *runs; /* (count), by row, then by column */
    size_t count, room;
    size_t blobs; /* components */
};

/* Finds the runs that reach the threshold and the 8-connected component of each. */
enum dg_status dg_runs_find(struct dg_runs *runs, const struct dg_mask *mask, int32_t threshold);

/* Gives the runs back and empties the struct; harmless on an empty one. */
void dg_runs_free(struct dg_runs *runs);

#endif
