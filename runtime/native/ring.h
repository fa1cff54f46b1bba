#ifndef DG_RING_H
#define DG_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How many indices a ring holds: a power of two. */
#define DG_RING_ROOM 32

/*
 * Indices on their way from one thread to another, first in, first out, without a lock: one thread
 * pushes, one pops. Whoever embeds the ring owns it; a zeroed one is empty. What was written before
 * a push is seen after its pop. The counters run on for ever; their difference is the fill.
 */
struct dg_ring {
    _Atomic uint32_t pushed; /* written by the pushing thread alone */
    _Atomic uint32_t popped; /* written by the popping thread alone */
    int32_t indices[DG_RING_ROOM];
};

/* False where the ring is full; then nothing was written. */
bool dg_ring_push(struct dg_ring *ring, int32_t index);

/* False where the ring is empty; then `index` is left as it was. */
bool dg_ring_pop(struct dg_ring *ring, int32_t *index);

#endif
