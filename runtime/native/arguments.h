#ifndef DG_ARGUMENTS_H
#define DG_ARGUMENTS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* From Python objects to what C takes. All of it needs the GIL, and raises what does not fit. */

/* "O&" converters, into an int32_t and from (x, y, width, height) into a struct dg_rect. */
int dg_int32_from(PyObject *object, void *number);
int dg_rect_from(PyObject *object, void *rectangle);

/* A buffer's length as a side; one that does not fit becomes one that the C side refuses. */
int32_t dg_side_from(Py_ssize_t length);

/*
 * Lends the uint8 array `name` in `view`, a zeroed one, which the caller gives back by
 * PyBuffer_Release, also on failure. Its rows have no gaps inside, but may have some between
 * them. `axes` is how many it must have; `lengths` holds what each must measure, 0 for any.
 * `wanted` describes it. Else false is returned and an error is set.
 */
bool dg_lend(Py_buffer *view, PyObject *object, const char *name, const char *wanted, int axes,
             const Py_ssize_t *lengths);

/* The same for an array that C writes to. */
bool dg_lend_writable(Py_buffer *view, PyObject *object, const char *name, const char *wanted,
                      int axes, const Py_ssize_t *lengths);

#endif
