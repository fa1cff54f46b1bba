#ifndef DG_CAMERA_MODULE_H
#define DG_CAMERA_MODULE_H

#include <Python.h>

#include <stdbool.h>

#include "device.h"

/* The cameras' part of the module. All of it needs the GIL. */

/* Add the camera functions, and Capture and Shot: 0, or -1 and an error that is set. */
int dg_add_camera(PyObject *module);
int dg_add_capture(PyObject *module);

/* What a Python file descriptor leads to; else false, and an error is set. */
bool dg_identify(PyObject *fd, struct dg_camera *camera);

/* Raises a status other than DG_OK; gives NULL. */
PyObject *dg_raise_fault(enum dg_status status, const struct dg_fault *fault);

#endif
