"""For every test: one thread, set before torch is imported, here and in the kernels of nbval."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
