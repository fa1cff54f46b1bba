/*
 * A strict stand-in for libcuda.so.1: contexts, streams, capture, graphs and memory, of the driver
 * API's names, types and error codes, on the CPU. Work is a number that a callback computes, late:
 * when somebody waits for the stream, so that what reads too early reads what was there before.
 *
 * Built by gcc -shared -fPIC -Wl,-soname,libcuda.so.1.
 */
#include "standin.h"

/* ---- what the tests say and ask ---- */

void standin_on_work(int (*callback)(uint64_t))
{
    work = callback;
}

void standin_fail(const char *call, int code, int after)
{
    snprintf(faulty, sizeof faulty, "%s", call);
    fault_code = code;
    fault_after = after;
}

void standin_hang(int is_hanging)
{
    hangs = is_hanging != 0;
}

uint64_t standin_launches(void)
{
    return n_launches;
}

const char *standin_misuse(void)
{
    return misuse;
}

const void *standin_context(void)
{
    return current;
}

size_t standin_blocks(void)
{
    return n_blocks;
}

/* How many bytes from `address` on belong to a live block of the current context. */
size_t standin_room(uint64_t address)
{
    for (size_t i = 0; i < n_blocks; i++) {
        const uint64_t start = (uint64_t)(uintptr_t)blocks[i].start;
        if (blocks[i].context == current && address >= start && address < start + blocks[i].size)
            return (size_t)(start + blocks[i].size - address);
    }
    return 0;
}

void standin_reset(void)
{
    misuse[0] = '\0';
    fault_after = -1;
    lost = 0;
    hangs = false;
    n_launches = 0;
}

/* ---- device and context ---- */

int cuInit(unsigned int flags)
{
    (void)flags;
    return is_due("cuInit") ? fault_code : 0;
}

int cuCtxCreate_v2(void **context, unsigned int flags, int device)
{
    (void)flags;
    (void)device;
    const int fault = fault_in("cuCtxCreate");
    if (fault)
        return fault;
    struct context *const made = calloc(1, sizeof *made);
    made->live = LIVE;
    below = current;
    current = made;
    *context = made;
    return 0;
}

int cuCtxDestroy_v2(void *context)
{
    struct context *const old = context;
    if (!old || old->live != LIVE)
        return accuse(INVALID_CONTEXT, "a context was destroyed twice");
    size_t kept = 0;
    for (size_t i = 0; i < n_blocks; i++) {
        if (blocks[i].context == old)
            accuse(0, "a context was destroyed before its memory was freed");
        else
            blocks[kept++] = blocks[i];
    }
    n_blocks = kept;
    old->live = 0;
    if (current == old)
        current = below;
    below = NULL;
    return 0;
}

/* ---- memory ---- */

static int allocate(void **start, size_t size, const char *call)
{
    const int fault = fault_in(call);
    if (fault)
        return fault;
    if (!current)
        return accuse(INVALID_CONTEXT, "memory was allocated without a context");
    if (capturing) {
        capturing->is_spoiled = true;
        return accuse(CAPTURE_UNSUPPORTED, "memory was allocated in a capture");
    }
    if (!size || n_blocks == MOST)
        return INVALID_VALUE;
    const size_t whole = (size + 4095) / 4096 * 4096;
    char *const made = aligned_alloc(4096, whole);
    if (!made)
        return OUT_OF_MEMORY;
    memset(made, 0xa5, whole); /* nobody may count on zeros */
    blocks[n_blocks++] = (struct block){made, size, current};
    *start = made;
    return 0;
}

static int give_back(const void *start)
{
    for (size_t i = 0; i < n_blocks; i++) {
        if (blocks[i].start != start)
            continue;
        free(blocks[i].start);
        blocks[i] = blocks[--n_blocks];
        return 0;
    }
    return accuse(INVALID_VALUE, "memory was freed twice");
}

int cuMemAlloc_v2(uint64_t *address, size_t size)
{
    void *start = NULL;
    const int code = allocate(&start, size, "cuMemAlloc");
    *address = (uint64_t)(uintptr_t)start;
    return code;
}

int cuMemFree_v2(uint64_t address)
{
    return give_back((const void *)(uintptr_t)address);
}

int cuMemHostAlloc(void **start, size_t size, unsigned int flags)
{
    if (flags != 2) /* CU_MEMHOSTALLOC_DEVICEMAP */
        return accuse(INVALID_VALUE, "host memory was not mapped");
    return allocate(start, size, "cuMemHostAlloc");
}

int cuMemFreeHost(void *start)
{
    return give_back(start);
}

/* ---- streams and graphs ---- */

static struct stream *stream_of(void *handle)
{
    struct stream *const stream = handle;
    return stream && stream->live == LIVE && stream->context == current ? stream : NULL;
}

int cuStreamCreate(void **handle, unsigned int flags)
{
    (void)flags;
    const int fault = fault_in("cuStreamCreate");
    if (fault)
        return fault;
    if (!current)
        return INVALID_CONTEXT;
    struct stream *const made = calloc(1, sizeof *made);
    made->live = LIVE;
    made->context = current;
    *handle = made;
    return 0;
}

int cuStreamDestroy_v2(void *handle)
{
    struct stream *const stream = handle;
    if (!stream || stream->live != LIVE)
        return accuse(INVALID_HANDLE, "a stream was destroyed twice");
    clear(&stream->pending);
    clear(&stream->recorded);
    stream->live = 0;
    return 0;
}

