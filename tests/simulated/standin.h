#ifndef STANDIN_H
#define STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the stand-in for libcuda.so.1 holds, how its calls fail, and the work of its streams. */

enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903
};

#define MOST 65536
#define LIVE 0x1d0ab1e5u

struct works {
    uint64_t *numbers;
    size_t count;
};

struct context {
    uint32_t live;
};

struct stream {
    uint32_t live;
    struct context *context;
    struct works pending;
    struct works recorded;
    bool is_capturing;
    bool is_spoiled;
    bool was_asked;
};

struct graph {
    uint32_t live;
    struct works works;
    struct context *context;
    bool is_uploaded;
};

struct block {
    char *start;
    size_t size;
    struct context *context;
};

static struct block blocks[MOST];
static size_t n_blocks;
static struct context *current, *below;
static struct stream *capturing;
static int (*work)(uint64_t);
static char misuse[256];

/* A fault to come: the call that fails, with what, and how many calls from now. */
static char faulty[64];
static int fault_code, fault_after = -1;
/* A fault of the GPU's work lasts as long as the process: no context can be made after it. */
static int lost;
static bool hangs;

static uint64_t n_launches;

static int accuse(int code, const char *what)
{
    if (!misuse[0])
        snprintf(misuse, sizeof misuse, "%s", what);
    return code;
}

static bool is_due(const char *call)
{
    if (fault_after < 0 || strcmp(call, faulty) != 0)
        return false;
    return fault_after-- == 0;
}

/* The code that this call is to fail with; 0 where it may go on. */
static int fault_in(const char *call)
{
    if (!is_due(call))
        return lost;
    if (fault_code == ILLEGAL_ADDRESS || fault_code == LAUNCH_FAILED)
        lost = fault_code;
    return fault_code;
}

/* ---- works ---- */

static void push(struct works *works, uint64_t number)
{
    works->numbers = realloc(works->numbers, (works->count + 1) * sizeof *works->numbers);
    works->numbers[works->count++] = number;
}

static void clear(struct works *works)
{
    free(works->numbers);
    *works = (struct works){0};
}

static int run_pending(struct stream *stream)
{
    int code = 0;
    for (size_t i = 0; i < stream->pending.count && code == 0; i++) {
        if (stream->pending.numbers[i] && work)
            code = work(stream->pending.numbers[i]);
    }
    stream->pending.count = 0;
    if (code)
        lost = code;
    return code;
}

#endif
