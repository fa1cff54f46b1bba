#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits.h>
#include <stddef.h>
#include <structmember.h>

#include "camera_module.h"
#include "capture.h"

typedef struct {
    PyObject_HEAD
    struct dg_capture *capture;
    PyTypeObject *shot_type;
    struct dg_mode mode;
} Capture;

/* A frame that is lent as a buffer; its slot goes back when the last view has let it go. */
typedef struct {
    PyObject_HEAD
    Capture *lender;
    struct dg_shot shot;
    unsigned long long number, dropped;
    long long t_ns;
    char is_broken;
} Shot;

static PyTypeObject *shot_type_of(PyTypeObject *capture_type)
{
    PyObject *const module = PyType_GetModule(capture_type);
    return module ? (PyTypeObject *)PyObject_GetAttrString(module, "Shot") : NULL;
}

static PyObject *capture_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"fd", "width", "height", "fourcc", "fps", "cpu", NULL};
    PyObject *fd;
    struct dg_wish wish = {0};
    struct dg_camera camera;
    struct dg_fault fault;
    int width = 0, height = 0, cpu = -1;
    if (!PyArg_ParseTupleAndKeywords(args, named, "O|iiIdi:Capture", names, &fd, &width, &height,
                                     &wish.fourcc, &wish.fps, &cpu) ||
        !dg_identify(fd, &camera))
        return NULL;
    wish.width = width;
    wish.height = height;
    Capture *const self = (Capture *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->shot_type = shot_type_of(type);
    if (!self->shot_type)
        goto fail;
    enum dg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = dg_camera_negotiate(&camera, &wish, &self->mode, &fault);
    if (status == DG_OK)
        status = dg_capture_open(&self->capture, &camera, cpu, &fault);
    Py_END_ALLOW_THREADS
    if (status == DG_OK)
        return (PyObject *)self;
    dg_raise_fault(status, &fault);
fail:
    Py_DECREF(self);
    return NULL;
}

static void capture_dealloc(Capture *self)
{
    PyTypeObject *const type = Py_TYPE(self);
    Py_BEGIN_ALLOW_THREADS
    dg_capture_free(self->capture);
    Py_END_ALLOW_THREADS
    Py_XDECREF(self->shot_type);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Takes over the shot: where there is no memory for it, it goes back at once. */
static PyObject *shot_from(Capture *self, const struct dg_shot *shot)
{
    Shot *const lent = (Shot *)self->shot_type->tp_alloc(self->shot_type, 0);
    if (!lent) {
        dg_capture_give_back(self->capture, shot->slot);
        return NULL;
    }
    lent->lender = (Capture *)Py_NewRef(self);
    lent->shot = *shot;
    lent->number = shot->number;
    lent->dropped = shot->dropped;
    lent->t_ns = shot->t_ns;
    lent->is_broken = shot->is_broken;
    return (PyObject *)lent;
}

PyDoc_STRVAR(take_doc, "take(timeout_ms)\n--\n\n"
                       "The newest frame, or None where none came in time or a signal did.");

static PyObject *capture_take(Capture *self, PyObject *timeout)
{
    struct dg_shot shot;
    struct dg_fault fault;
    enum dg_status status;
    const long timeout_ms = PyLong_AsLong(timeout);
    if (timeout_ms < 0 || timeout_ms > INT_MAX) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "timeout_ms: expected 0 or more, in 31 bits");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = dg_capture_take(self->capture, (int)timeout_ms, &shot, &fault);
    Py_END_ALLOW_THREADS
    if (status != DG_OK)
        return dg_raise_fault(status, &fault);
    if (shot.bytes)
        return shot_from(self, &shot);
    return PyErr_CheckSignals() < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(close_doc, "close()\n--\n\nLet the device go; lent frames stay what they are.");

static PyObject *capture_close(Capture *self, PyObject *unused)
{
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    dg_capture_close(self->capture);
    Py_END_ALLOW_THREADS
    return Py_NewRef(Py_None);
}

static void shot_dealloc(Shot *self)
{
    PyTypeObject *const type = Py_TYPE(self);
    dg_capture_give_back(self->lender->capture, self->shot.slot);
    Py_DECREF(self->lender);
    type->tp_free(self);
    Py_DECREF(type);
}

static int shot_lend(Shot *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)self, (void *)(uintptr_t)self->shot.bytes,
                             (Py_ssize_t)self->shot.count, 1, flags);
}

static PyMemberDef capture_members[] = {
    {"width", T_INT, offsetof(Capture, mode.width), READONLY, NULL},
    {"height", T_INT, offsetof(Capture, mode.height), READONLY, NULL},
    {"fourcc", T_UINT, offsetof(Capture, mode.fourcc), READONLY, NULL},
    {"stride", T_UINT, offsetof(Capture, mode.stride), READONLY, NULL},
    {"fps", T_DOUBLE, offsetof(Capture, mode.fps), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef capture_methods[] = {
    {"take", (PyCFunction)(void (*)(void))capture_take, METH_O, take_doc},
    {"close", (PyCFunction)(void (*)(void))capture_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef shot_members[] = {
    {"number", T_ULONGLONG, offsetof(Shot, number), READONLY, NULL},
    {"dropped", T_ULONGLONG, offsetof(Shot, dropped), READONLY, NULL},
    {"t_ns", T_LONGLONG, offsetof(Shot, t_ns), READONLY, NULL},
    {"is_broken", T_BOOL, offsetof(Shot, is_broken), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot capture_slots[] = {
    {Py_tp_doc, "Frames of a V4L2 device: its thread keeps the newest and counts the others."},
    {Py_tp_new, (void *)(uintptr_t)capture_new},
    {Py_tp_dealloc, (void *)(uintptr_t)capture_dealloc},
    {Py_tp_members, capture_members},
    {Py_tp_methods, capture_methods},
    {0, NULL},
};

static PyType_Slot shot_slots[] = {
    {Py_tp_doc, "A frame in its driver's buffer, lent as long as a view of it lives."},
    {Py_tp_dealloc, (void *)(uintptr_t)shot_dealloc},
    {Py_tp_members, shot_members},
    {Py_bf_getbuffer, (void *)(uintptr_t)shot_lend},
    {0, NULL},
};

static PyType_Spec capture_spec = {
    .name = "runtime._native.Capture",
    .basicsize = sizeof(Capture),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = capture_slots,
};

static PyType_Spec shot_spec = {
    .name = "runtime._native.Shot",
    .basicsize = sizeof(Shot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = shot_slots,
};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *const type = PyType_FromModuleAndSpec(module, spec, NULL);
    const int added = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return added;
}

int dg_add_capture(PyObject *module)
{
    return add_type(module, &capture_spec) < 0 || add_type(module, &shot_spec) < 0 ? -1 : 0;
}
