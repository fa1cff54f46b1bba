#ifndef DG_CHECK_H
#define DG_CHECK_H

/* What every check program uses. Link it with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc: then an allocation can be made to fail. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CLAIM(condition) claim((condition), #condition, __FILE__, __LINE__)

static inline void claim(bool is_true, const char *text, const char *file, int line)
{
    if (is_true)
        return;
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, text);
    exit(1);
}

/* Noise that is the same on every machine. */
static uint32_t noise_state = 1;

static inline uint32_t noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return noise_state >> 8;
}

/* Between `least` and `most`, both included. */
static inline int32_t noise_between(int32_t least, int32_t most)
{
    return least + (int32_t)(noise() % (uint32_t)(most - least + 1));
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* Allocations that still succeed before one fails; negative: none fails. Set by one thread. */
static int allocations_left = -1;

static bool is_refused(void)
{
    if (allocations_left < 0)
        return false;
    return allocations_left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return is_refused() ? NULL : __real_realloc(memory, size);
}

#endif
