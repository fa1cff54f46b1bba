#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "arguments.h"
#include "camera_module.h"
#include "components.h"
#include "layout.h"
#include "preprocess.h"
#include "replay_binding.h"
#include "rle.h"

static const char *expected(enum dg_status status)
{
    switch (status) {
    case DG_BAD_FORMAT:
        return "one of the formats, 0 (GREY) to 21 (BGGR10P)";
    case DG_BAD_FRAME:
        return "a frame of 1 to 1048576 rows and columns, an even number of columns in YUYV and "
               "UYVY and of both in NV12 and Bayer";
    case DG_BAD_TURN:
        return "0 to 3 quarter turns";
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
    case DG_DEVICE:
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

/* By enum dg_format. */
static const char *const format_names[DG_FORMATS] = {
    "GREY",    "BGR",     "YUYV",    "RGB",     "UYVY",     "NV12",     "Y10",      "Y12",
    "Y16",     "Y10P",    "RGGB8",   "GRBG8",   "GBRG8",    "BGGR8",    "RGGB10",   "GRBG10",
    "GBRG10",  "BGGR10",  "RGGB10P", "GRBG10P", "GBRG10P",  "BGGR10P",
};

static bool has_whole_parts(const Py_buffer *view, const struct dg_layout *layout)
{
    if (layout->family == DG_FAMILY_NV12)
        return view->shape[0] % 3 == 0;
    return layout->depth != DG_PACKED || view->shape[1] % 5 == 0;
}

static bool lend_frame(Py_buffer *view, PyObject *object, int32_t format)
{
    const struct dg_layout *const layout = dg_layout_of((enum dg_format)format);
    char wanted[128];
    if (!layout) {
        raise_status(DG_BAD_FORMAT, PyUnicode_FromFormat("format %d", (int)format));
        return false;
    }
    const Py_ssize_t bytes = dg_layout_bytes_per_pixel(layout), lengths[] = {0, 0, bytes};
    const char *const shape = layout->family == DG_FAMILY_NV12 ? "(height * 3/2, width)"
                              : layout->depth == DG_PACKED     ? "(height, width * 5/4)"
                              : bytes == 1                     ? "(height, width)"
                              : bytes == 2                     ? "(height, width, 2)"
                                                               : "(height, width, 3)";
    PyOS_snprintf(wanted, sizeof wanted, "uint8 %s in %s, without gaps in a row", shape,
                  format_names[format]);
    if (!dg_lend(view, object, "frame", wanted, bytes == 1 ? 2 : 3, lengths))
        return false;
    if (has_whole_parts(view, layout))
        return true;
    PyErr_Format(PyExc_ValueError, "frame: expected %s, got shape (%zd, %zd)", wanted,
                 view->shape[0], view->shape[1]);
    return false;
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
    const struct dg_layout *const layout = dg_layout_of((enum dg_format)format);
    const bool is_nv12 = layout->family == DG_FAMILY_NV12;
    const Py_ssize_t rows = is_nv12 ? view->shape[0] / 3 * 2 : view->shape[0];
    const Py_ssize_t bytes = view->shape[1];
    const uint8_t *const pixels = view->buf;
    return (struct dg_frame){
        .pixels = pixels,
        .stride = view->strides[0],
        .width = dg_side_from(layout->depth == DG_PACKED ? bytes / 5 * 4 : bytes),
        .height = dg_side_from(rows),
        .format = (enum dg_format)format,
        .chroma = is_nv12 ? pixels + rows * view->strides[0] : NULL,
        .chroma_stride = view->strides[0],
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
                          const struct dg_turn *turn, const struct dg_image *out,
                          const struct dg_rect *target)
{
    return PyUnicode_FromFormat(
        "frame %dx%d, region (%d, %d, %d, %d), %d quarter turns, out %dx%d with %d channels, "
        "target (%d, %d, %d, %d)",
        (int)frame->width, (int)frame->height, (int)region->x, (int)region->y, (int)region->width,
        (int)region->height, (int)turn->quarters, (int)out->width, (int)out->height,
        (int)out->channels, (int)target->x, (int)target->y, (int)target->width,
        (int)target->height);
}

PyDoc_STRVAR(preprocess_doc,
             "preprocess(frame, format, region, out, target, fill, turn=(0, 0), plain=False)\n"
             "--\n\n"
             "Resize a region of a frame into a target of out, in grey or R G B.");

static PyObject *preprocess(PyObject *module, PyObject *args, PyObject *named)
{
    static char *names[] = {"frame",  "format", "region", "out", "target",
                            "fill", "turn",   "plain",  NULL};
    PyObject *frame_object, *out_object, *result = NULL;
    Py_buffer frame_view = {0}, out_view = {0};
    struct dg_rect region, target;
    struct dg_turn turn = {0};
    int32_t format, fill;
    int is_plain = 0;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OO&O&OO&O&|(O&p)p:preprocess", names,
                                     &frame_object, dg_int32_from, &format, dg_rect_from, &region,
                                     &out_object, dg_rect_from, &target, dg_int32_from, &fill,
                                     dg_int32_from, &turn.quarters, &turn.is_mirrored, &is_plain))
        return NULL;
    if (fill < 0 || fill > 255)
        return PyErr_Format(PyExc_ValueError, "fill %d: expected 0 to 255", (int)fill);
    if (!lend_frame(&frame_view, frame_object, format) || !lend_out(&out_view, out_object))
        goto fail;
    const struct dg_frame frame = frame_from(&frame_view, format);
    const struct dg_image out = image_from(&out_view);
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = (is_plain ? dg_preprocess_plain : dg_preprocess)(&frame, region, turn, &out, target,
                                                              (uint8_t)fill);
    Py_END_ALLOW_THREADS
    result = status == DG_OK
                 ? Py_NewRef(Py_None)
                 : raise_status(status, job_text(&frame, &region, &turn, &out, &target));
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
    return Py_BuildValue("(iiiiLddidd)", (int)blob->x, (int)blob->y, (int)blob->width,
                         (int)blob->height, (long long)blob->area, blob->mean, blob->length,
                         (int)blob->peak, blob->centre_x, blob->centre_y);
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
             "components(mask, threshold, min_area, scale, kept=None, most=0)\n--\n\n"
             "Find the blobs of a mask, each (x, y, width, height, area, mean, length, peak,\n"
             "centre_x, centre_y), the `most` largest or all, and how many others there are.");

static PyObject *components(PyObject *module, PyObject *args, PyObject *named)
{
    static char *names[] = {"mask", "threshold", "min_area", "scale", "kept", "most", NULL};
    const Py_ssize_t lengths[] = {0, 0};
    PyObject *mask_object, *kept_object = Py_None, *result = NULL;
    Py_buffer mask_view = {0}, kept_view = {0};
    struct dg_limits limits = {0};
    int32_t most = 0;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OO&d(dd)|OO&:components", names,
                                     &mask_object, dg_int32_from, &limits.threshold,
                                     &limits.min_area, &limits.scale_x, &limits.scale_y,
                                     &kept_object, dg_int32_from, &most))
        return NULL;
    if (most < 0)
        return PyErr_Format(PyExc_ValueError, "most %d: expected 1 or more, or 0 for all",
                            (int)most);
    limits.most = (size_t)most;
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
    result = status == DG_OK ? Py_BuildValue("(Nn)", list_from(&found), (Py_ssize_t)found.others)
                             : raise_status(status, search_text(&mask, &limits));
    dg_blobs_free(&found);
