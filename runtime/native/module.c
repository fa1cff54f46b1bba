#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "arguments.h"
#include "components.h"
#include "preprocess.h"
#include "replay_binding.h"

static const char *expected(enum dg_status status)
{
    switch (status) {
    case DG_BAD_FORMAT:
        return "the format GREY, BGR or YUYV";
    case DG_BAD_FRAME:
        return "a frame of 1 to 1048576 rows and columns, in YUYV an even number of columns";
    case DG_BAD_OUT:
        return "out with 1 to 1048576 rows and columns and with 1 (grey) or 3 (RGB) channels";
    case DG_BAD_REGION:
        return "a region of 1 pixel or more inside the frame; clamp it";
    case DG_BAD_TARGET:
        return "a target of 1 pixel or more inside out; clamp it";
    case DG_BAD_SHRINK:
        return "a region at most 128 times as wide and as high as the target; "
               "enlarge the target or cut the frame into tiles";
    case DG_BAD_MASK:
        return "a mask of 1 to 1048576 rows and columns";
    case DG_BAD_THRESHOLD:
        return "a threshold from 1 to 255";
    case DG_BAD_AREA:
        return "a finite min_area, 0 or more";
    case DG_BAD_SCALE:
        return "two finite scales above 0";
    case DG_OK:
    case DG_NO_MEMORY:
        break;
    }
    return "another status";
}

/* Raises what a status means. `came` is the text for what was passed, taken over; it is NULL
 * where an error is set already. */
static PyObject *raise_status(enum dg_status status, PyObject *came)
{
    if (!came)
        return NULL;
    if (status == DG_NO_MEMORY)
        PyErr_NoMemory();
    else
        PyErr_Format(PyExc_ValueError, "%U: expected %s", came, expected(status));
    Py_DECREF(came);
    return NULL;
}

static bool lend_frame(Py_buffer *view, PyObject *object, int32_t format)
{
    const Py_ssize_t lengths[] = {0, 0, format == DG_BGR ? 3 : 2};
    switch (format) {
    case DG_GREY:
        return dg_lend(view, object, "frame",
                       "uint8 (height, width) in GREY, without gaps in a row", 2, lengths);
    case DG_BGR:
        return dg_lend(view, object, "frame",
                       "uint8 (height, width, 3) in BGR, without gaps in a row", 3, lengths);
    case DG_YUYV:
        return dg_lend(view, object, "frame",
                       "uint8 (height, width, 2) in YUYV, without gaps in a row", 3, lengths);
    default:
        raise_status(DG_BAD_FORMAT, PyUnicode_FromFormat("format %d", (int)format));
        return false;
    }
}

static bool lend_out(Py_buffer *view, PyObject *object)
{
    const Py_ssize_t lengths[] = {0, 0, 0};
    const char *const wanted = "writable uint8 (height, width, channels) without gaps";
    if (!dg_lend_writable(view, object, "out", wanted, 3, lengths))
        return false;
    if (PyBuffer_IsContiguous(view, 'C'))
        return true;
    PyErr_Format(PyExc_ValueError, "out: expected %s, got gaps between the rows", wanted);
    return false;
}

static struct dg_frame frame_from(const Py_buffer *view, int32_t format)
{
    return (struct dg_frame){
        .pixels = view->buf,
        .stride = view->strides[0],
        .width = dg_side_from(view->shape[1]),
        .height = dg_side_from(view->shape[0]),
        .format = (enum dg_format)format,
    };
}

static struct dg_image image_from(const Py_buffer *view)
{
    return (struct dg_image){
        .pixels = view->buf,
        .width = dg_side_from(view->shape[1]),
        .height = dg_side_from(view->shape[0]),
        .channels = dg_side_from(view->shape[2]),
    };
}

/* What preprocess was asked for, in a line. */
static PyObject *job_text(const struct dg_frame *frame, const struct dg_rect *region,
                          const struct dg_image *out, const struct dg_rect *target)
{
    return PyUnicode_FromFormat(
        "frame %dx%d, region (%d, %d, %d, %d), out %dx%d with %d channels, target (%d, %d, %d, %d)",
        (int)frame->width, (int)frame->height, (int)region->x, (int)region->y, (int)region->width,
        (int)region->height, (int)out->width, (int)out->height, (int)out->channels, (int)target->x,
        (int)target->y, (int)target->width, (int)target->height);
}

PyDoc_STRVAR(preprocess_doc,
             "preprocess(frame, format, region, out, target, fill)\n--\n\n"
             "Resize a region of a frame into a target of out, in grey or R G B.");