/* The simulator's execute_async_v3 and copies come here. */
int standin_enqueue(void *handle, uint64_t number)
{
    struct stream *const stream = stream_of(handle);
    const int fault = fault_in("enqueue");
    if (fault)
        return fault;
    if (!stream)
        return accuse(INVALID_HANDLE, "work was enqueued on no live stream of this context");
    push(stream->is_capturing ? &stream->recorded : &stream->pending, number);
    return 0;
}

int standin_is_capturing(void *handle)
{
    const struct stream *const stream = stream_of(handle);
    return stream && stream->is_capturing;
}

static int wait_for(void *handle, const char *call, bool may_be_asked_again)
{
    struct stream *const stream = stream_of(handle);
    const int fault = fault_in(call);
    if (fault)
        return fault;
    if (!stream)
        return accuse(INVALID_HANDLE, "a wait for no live stream of this context");
    if (stream->is_capturing) {
        stream->is_spoiled = true;
        return accuse(CAPTURE_UNSUPPORTED, "a stream was waited for in a capture");
    }
    if (may_be_asked_again && stream->pending.count && (hangs || !stream->was_asked)) {
        stream->was_asked = true;
        return NOT_READY;
    }
    stream->was_asked = false;
    return run_pending(stream);
}

int cuStreamQuery(void *handle)
{
    return wait_for(handle, "cuStreamQuery", true);
}

int cuStreamSynchronize(void *handle)
{
    return wait_for(handle, "cuStreamSynchronize", false);
}

int cuStreamBeginCapture_v2(void *handle, int mode)
{
    struct stream *const stream = stream_of(handle);
    const int fault = fault_in("cuStreamBeginCapture");
    if (fault)
        return fault;
    if (!handle)
        return accuse(CAPTURE_UNSUPPORTED, "the default stream was captured");
    if (!stream)
        return accuse(INVALID_HANDLE, "a capture on no live stream of this context");
    if (mode != 1)
        return accuse(INVALID_VALUE, "a capture that is not thread-local");
    if (capturing)
        return accuse(CAPTURE_UNSUPPORTED, "a capture was begun in a capture");
    if (stream->pending.count)
        return accuse(CAPTURE_UNSUPPORTED, "a capture was begun on a stream that is at work");
    clear(&stream->recorded);
    stream->is_capturing = true;
    stream->is_spoiled = false;
    capturing = stream;
    return 0;
}

int cuStreamEndCapture(void *handle, void **made)
{
    struct stream *const stream = stream_of(handle);
    *made = NULL;
    if (!stream || capturing != stream)
        return accuse(CAPTURE_UNMATCHED, "a capture was ended that was not begun");
    stream->is_capturing = false;
    capturing = NULL;
    const int fault = fault_in("cuStreamEndCapture");
    if (fault)
        return fault;
    if (stream->is_spoiled)
        return CAPTURE_INVALIDATED;
    struct graph *const graph = calloc(1, sizeof *graph);
    graph->live = LIVE;
    graph->context = current;
    graph->works = stream->recorded;
    stream->recorded = (struct works){0};
    *made = graph;
    return 0;
}

int cuGraphInstantiateWithFlags(void **made, void *handle, unsigned long long flags)
{
    const struct graph *const graph = handle;
    const int fault = fault_in("cuGraphInstantiate");
    if (fault)
        return fault;
    if (!graph || graph->live != LIVE || flags)
        return INVALID_VALUE;
    struct graph *const exec = calloc(1, sizeof *exec);
    exec->live = LIVE;
    exec->context = graph->context;
    for (size_t i = 0; i < graph->works.count; i++)
        push(&exec->works, graph->works.numbers[i]);
    *made = exec;
    return 0;
}

int cuGraphUpload(void *handle, void *stream)
{
    struct graph *const exec = handle;
    const int fault = fault_in("cuGraphUpload");
    if (fault)
        return fault;
    if (!exec || exec->live != LIVE || !stream_of(stream))
        return INVALID_HANDLE;
    exec->is_uploaded = true;
    return 0;
}

int cuGraphLaunch(void *handle, void *on)
{
    struct graph *const exec = handle;
    struct stream *const stream = stream_of(on);
    const int fault = fault_in("cuGraphLaunch");
    if (fault)
        return fault;
    if (!exec || exec->live != LIVE || exec->context != current)
        return accuse(INVALID_HANDLE, "a graph was launched that is not live in this context");
    if (!stream || stream->is_capturing)
        return accuse(INVALID_HANDLE, "a graph was launched on no live stream");
    for (size_t i = 0; i < exec->works.count; i++)
        push(&stream->pending, exec->works.numbers[i]);
    n_launches++;
    return 0;
}

static int destroy(void *handle)
{
    struct graph *const graph = handle;
    if (!graph || graph->live != LIVE)
        return accuse(INVALID_HANDLE, "a graph was destroyed twice");
    clear(&graph->works);
    graph->live = 0;
    return 0;
}

int cuGraphDestroy(void *handle)
{
    return destroy(handle);
}

int cuGraphExecDestroy(void *handle)
{
    return destroy(handle);
}

int cuGetErrorName(int error, const char **name)
{
    switch (error) {
    case OUT_OF_MEMORY:
        *name = "CUDA_ERROR_OUT_OF_MEMORY";
        return 0;
    case LAUNCH_OUT_OF_RESOURCES:
        *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES";
        return 0;
    case LAUNCH_FAILED:
        *name = "CUDA_ERROR_LAUNCH_FAILED";
        return 0;
    case CAPTURE_UNSUPPORTED:
        *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED";
        return 0;
    case CAPTURE_INVALIDATED:
        *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED";
        return 0;
    case INVALID_HANDLE:
        *name = "CUDA_ERROR_INVALID_HANDLE";
        return 0;
    default:
        return INVALID_VALUE;
    }
}
