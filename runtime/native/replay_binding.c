#define PY_SSIZE_T_CLEAN
#include "replay_binding.h"

#include <Python.h>

#include "replay.h"

#define CUDA "runtime._native.cuda"
#define NS_IN_S 1e9

static void free_cuda(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, CUDA));
}

PyDoc_STRVAR(open_doc, "cuda_open(library)\n--\n\nFind what is needed of CUDA's driver library.");

static PyObject *cuda_open(PyObject *module, PyObject *args)
{
    const char *path, *missing = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "s:cuda_open", &path))
        return NULL;
    struct dg_cuda *const cuda = PyMem_Calloc(1, sizeof *cuda);
    if (!cuda)
        return PyErr_NoMemory();
    if (!dg_cuda_open(cuda, path, &missing)) {
        PyErr_Format(PyExc_RuntimeError, "%s: %s was not found", path, missing);
        PyMem_Free(cuda);
        return NULL;
    }
    PyObject *const capsule = PyCapsule_New(cuda, CUDA, free_cuda);
    if (!capsule)
        PyMem_Free(cuda);
    return capsule;
}

/* "O&" converters: into a struct dg_cuda * and into a pointer of CUDA's. */
static int cuda_from(PyObject *object, void *cuda)
{
    return (*(struct dg_cuda **)cuda = PyCapsule_GetPointer(object, CUDA)) != NULL;
}

static int pointer_from(PyObject *object, void *pointer)
{
    *(void **)pointer = PyLong_AsVoidPtr(object);
    return !PyErr_Occurred();
}

static PyObject *raise_fault(const struct dg_cuda *cuda, const struct dg_fault *fault)
{
    if (fault->code == DG_LATE)
        PyErr_SetString(PyExc_TimeoutError, "the GPU did not answer in time");
    else
        PyErr_Format(PyExc_RuntimeError, "%s: %s (%d)", fault->call,
                     dg_cuda_error(cuda, fault->code), fault->code);
    return NULL;
}

PyDoc_STRVAR(begin_doc, "capture_begin(cuda, stream)\n--\n\nRecord what is enqueued on a stream.");

static PyObject *capture_begin(PyObject *module, PyObject *args)
{
    struct dg_cuda *cuda;
    struct dg_fault fault;
    void *stream;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&:capture_begin", cuda_from, &cuda, pointer_from, &stream))
        return NULL;
    if (!dg_capture_begin(cuda, stream, &fault))
        return raise_fault(cuda, &fault);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(end_doc, "capture_end(cuda, stream)\n--\n\nEnd the recording: the graph to launch.");

static PyObject *capture_end(PyObject *module, PyObject *args)
{
    struct dg_cuda *cuda;
    struct dg_fault fault;
    void *stream, *exec;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&:capture_end", cuda_from, &cuda, pointer_from, &stream))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    exec = dg_capture_end(cuda, stream, &fault);
    Py_END_ALLOW_THREADS
    return exec ? PyLong_FromVoidPtr(exec) : raise_fault(cuda, &fault);
}

PyDoc_STRVAR(free_doc, "graph_free(cuda, graph)\n--\n\nGive a graph back.");

static PyObject *graph_free(PyObject *module, PyObject *args)
{
    struct dg_cuda *cuda;
    void *exec;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&:graph_free", cuda_from, &cuda, pointer_from, &exec))
        return NULL;
    cuda->destroy_exec(exec);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(launch_doc, "graph_launch(cuda, graph, stream)\n--\n\nLaunch a graph.");

static PyObject *graph_launch(PyObject *module, PyObject *args)
{
    struct dg_cuda *cuda;
    struct dg_fault fault;
    void *exec, *stream;
    bool is_done;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&O&:graph_launch", cuda_from, &cuda, pointer_from, &exec,
                          pointer_from, &stream))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    is_done = dg_launch(cuda, exec, stream, &fault);
    Py_END_ALLOW_THREADS
    if (!is_done)
        return raise_fault(cuda, &fault);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc, "stream_wait(cuda, stream, spin, limit_s)\n--\n\nWait for a stream.");