static PyObject *preprocess(PyObject *module, PyObject *args, PyObject *named)
{
    static char *names[] = {"frame", "format", "region", "out", "target", "fill", NULL};
    PyObject *frame_object, *out_object, *result = NULL;
    Py_buffer frame_view = {0}, out_view = {0};
    struct dg_rect region, target;
    int32_t format, fill;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OO&O&OO&O&:preprocess", names, &frame_object,
                                     dg_int32_from, &format, dg_rect_from, &region, &out_object,
                                     dg_rect_from, &target, dg_int32_from, &fill))
        return NULL;
    if (fill < 0 || fill > 255)
        return PyErr_Format(PyExc_ValueError, "fill %d: expected 0 to 255", (int)fill);
    if (!lend_frame(&frame_view, frame_object, format) || !lend_out(&out_view, out_object))
        goto fail;
    const struct dg_frame frame = frame_from(&frame_view, format);
    const struct dg_image out = image_from(&out_view);
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = dg_preprocess(&frame, region, &out, target, (uint8_t)fill);
    Py_END_ALLOW_THREADS
    result = status == DG_OK ? Py_NewRef(Py_None)
                             : raise_status(status, job_text(&frame, &region, &out, &target));
fail:
    PyBuffer_Release(&out_view);
    PyBuffer_Release(&frame_view);
    return result;
}

/* None lends nothing: the view stays empty. */
static bool lend_kept(Py_buffer *view, PyObject *object, const Py_buffer *mask)
{
    const char *const wanted = "writable uint8 of the mask's shape without gaps in a row";
    if (object == Py_None)
        return true;
    return dg_lend_writable(view, object, "kept", wanted, 2, mask->shape);
}

static struct dg_mask mask_from(const Py_buffer *view)
{
    return (struct dg_mask){
        .values = view->buf,
        .stride = view->strides[0],
        .width = dg_side_from(view->shape[1]),
        .height = dg_side_from(view->shape[0]),
    };
}

static struct dg_kept kept_from(const Py_buffer *view)
{
    return (struct dg_kept){.values = view->buf, .stride = view->buf ? view->strides[0] : 0};
}

static PyObject *tuple_from(const struct dg_blob *blob)
{
    return Py_BuildValue("(iiiiLddi)", (int)blob->x, (int)blob->y, (int)blob->width,
                         (int)blob->height, (long long)blob->area, blob->mean, blob->length,
                         (int)blob->peak);
}

static PyObject *list_from(const struct dg_blobs *found)
{
    PyObject *const list = PyList_New((Py_ssize_t)found->count);
    for (size_t i = 0; list && i < found->count; i++) {
        PyObject *const tuple = tuple_from(&found->blobs[i]);
        if (!tuple) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, tuple);
    }
    return list;
}

/* What components was asked for, in a line. */
static PyObject *search_text(const struct dg_mask *mask, const struct dg_limits *limits)
{
    PyObject *text = NULL;
    PyObject *const numbers =
        Py_BuildValue("(ddd)", limits->min_area, limits->scale_x, limits->scale_y);
    if (numbers)
        text = PyUnicode_FromFormat("mask %dx%d, threshold %d, min_area and scales %R",
                                    (int)mask->width, (int)mask->height, (int)limits->threshold,
                                    numbers);
    Py_XDECREF(numbers);
    return text;
}

PyDoc_STRVAR(components_doc,
             "components(mask, threshold, min_area, scale, kept=None)\n--\n\n"
             "Find the blobs of a mask, each (x, y, width, height, area, mean, length, peak).");

static PyObject *components(PyObject *module, PyObject *args, PyObject *named)
{
    static char *names[] = {"mask", "threshold", "min_area", "scale", "kept", NULL};
    const Py_ssize_t lengths[] = {0, 0};
    PyObject *mask_object, *kept_object = Py_None, *result = NULL;
    Py_buffer mask_view = {0}, kept_view = {0};
    struct dg_limits limits = {0};
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OO&d(dd)|O:components", names, &mask_object,
                                     dg_int32_from, &limits.threshold, &limits.min_area,
                                     &limits.scale_x, &limits.scale_y, &kept_object))
        return NULL;
    if (!dg_lend(&mask_view, mask_object, "mask", "uint8 (height, width) without gaps in a row", 2,
                 lengths) ||
        !lend_kept(&kept_view, kept_object, &mask_view))
        goto fail;
    const struct dg_mask mask = mask_from(&mask_view);
    const struct dg_kept kept = kept_from(&kept_view);
    struct dg_blobs found;
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = dg_components(&mask, &limits, &kept, &found);
    Py_END_ALLOW_THREADS
    result = status == DG_OK ? list_from(&found)
                             : raise_status(status, search_text(&mask, &limits));
    dg_blobs_free(&found);
fail:
    PyBuffer_Release(&kept_view);
    PyBuffer_Release(&mask_view);
    return result;
}

/* By way of void (*)(void), since the flags, not this type, say how each is called. */
static PyMethodDef methods[] = {
    {"preprocess", (PyCFunction)(void (*)(void))preprocess, METH_VARARGS | METH_KEYWORDS,
     preprocess_doc},
    {"components", (PyCFunction)(void (*)(void))components, METH_VARARGS | METH_KEYWORDS,
     components_doc},
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module)
{
    if (PyModule_AddFunctions(module, dg_replay_methods) < 0 ||
        PyModule_AddIntConstant(module, "GREY", DG_GREY) < 0 ||
        PyModule_AddIntConstant(module, "BGR", DG_BGR) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "YUYV", DG_YUYV);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)(uintptr_t)add_constants},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "From a camera's pixels to the network's input, and from its mask to blobs.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
