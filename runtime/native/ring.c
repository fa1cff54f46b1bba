#include "ring.h"

bool dg_ring_push(struct dg_ring *ring, int32_t index)
{
    const uint32_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed);
    const uint32_t popped = atomic_load_explicit(&ring->popped, memory_order_acquire);
    if (pushed - popped == DG_RING_ROOM)
        return false;
    ring->indices[pushed % DG_RING_ROOM] = index;
    atomic_store_explicit(&ring->pushed, pushed + 1, memory_order_release);
    return true;
}

bool dg_ring_pop(struct dg_ring *ring, int32_t *index)
{
    const uint32_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    const uint32_t pushed = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    if (pushed == popped)
        return false;
    *index = ring->indices[popped % DG_RING_ROOM];
    atomic_store_explicit(&ring->popped, popped + 1, memory_order_release);
    return true;
}
