#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "camera_module.h"

/* A driver that enumerates for ever is cut short. */
enum { FORMATS_MOST = 256, SIZES_MOST = 128, RATES_MOST = 64, CONTROLS_MOST = 512, MENU_MOST = 64 };

/* OSError makes of an errno the class that is named after it. */
PyObject *dg_raise_fault(enum dg_status status, const struct dg_fault *fault)
{
    if (status == DG_NO_MEMORY)
        return PyErr_NoMemory();
    PyObject *const text = PyUnicode_FromFormat("%s: %s", fault->step, strerror(fault->error));
    PyObject *const arguments = text ? Py_BuildValue("(iN)", fault->error, text) : NULL;
    if (arguments)
        PyErr_SetObject(PyExc_OSError, arguments);
    Py_XDECREF(arguments);
    return NULL;
}

static PyObject *text_from(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* A list of what `next` gives for 0, 1, ... until it says there is no more. */
typedef PyObject *next_item(const void *context, uint32_t index, bool *is_end);

static PyObject *listed(next_item *next, const void *context, uint32_t most)
{
    PyObject *const list = PyList_New(0);
    bool is_end = false;
    for (uint32_t i = 0; list && i < most; i++) {
        PyObject *const item = next(context, i, &is_end);
        if (is_end)
            break;
        const int appended = item ? PyList_Append(list, item) : -1;
        Py_XDECREF(item);
        if (appended < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

struct choice {
    const struct dg_camera *camera;
    uint32_t fourcc, width, height;
};

static PyObject *next_rate(const void *context, uint32_t index, bool *is_end)
{
    const struct choice *const of = context;
    struct dg_rate_offer offer;
    Py_BEGIN_ALLOW_THREADS
    *is_end = !dg_camera_rate(of->camera, of->fourcc, of->width, of->height, index, &offer);
    Py_END_ALLOW_THREADS
    return *is_end ? NULL : Py_BuildValue("(dd)", offer.least, offer.most);
}

static PyObject *next_size(const void *context, uint32_t index, bool *is_end)
{
    struct choice of = *(const struct choice *)context;
    struct dg_size_offer offer;
    Py_BEGIN_ALLOW_THREADS
    *is_end = !dg_camera_size(of.camera, of.fourcc, index, &offer);
    Py_END_ALLOW_THREADS
    if (*is_end)
        return NULL;
    of.width = offer.most_width;
    of.height = offer.most_height;
    PyObject *const rates = listed(next_rate, &of, RATES_MOST);
    if (!rates)
        return NULL;
    return Py_BuildValue("(IIIIN)", offer.least_width, offer.least_height, offer.most_width,
                         offer.most_height, rates);
}

static PyObject *next_format(const void *context, uint32_t index, bool *is_end)
{
    struct choice of = {.camera = context};
    struct dg_format_offer offer;
    Py_BEGIN_ALLOW_THREADS
    *is_end = !dg_camera_format(of.camera, index, &offer);
    Py_END_ALLOW_THREADS
    if (*is_end)
        return NULL;
    of.fourcc = offer.fourcc;
    PyObject *const sizes = listed(next_size, &of, SIZES_MOST);
    PyObject *const text = sizes ? text_from(offer.text) : NULL;
    if (!text) {
        Py_XDECREF(sizes);
        return NULL;
    }
    return Py_BuildValue("(INN)", offer.fourcc, text, sizes);
}

bool dg_identify(PyObject *fd_object, struct dg_camera *camera)
{
    struct dg_fault fault;
    const int fd = PyObject_AsFileDescriptor(fd_object);
    if (fd < 0)
        return false;
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = dg_camera_identify(fd, camera, &fault);
    Py_END_ALLOW_THREADS
    if (status != DG_OK)
        dg_raise_fault(status, &fault);
    return status == DG_OK;
}

PyDoc_STRVAR(about_doc, "camera_about(fd)\n--\n\nDriver, card and bus of a camera.");

static PyObject *camera_about(PyObject *module, PyObject *fd)
{
    struct dg_camera camera;
    (void)module;
    if (!dg_identify(fd, &camera))
        return NULL;
    return Py_BuildValue("(NNN)", text_from(camera.driver), text_from(camera.card),
                         text_from(camera.bus));
}

PyDoc_STRVAR(formats_doc, "camera_formats(fd)\n--\n\nFormats, with their sizes and rates.");

static PyObject *camera_formats(PyObject *module, PyObject *fd)
{
    struct dg_camera camera;
    (void)module;
    return dg_identify(fd, &camera) ? listed(next_format, &camera, FORMATS_MOST) : NULL;
}

/* The items of a menu as {number: text}; other controls have none. */
static PyObject *menu_of(const struct dg_camera *camera, const struct dg_control_offer *control)
{
    PyObject *const menu = PyDict_New();
    char text[33];
    bool has_item;
    for (int64_t i = control->least; menu && i >= 0 && i <= control->most && i < MENU_MOST; i++) {
        Py_BEGIN_ALLOW_THREADS
        has_item = dg_camera_menu(camera, control, (uint32_t)i, text);
        Py_END_ALLOW_THREADS
        if (!has_item)
            continue;
        PyObject *const number = PyLong_FromLongLong(i), *const item = text_from(text);
        const int is_set = number && item ? PyDict_SetItem(menu, number, item) : -1;
        Py_XDECREF(number);
        Py_XDECREF(item);
        if (is_set < 0) {
            Py_DECREF(menu);
            return NULL;
        }
    }
    return menu;
}

struct controls {
    const struct dg_camera *camera;
    uint32_t last;
};

static PyObject *next_control(const void *context, uint32_t index, bool *is_end)
{
    struct controls *const at = (struct controls *)(uintptr_t)context;
    struct dg_control_offer offer;
    struct dg_fault fault;
    int32_t value = 0;
    bool has_value = false;
    (void)index;
    Py_BEGIN_ALLOW_THREADS
    *is_end = !dg_camera_control(at->camera, at->last, &offer);
    if (!*is_end)
        has_value = dg_camera_read(at->camera, offer.id, &value, &fault) == DG_OK;
    Py_END_ALLOW_THREADS
    if (*is_end)
        return NULL;
    at->last = offer.id;
    PyObject *const menu = menu_of(at->camera, &offer), *const name = text_from(offer.name);
    if (!menu || !name) {
        Py_XDECREF(menu);
        Py_XDECREF(name);
        return NULL;
    }
    return Py_BuildValue("(INIILLLLNN)", offer.id, name, offer.kind, offer.flags, offer.least,
                         offer.most, offer.step, offer.preset,
                         has_value ? PyLong_FromLong(value) : Py_NewRef(Py_None), menu);
}

PyDoc_STRVAR(controls_doc, "camera_controls(fd)\n--\n\nControls, with their ranges and values.");

static PyObject *camera_controls(PyObject *module, PyObject *fd)
{
    struct dg_camera camera;
    struct controls at = {.camera = &camera};
    (void)module;
    return dg_identify(fd, &camera) ? listed(next_control, &at, CONTROLS_MOST) : NULL;
}

PyDoc_STRVAR(set_doc, "set_control(fd, id, value)\n--\n\nSet a control.");

static PyObject *set_control(PyObject *module, PyObject *args)
{
    PyObject *fd;
    unsigned int id;
    int value;
    struct dg_camera camera;
    struct dg_fault fault;
    (void)module;
    if (!PyArg_ParseTuple(args, "OIi:set_control", &fd, &id, &value) || !dg_identify(fd, &camera))
        return NULL;
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = dg_camera_write(&camera, id, value, &fault);
    Py_END_ALLOW_THREADS
    return status == DG_OK ? Py_NewRef(Py_None) : dg_raise_fault(status, &fault);
}

static PyMethodDef functions[] = {
    {"camera_about", camera_about, METH_O, about_doc},
    {"camera_formats", camera_formats, METH_O, formats_doc},
    {"camera_controls", camera_controls, METH_O, controls_doc},
    {"set_control", set_control, METH_VARARGS, set_doc},
    {NULL, NULL, 0, NULL},
};

int dg_add_camera(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