fail:
    PyBuffer_Release(&kept_view);
    PyBuffer_Release(&mask_view);
    return result;
}

PyDoc_STRVAR(rle_doc, "rle(mask)\n--\n\n"
                      "The foreground of a mask, all but 0, as COCO's compressed run lengths.");

static PyObject *rle(PyObject *module, PyObject *mask_object)
{
    const Py_ssize_t lengths[] = {0, 0};
    PyObject *result = NULL;
    Py_buffer view = {0};
    (void)module;
    if (!dg_lend(&view, mask_object, "mask", "uint8 (height, width) without gaps in a row", 2,
                 lengths))
        goto fail;
    const struct dg_mask mask = mask_from(&view);
    struct dg_rle text;
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = dg_rle_make(&text, &mask);
    Py_END_ALLOW_THREADS
    result = status == DG_OK
                 ? PyUnicode_FromStringAndSize(text.text, (Py_ssize_t)text.length)
                 : raise_status(status, PyUnicode_FromFormat("mask %dx%d", (int)mask.width,
                                                             (int)mask.height));
    dg_rle_free(&text);
fail:
    PyBuffer_Release(&view);
    return result;
}

/* By way of void (*)(void), since the flags, not this type, say how each is called. */
static PyMethodDef methods[] = {
    {"preprocess", (PyCFunction)(void (*)(void))preprocess, METH_VARARGS | METH_KEYWORDS,
     preprocess_doc},
    {"components", (PyCFunction)(void (*)(void))components, METH_VARARGS | METH_KEYWORDS,
     components_doc},
    {"rle", rle, METH_O, rle_doc},
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module)
{
    if (PyModule_AddFunctions(module, dg_replay_methods) < 0)
        return -1;
    for (long format = 0; format < DG_FORMATS; format++) {
        if (PyModule_AddIntConstant(module, format_names[format], format) < 0)
            return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)(uintptr_t)add_constants},
    {Py_mod_exec, (void *)(uintptr_t)dg_add_camera},
    {Py_mod_exec, (void *)(uintptr_t)dg_add_capture},
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
