#define _GNU_SOURCE
#include "replay.h"

#include <dlfcn.h>
#include <string.h>
#include <time.h>

#define THREAD_LOCAL_CAPTURE 1 /* CU_STREAM_CAPTURE_MODE_THREAD_LOCAL */
#define NOT_READY 600          /* CUDA_ERROR_NOT_READY */
#define NAP_NS 50000
#define NS_IN_S 1000000000

bool dg_cuda_open(struct dg_cuda *cuda, const char *path, const char **missing)
{
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        {"cuStreamBeginCapture_v2", &cuda->begin_capture},
        {"cuStreamEndCapture", &cuda->end_capture},
        {"cuGraphInstantiateWithFlags", &cuda->instantiate},
        {"cuGraphUpload", &cuda->upload},
        {"cuGraphLaunch", &cuda->launch},
        {"cuGraphDestroy", &cuda->destroy_graph},
        {"cuGraphExecDestroy", &cuda->destroy_exec},
        {"cuStreamQuery", &cuda->query},
        {"cuGetErrorName", &cuda->error_name},
    };
    void *const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *missing = path;
        return false;
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *const found = dlsym(library, wanted[i].name);
        if (!found) {
            *missing = wanted[i].name;
            return false;
        }
        memcpy(wanted[i].function, &found, sizeof found);
    }
    return true;
}

const char *dg_cuda_error(const struct dg_cuda *cuda, int code)
{
    const char *name = NULL;
    return cuda->error_name(code, &name) == 0 && name ? name : "an error that it has no name for";
}

static bool succeeded(const char *call, int code, struct dg_fault *fault)
{
    *fault = (struct dg_fault){call, code};
    return code == 0;
}

bool dg_capture_begin(const struct dg_cuda *cuda, void *stream, struct dg_fault *fault)
{
    return succeeded("cuStreamBeginCapture", cuda->begin_capture(stream, THREAD_LOCAL_CAPTURE),
                     fault);
}

void *dg_capture_end(const struct dg_cuda *cuda, void *stream, struct dg_fault *fault)
{
    void *graph = NULL, *exec = NULL;
    if (!succeeded("cuStreamEndCapture", cuda->end_capture(stream, &graph), fault))
        return NULL;
    const bool is_made =
        succeeded("cuGraphInstantiate", cuda->instantiate(&exec, graph, 0), fault);
    cuda->destroy_graph(graph);
    if (!is_made)
        return NULL;
    if (succeeded("cuGraphUpload", cuda->upload(exec, stream), fault))
        return exec;
    cuda->destroy_exec(exec);
    return NULL;
}

bool dg_launch(const struct dg_cuda *cuda, void *exec, void *stream, struct dg_fault *fault)
{
    return succeeded("cuGraphLaunch", cuda->launch(exec, stream), fault);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_IN_S + now.tv_nsec;
}

bool dg_wait(const struct dg_cuda *cuda, void *stream, bool spin, int64_t limit_ns,
             struct dg_fault *fault)
{
    int64_t deadline = 0; /* the clock is read where the work was not done at once */
    for (;;) {
        const int code = cuda->query(stream);
        if (code != NOT_READY)
            return succeeded("cuStreamQuery", code, fault);
        const int64_t now = now_ns();
        if (!deadline)
            deadline = now + limit_ns;
        if (now >= deadline) {
            *fault = (struct dg_fault){"cuStreamQuery", DG_LATE};
            return false;
        }
        if (!spin)
            nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

static bool is_open(const float *scores, size_t classes, double threshold)
{
    for (size_t i = 0; i < classes; i++) {
        if ((double)scores[i] >= threshold)
            return true;
    }
    return false;
}

bool dg_replay(const struct dg_cuda *cuda, const struct dg_frame_job *job, uint8_t *launched,
               struct dg_fault *fault)
{
    memset(launched, 0, job->tiles);
    if (job->gate && !dg_launch(cuda, job->gate, job->stream, fault))
        return false;
    if (!dg_wait(cuda, job->stream, job->spin, job->limit_ns, fault))
        return false;
    for (size_t tile = 0; job->masks && tile < job->tiles; tile++) {
        if (!is_open(job->scores + tile * job->classes, job->classes, job->threshold))
            continue;
        if (!dg_launch(cuda, job->masks[tile], job->stream, fault))
            return false;
        launched[tile] = 1;
    }
    return true;
}
