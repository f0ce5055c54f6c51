"""Norms of a Hessian that is known by its products with vectors alone."""

from linfcourse.hessian.blockwise import BlockwiseNorm, blockwise_norm
from linfcourse.hessian.diagonal import diagonal
from linfcourse.hessian.estimate import Estimate
from linfcourse.hessian.norm_11 import norm_11
from linfcourse.hessian.operator import HessianOperator
from linfcourse.hessian.r_med import r_med
from linfcourse.hessian.screened import ScreenedRatio, screened_r_med
from linfcourse.hessian.spectral import spectral_norm
from linfcourse.hessian.symmetric import DenseOperator, RotatedOperator, SymmetricOperator

__all__ = [
    "BlockwiseNorm",
    "DenseOperator",
    "Estimate",
    "HessianOperator",
    "RotatedOperator",
    "ScreenedRatio",
    "SymmetricOperator",
    "blockwise_norm",
    "diagonal",
    "norm_11",
    "r_med",
    "screened_r_med",
    "spectral_norm",
]
