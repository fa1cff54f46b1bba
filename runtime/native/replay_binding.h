#ifndef DG_REPLAY_BINDING_H
#define DG_REPLAY_BINDING_H

#include <Python.h>

/* The functions of `replay.h` for Python; CUDA's pointers are integers there. */
extern PyMethodDef dg_replay_methods[];

#endif
