"""A strict stand-in for pycuda, over the stand-in driver `libcuda.c`."""
