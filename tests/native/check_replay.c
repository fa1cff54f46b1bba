/* The replay of CUDA graphs against a driver of a few lines. */

#include "check.h"
#include "replay.h"

#include <math.h>
#include <string.h>

#define GATE ((void *)&gate)
#define STREAM ((void *)&stream)

static char gate, stream, masks[4];
static void *const mask_graphs[] = {&masks[0], &masks[1], &masks[2], &masks[3]};

static char calls[256];
static int busy;          /* queries before the stream is done; negative: it never is */
static int failing_launch; /* that launch fails, counted from 1; 0: none */
static int launches, captures_left;

static int note(const char *call)
{
    strncat(calls, call, sizeof calls - strlen(calls) - 1);
    return 0;
}

static int launch(void *exec, void *on)
{
    CLAIM(on == STREAM);
    if (++launches == failing_launch)
        return 719;
    if (exec == GATE)
        return note("g");
    const char name[] = {(char)('0' + ((char *)exec - masks)), '\0'};
    return note(name);
}

static int query(void *on)
{
    CLAIM(on == STREAM);
    note("?");
    if (busy)
        return busy-- > 0 ? 600 : (busy = -1, 600);
    return 0;
}

static int begin(void *on, int mode)
{
    CLAIM(on == STREAM && mode == 1);
    return note("[");
}

static int end(void *on, void **graph)
{
    CLAIM(on == STREAM);
    note("]");
    *graph = &gate;
    return captures_left-- > 0 ? 0 : 901;
}

static int instantiate(void **exec, void *graph, unsigned long long flags)
{
    CLAIM(graph == &gate && !flags);
    *exec = &masks[0];
    return captures_left-- > 0 ? 0 : 1;
}

static int upload(void *exec, void *on)
{
    CLAIM(exec == &masks[0] && on == STREAM);
    return captures_left-- > 0 ? 0 : 1;
}

static int destroy_graph(void *graph)
{
    CLAIM(graph == &gate);
    return note("d");
}

static int destroy_exec(void *exec)
{
    CLAIM(exec == &masks[0]);
    return note("D");
}

static int error_name(int error, const char **name)
{
    *name = "CUDA_ERROR_LAUNCH_FAILED";
    return error == 719 ? 0 : 1;
}

static const struct dg_cuda cuda = {
    begin, end, instantiate, upload, launch, destroy_graph, destroy_exec, query, error_name,
};

static void start(int busy_queries)
{
    calls[0] = '\0';
    busy = busy_queries;
    failing_launch = launches = 0;
}

static void claim_masks_run_where_the_score_reaches_the_threshold(void)
{
    const float scores[] = {0.1f, 0.2f, 0.5f, 0.0f, 0.49999f, 0.3f, 0.0f, 1.0f};
    struct dg_frame_job job = {STREAM, GATE, scores, 4, 2, mask_graphs, 0.5, true, 1000000000};
    uint8_t launched[4];
    struct dg_fault fault;
    start(2);
    CLAIM(dg_replay(&cuda, &job, launched, &fault));
    CLAIM(strcmp(calls, "g???13") == 0);
    CLAIM(memcmp(launched, (uint8_t[]){0, 1, 0, 1}, 4) == 0);
    start(0);
    job.gate = NULL; /* enqueued already */
    job.masks = NULL;
    CLAIM(dg_replay(&cuda, &job, launched, &fault));
    CLAIM(strcmp(calls, "?") == 0);
    CLAIM(memcmp(launched, (uint8_t[]){0, 0, 0, 0}, 4) == 0);
}

static void claim_the_threshold_is_compared_in_64_bits(void)
{
    const float scores[] = {0.1f, NAN};
    struct dg_frame_job job = {STREAM, GATE, scores, 2, 1, mask_graphs, 0.1, true, 1000000000};
    uint8_t launched[2];
    struct dg_fault fault;
    start(0);
    CLAIM(dg_replay(&cuda, &job, launched, &fault)); /* 0.1f is above 0.1; NaN opens nothing */
    CLAIM(launched[0] == 1 && launched[1] == 0);
    job.threshold = (double)0.1f + 1e-12;
    CLAIM(dg_replay(&cuda, &job, launched, &fault));
    CLAIM(launched[0] == 0);
}

static void claim_a_fault_is_named_and_ends_the_frame(void)
{
    const float scores[] = {1.0f, 1.0f};
    struct dg_frame_job job = {STREAM, GATE, scores, 2, 1, mask_graphs, 0.5, false, 1000000};
    uint8_t launched[2];
    struct dg_fault fault;
    for (int failing = 1; failing <= 3; failing++) {
        start(0);
        failing_launch = failing;
        CLAIM(!dg_replay(&cuda, &job, launched, &fault));
        CLAIM(fault.code == 719 && strcmp(fault.call, "cuGraphLaunch") == 0);
    }
    start(-1);
    CLAIM(!dg_replay(&cuda, &job, launched, &fault));
    CLAIM(fault.code == DG_LATE);
    CLAIM(launched[0] == 0);
    CLAIM(strcmp(dg_cuda_error(&cuda, 719), "CUDA_ERROR_LAUNCH_FAILED") == 0);
    CLAIM(strlen(dg_cuda_error(&cuda, 5)) > 0);
}

static void claim_a_capture_gives_a_graph_or_nothing_that_leaks(void)
{
    struct dg_fault fault;
    const char *const expected[] = {"[]", "[]d", "[]dD", "[]d"};
    for (int good = 0; good <= 3; good++) {
        start(0);
        captures_left = good;
        CLAIM(dg_capture_begin(&cuda, STREAM, &fault));
        CLAIM((dg_capture_end(&cuda, STREAM, &fault) != NULL) == (good == 3));
        CLAIM(strcmp(calls, expected[good]) == 0);
    }
}

static void claim_a_library_that_is_none_is_refused(void)
{
    struct dg_cuda found;
    const char *missing = NULL;
    CLAIM(!dg_cuda_open(&found, "/nowhere/libcuda.so.1", &missing));
    CLAIM(strcmp(missing, "/nowhere/libcuda.so.1") == 0);
}

int main(void)
{
    claim_masks_run_where_the_score_reaches_the_threshold();
    claim_the_threshold_is_compared_in_64_bits();
    claim_a_fault_is_named_and_ends_the_frame();
    claim_a_capture_gives_a_graph_or_nothing_that_leaks();
    claim_a_library_that_is_none_is_refused();
    return 0;
}
