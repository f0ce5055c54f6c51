"""A Hessian that is not finite, and arguments of the wrong kind, are named and never estimated."""

import numpy
import pytest
import torch

from linfcourse.hessian import (
    DenseOperator,
    HessianOperator,
    blockwise_norm,
    diagonal,
    norm_11,
    r_med,
    spectral_norm,
)
from linfcourse.partitions import per_tensor, whole
from linfcourse.rotations import Haar


def no_second_derivative():
    """|w|^{3/2} at 0, beside coordinates where all is well."""
    w = torch.zeros(3, requires_grad=True)
    b = torch.ones(20, requires_grad=True)
    return HessianOperator((w.abs() ** 1.5).sum() + b.square().sum(), [w, b])


@pytest.mark.parametrize("probes", [10, 50])  # 50 ≥ d: every row is computed
@pytest.mark.parametrize("estimator", ["two_stage", "geometric", "median", "iqr"])
def test_norm_11_refuses_products_that_are_not_finite(estimator, probes):
    with pytest.raises(ValueError, match="not finite"):
        norm_11(no_second_derivative(), probes, estimator)


@pytest.mark.parametrize(
    "estimate",
    [
        diagonal,
        lambda op: diagonal(op, "hutchinson", probes=5),
        spectral_norm,
        r_med,
        lambda op: blockwise_norm(op, whole),
        lambda op: blockwise_norm(op, per_tensor),
        lambda op: blockwise_norm(op, torch.arange(23) // 4, probes=20),
    ],
)
def test_the_other_estimators_refuse_them_too(estimate):
    with pytest.raises(ValueError, match=r"not finite|NaN"):
        estimate(no_second_derivative())


def test_spectral_norm_calls_its_arguments_by_their_names():
    op = DenseOperator(torch.eye(3))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        spectral_norm(op, steps=0)
    with pytest.raises(TypeError, match="steps must be an integer"):
        spectral_norm(op, steps=2.0)
    with pytest.raises(TypeError, match="tol must be a number"):
        spectral_norm(op, tol="small")


def test_a_rotations_class_is_no_rotation():
    with pytest.raises(TypeError, match=r"rotation must .*Haar\(\)"):
        DenseOperator(torch.eye(3)).rotated(Haar)


def test_sparse_vectors_are_refused():
    with pytest.raises(TypeError, match="dense"):
        DenseOperator(torch.eye(3)) @ torch.ones(3).to_sparse()


def test_probes_may_be_an_integer_of_numpy():
    estimate = norm_11(torch.eye(9), numpy.int64(5), generator=torch.Generator().manual_seed(0))
    assert type(estimate.probes) is int
