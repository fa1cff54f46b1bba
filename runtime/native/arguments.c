#include "arguments.h"

#include <Python.h>

#include <string.h>

#include "preprocess.h"

int dg_int32_from(PyObject *object, void *number)
{
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (value == -1 && PyErr_Occurred())
        return 0;
    if (overflow || value < INT32_MIN || value > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "integer: expected 32 bits, got more");
        return 0;
    }
    *(int32_t *)number = (int32_t)value;
    return 1;
}

int dg_rect_from(PyObject *object, void *rectangle)
{
    struct dg_rect *const rect = rectangle;
    int32_t *const sides[] = {&rect->x, &rect->y, &rect->width, &rect->height};
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != 4) {
        PyErr_Format(PyExc_ValueError,
                     "rectangle: expected a tuple (x, y, width, height), got %R", object);
        return 0;
    }
    for (Py_ssize_t i = 0; i < 4; i++) {
        if (!dg_int32_from(PyTuple_GET_ITEM(object, i), sides[i]))
            return 0;
    }
    return 1;
}

int32_t dg_side_from(Py_ssize_t length)
{
    return length > INT32_MAX ? INT32_MAX : (int32_t)length;
}

static PyObject *shape_of(const Py_buffer *view)
{
    PyObject *const shape = PyTuple_New(view->ndim);
    for (int i = 0; shape && i < view->ndim; i++) {
        PyObject *const length = PyLong_FromSsize_t(view->shape[i]);
        if (!length) {
            Py_DECREF(shape);
            return NULL;
        }
        PyTuple_SET_ITEM(shape, i, length);
    }
    return shape;
}

/* Raises what was wanted and what came; gives false. */
static bool refuse(const Py_buffer *view, const char *name, const char *wanted)
{
    PyObject *const shape = shape_of(view);
    if (shape) {
        const char *const access = view->readonly ? "read-only " : "";
        const char *const format = view->format ? view->format : "B";
        const bool has_gaps = !PyBuffer_IsContiguous(view, 'C');
        PyErr_Format(PyExc_ValueError, "%s: expected %s, got %sshape %R of format '%s'%s", name,
                     wanted, access, shape, format,
                     has_gaps ? " with gaps; copy it by ascontiguousarray" : "");
        Py_DECREF(shape);
    }
    return false;
}

static bool is_uint8(const Py_buffer *view)
{
    const char *const format = view->format ? view->format : "B";
    const char *const code = *format && strchr("@=<>!", *format) ? format + 1 : format;
    return view->itemsize == 1 && strcmp(code, "B") == 0;
}

/* Whether the bytes of a row follow one another; an axis of one item has no stride to speak of. */
static bool has_plain_rows(const Py_buffer *view)
{
    Py_ssize_t step = 1;
    for (int i = view->ndim - 1; i > 0; i--) {
        if (view->shape[i] > 1 && view->strides[i] != step)
            return false;
        step *= view->shape[i];
    }
    return true;
}

static bool has_shape(const Py_buffer *view, int axes, const Py_ssize_t *lengths)
{
    if (view->ndim != axes)
        return false;
    for (int i = 0; i < axes; i++) {
        if (lengths[i] && view->shape[i] != lengths[i])
            return false;
    }
    return true;
}

bool dg_lend(Py_buffer *view, PyObject *object, const char *name, const char *wanted, int axes,
             const Py_ssize_t *lengths)
{
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0)
        return false;
    if (!has_shape(view, axes, lengths) || !is_uint8(view) || !has_plain_rows(view))
        return refuse(view, name, wanted);
    return true;
}

bool dg_lend_writable(Py_buffer *view, PyObject *object, const char *name, const char *wanted,
                      int axes, const Py_ssize_t *lengths)
{
    if (!dg_lend(view, object, name, wanted, axes, lengths))
        return false;
    return !view->readonly || refuse(view, name, wanted);
}
