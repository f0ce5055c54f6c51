"""For every test, set before torch is imported, here and in the kernels of nbval: one thread, and
figures without sliders also where the tests are started from a notebook."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LINFCOURSE_SLIDERS"] = "0"
