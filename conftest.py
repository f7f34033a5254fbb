"""Settings for every run of pytest, here so that they hold for a single notebook as well."""

import os

# For the tests and for the kernels they start: one thread, no progress bars. Before any other import: numpy reads it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TFTUTOR_QUIET", "1")

import nbval_tolerance

nbval_tolerance.install()
