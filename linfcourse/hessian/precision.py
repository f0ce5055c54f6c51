"""Full float32 products on CUDA: TF32 off while a Hessian-vector product runs."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from linfcourse.tf32 import tf32


def full_float32(device: torch.device) -> AbstractContextManager[None]:
    """Switches TF32 off for matrix products and convolutions, and back to what it was afterwards.

    TF32 keeps 10 bits of mantissa. A Cauchy probe spreads over d orders of magnitude, so its small
    entries would drown. On anything but CUDA nothing is touched.

    Args:
        device: where the products run.
    """
    return tf32(device, allowed=False)
