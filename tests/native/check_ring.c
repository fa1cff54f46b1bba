/* The ring: order, ends, counters that wrap, and two threads. */

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check.h"
#include "ring.h"

enum { MANY = 50000 };

static void check_it_keeps_the_order_and_refuses_more(uint32_t begin)
{
    struct dg_ring ring;
    int32_t index = -7;
    memset(&ring, 0, sizeof ring);
    atomic_store(&ring.pushed, begin);
    atomic_store(&ring.popped, begin);
    for (int round = 0; round < 3; round++) {
        CLAIM(!dg_ring_pop(&ring, &index) && index == -7);
        for (int32_t i = 0; i < DG_RING_ROOM; i++)
            CLAIM(dg_ring_push(&ring, i));
        CLAIM(!dg_ring_push(&ring, 99));
        for (int32_t i = 0; i < DG_RING_ROOM; i++)
            CLAIM(dg_ring_pop(&ring, &index) && index == i);
        index = -7;
    }
}

/* What an index stands for; the ring orders these plain writes. */
static int32_t content[DG_RING_ROOM];
static struct dg_ring there, back;

static void *push_all(void *unused)
{
    int32_t slot;
    (void)unused;
    for (int32_t i = 0; i < MANY;) {
        if (!dg_ring_pop(&back, &slot)) {
            sched_yield();
            continue;
        }
        content[slot] = i++;
        CLAIM(dg_ring_push(&there, slot));
    }
    return NULL;
}

static void check_two_threads_hand_slots_to_and_fro(void)
{
    pthread_t thread;
    int32_t slot;
    for (int32_t i = 0; i < 5; i++)
        CLAIM(dg_ring_push(&back, i));
    CLAIM(pthread_create(&thread, NULL, push_all, NULL) == 0);
    for (int32_t i = 0; i < MANY;) {
        if (!dg_ring_pop(&there, &slot)) {
            sched_yield();
            continue;
        }
        CLAIM(content[slot] == i++);
        CLAIM(dg_ring_push(&back, slot));
    }
    CLAIM(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    check_it_keeps_the_order_and_refuses_more(0);
    check_it_keeps_the_order_and_refuses_more(UINT32_MAX - 40);
    check_two_threads_hand_slots_to_and_fro();
    return 0;
}
