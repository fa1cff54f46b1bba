#ifndef DG_REPLAY_H
#define DG_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * CUDA graphs of the gate and of the mask head, captured once and replayed without Python.
 *
 * libcuda's functions are found by name, so neither a CUDA header nor a library is needed to build
 * this. Streams and graphs are CUDA's own pointers; the caller owns them, and keeps the buffers
 * that a graph reads and writes. One stream belongs to one thread at a time.
 */

struct dg_cuda {
    int (*begin_capture)(void *stream, int mode);
    int (*end_capture)(void *stream, void **graph);
    int (*instantiate)(void **exec, void *graph, unsigned long long flags);
    int (*upload)(void *exec, void *stream);
    int (*launch)(void *exec, void *stream);
    int (*destroy_graph)(void *graph);
    int (*destroy_exec)(void *exec);
    int (*query)(void *stream);
    int (*error_name)(int error, const char **name);
};

/* What failed: the call and CUDA's code for it, or DG_LATE where the time was up. */
struct dg_fault {
    const char *call;
    int code;
};

#define DG_LATE (-1)

/* Fills `cuda` from the library at `path`, which stays open; else says what is missing. */
bool dg_cuda_open(struct dg_cuda *cuda, const char *path, const char **missing);

/* CUDA's name for an error, such as CUDA_ERROR_LAUNCH_FAILED. */
const char *dg_cuda_error(const struct dg_cuda *cuda, int code);

/* What this thread enqueues on `stream` from here on is recorded, not run. */
bool dg_capture_begin(const struct dg_cuda *cuda, void *stream, struct dg_fault *fault);

/* Ends the recording, whatever became of it; the graph to launch, or NULL and why. */
void *dg_capture_end(const struct dg_cuda *cuda, void *stream, struct dg_fault *fault);

bool dg_launch(const struct dg_cuda *cuda, void *exec, void *stream, struct dg_fault *fault);

/* Waits until `stream` is done; spinning, or asleep for most of it; `limit_ns` at most. */
bool dg_wait(const struct dg_cuda *cuda, void *stream, bool spin, int64_t limit_ns,
             struct dg_fault *fault);

/*
 * One frame: launches `gate`, waits, reads the scores (tiles, classes), and launches the mask of
 * each tile with one at `threshold` or above, without waiting for it.
 */
struct dg_frame_job {
    void *stream;
    void *gate; /* NULL where it is enqueued already */
    const float *scores;
    size_t tiles;
    size_t classes;
    void *const *masks; /* one for each tile, or NULL: none is launched */
    double threshold;
    bool spin;
    int64_t limit_ns;
};

/* `launched`, as long as `tiles`, gets 1 where a mask was launched, else 0. */
bool dg_replay(const struct dg_cuda *cuda, const struct dg_frame_job *job, uint8_t *launched,
               struct dg_fault *fault);

#endif