static PyObject *stream_wait(PyObject *module, PyObject *args)
{
    struct dg_cuda *cuda;
    struct dg_fault fault;
    void *stream;
    int spin;
    double limit_s;
    bool is_done;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&pd:stream_wait", cuda_from, &cuda, pointer_from, &stream,
                          &spin, &limit_s))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    is_done = dg_wait(cuda, stream, spin != 0, (int64_t)(limit_s * NS_IN_S), &fault);
    Py_END_ALLOW_THREADS
    if (!is_done)
        return raise_fault(cuda, &fault);
    Py_RETURN_NONE;
}

/* Lends `object` as scores, float32 (tiles, classes) without gaps; else raises. */
static bool lend_scores(Py_buffer *view, PyObject *object)
{
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        return false;
    if (view->ndim == 2 && view->itemsize == sizeof(float) && view->format[0] == 'f')
        return true;
    PyErr_SetString(PyExc_ValueError, "scores: expected float32 (tiles, classes) without gaps");
    return false;
}

/* The graphs in `tuple`, to be given back by PyMem_Free; NULL where there are none, or on error. */
static void **graphs_from(PyObject *tuple, Py_ssize_t tiles)
{
    const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    if (count == 0)
        return NULL;
    if (count != tiles) {
        PyErr_Format(PyExc_ValueError, "masks: expected %zd graphs or none, got %zd", tiles, count);
        return NULL;
    }
    void **const graphs = PyMem_Calloc((size_t)count, sizeof *graphs);
    if (!graphs)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; graphs && i < count; i++) {
        if (!pointer_from(PyTuple_GET_ITEM(tuple, i), &graphs[i])) {
            PyMem_Free(graphs);
            return NULL;
        }
    }
    return graphs;
}

PyDoc_STRVAR(replay_doc,
             "replay(cuda, stream, gate, scores, masks, threshold, spin, limit_s)\n--\n\n"
             "Launch the gate, wait, and launch the masks of the tiles that open: 1 for each.");

static PyObject *replay(PyObject *module, PyObject *args)
{
    struct dg_cuda *cuda;
    struct dg_frame_job job = {0};
    struct dg_fault fault;
    PyObject *scores_object, *masks_tuple, *launched = NULL;
    Py_buffer scores = {0};
    void **masks = NULL;
    int spin;
    double limit_s;
    bool is_done;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&O&OO!dpd:replay", cuda_from, &cuda, pointer_from, &job.stream,
                          pointer_from, &job.gate, &scores_object, &PyTuple_Type, &masks_tuple,
                          &job.threshold, &spin, &limit_s))
        return NULL;
    if (!lend_scores(&scores, scores_object))
        goto fail;
    masks = graphs_from(masks_tuple, scores.shape[0]);
    if (PyErr_Occurred())
        goto fail;
    launched = PyBytes_FromStringAndSize(NULL, scores.shape[0]);
    if (!launched)
        goto fail;
    job.scores = scores.buf;
    job.tiles = (size_t)scores.shape[0];
    job.classes = (size_t)scores.shape[1];
    job.masks = masks;
    job.spin = spin != 0;
    job.limit_ns = (int64_t)(limit_s * NS_IN_S);
    uint8_t *const flags = (uint8_t *)PyBytes_AS_STRING(launched);
    Py_BEGIN_ALLOW_THREADS
    is_done = dg_replay(cuda, &job, flags, &fault);
    Py_END_ALLOW_THREADS
    if (!is_done) {
        Py_CLEAR(launched);
        raise_fault(cuda, &fault);
    }
fail:
    PyMem_Free(masks);
    PyBuffer_Release(&scores);
    return launched;
}

PyMethodDef dg_replay_methods[] = {
    {"cuda_open", cuda_open, METH_VARARGS, open_doc},
    {"capture_begin", capture_begin, METH_VARARGS, begin_doc},
    {"capture_end", capture_end, METH_VARARGS, end_doc},
    {"graph_free", graph_free, METH_VARARGS, free_doc},
    {"graph_launch", graph_launch, METH_VARARGS, launch_doc},
    {"stream_wait", stream_wait, METH_VARARGS, wait_doc},
    {"replay", replay, METH_VARARGS, replay_doc},
    {NULL, NULL, 0, NULL},
};
