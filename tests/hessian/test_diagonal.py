"""The diagonal, exact and by Hutchinson, and R_med of it."""

import math

import pytest
import torch
from torch import nn

from linfcourse.hessian import DenseOperator, HessianOperator, diagonal, r_med


def matrix(d=90):
    h = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return h + h.T


def test_exact_diagonal_is_the_dense_ones():
    h = matrix()
    assert torch.equal(diagonal(DenseOperator(h)), h.diagonal())
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 1))
    op = HessianOperator(model(torch.randn(8, 3)).pow(2).mean(), model.parameters())
    torch.testing.assert_close(diagonal(op), op.dense().diagonal())


def test_hutchinson_is_unbiased_with_the_standard_error_it_states():
    h = matrix(30)
    generator = torch.Generator().manual_seed(0)
    runs = [diagonal(h, "hutchinson", 40, generator, return_stderr=True) for _ in range(300)]
    values, stderrs = (torch.stack(x) for x in zip(*runs, strict=True))
    off = (h - torch.diag(h.diagonal())).square().sum(1).div(40).sqrt()
    torch.testing.assert_close(stderrs.square().mean(0).sqrt(), off, rtol=0.05, atol=0)
    assert ((values.mean(0) - h.diagonal()).abs() < 4.5 * off / math.sqrt(300)).all()
    torch.testing.assert_close(values.std(0), off, rtol=0.2, atol=0)


def test_hutchinson_is_exact_for_a_diagonal_hessian():
    h = torch.diag(torch.arange(5.0))
    value, stderr = diagonal(h, "hutchinson", 3, return_stderr=True)
    assert torch.equal(value, torch.arange(5.0)) and not stderr.any()
    assert diagonal(h, "hutchinson", 1, return_stderr=True)[1].isinf().all()


def test_r_med_is_taken_tensor_by_tensor():
    values = torch.tensor([1.0, -2, 8, 3, 3, 3, 3, -12])
    expected = torch.tensor([4.0, 1.0, 4.0], dtype=torch.float64)
    for params in (
        [torch.empty(3), torch.empty(1, 1), torch.empty(2, 2)],
        [("a", torch.empty(3)), ("b", torch.empty(1)), ("c", torch.empty(4))],
        [(3,), (), (2, 2)],
        [3, 1, 4],
    ):
        torch.testing.assert_close(r_med(values, params), expected)
    # An even number: the mean of the two middle ones, (2 + 4)/2.
    assert r_med(torch.tensor([1.0, 2, 4, 6])).tolist() == [2.0]
    assert float(r_med(values)) == 4


def test_r_med_of_an_operator_uses_its_own_tensors():
    a = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    b = torch.tensor([1.0, 1.0], requires_grad=True)
    op = HessianOperator((a**3).sum() + (b**2).sum(), [a, b])
    torch.testing.assert_close(r_med(op), torch.tensor([1.5, 1.0], dtype=torch.float64))
    torch.testing.assert_close(r_med(op, [5]), torch.tensor([18 / 6.0]).double())


def test_r_med_says_infinity_for_dead_units_and_nan_for_dead_tensors():
    values = r_med(torch.tensor([0.0, 0, 1, 0, 0]), [3, 2])
    assert values[0] == math.inf and values[1].isnan()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="method"):
        diagonal(torch.eye(2), "fast")
    with pytest.raises(ValueError, match="probes"):
        diagonal(torch.eye(2), "hutchinson", 0)
    for params in ([1], [2, 0], []):
        with pytest.raises(ValueError, match="add up to"):
            r_med(torch.ones(2), params)
    with pytest.raises(TypeError, match="params"):
        r_med(torch.ones(2), ["ab"])
    with pytest.raises(ValueError, match="NaN"):
        r_med(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match="at least one"):
        r_med(torch.empty(0))
    with pytest.raises(ValueError, match="flatten"):
        r_med(torch.ones(2, 2, 2))
