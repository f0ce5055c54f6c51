"""R_med by screening and confirming: against the exact one, and what noise does without it."""

import pytest
import torch
from torch import nn

from linfcourse.hessian import DenseOperator, HessianOperator, diagonal, r_med, screened_r_med


def uneven(d=300, off=0.3, seed=0):
    """A few steep coordinates, many flat ones, and off-diagonal entries that make noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(d, d, generator=generator, dtype=torch.float64) * off
    steep = torch.randn(d, generator=generator, dtype=torch.float64).mul(2).exp()
    return noise + noise.T - torch.diag(2 * noise.diag()) + torch.diag(steep)


def test_small_tensors_are_exact():
    h = uneven(60)
    found = screened_r_med(h, [10, 50], probes=3, candidates=20, sample=30)
    torch.testing.assert_close(found.ratio, r_med(h.diag(), [10, 50]))
    assert found.products == 3 + 60


def test_the_largest_entry_is_found_where_hutchinson_alone_is_far_off():
    h = uneven()
    exact = r_med(h.diag())
    generator = torch.Generator().manual_seed(1)
    found = screened_r_med(h, probes=60, candidates=20, sample=150, generator=generator)
    assert found.largest == h.diag().abs().max()
    assert abs(found.ratio / exact - 1) < 0.35
    noisy = diagonal(h, "hutchinson", 60, generator)
    assert noisy.abs().median() > 1.1 * h.diag().abs().median()


def test_the_maximum_is_never_above_the_true_one():
    for seed in range(20):
        h = uneven(off=3.0, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        found = screened_r_med(h, probes=2, candidates=5, sample=20, generator=generator)
        assert found.largest <= h.diag().abs().max()


def test_the_median_is_of_the_sample_and_not_of_the_candidates():
    h = torch.diag(torch.linspace(1, 2, 400, dtype=torch.float64))
    medians = [
        screened_r_med(h, probes=1, candidates=200, sample=21,
                       generator=torch.Generator().manual_seed(s)).median.item()
        for s in range(60)
    ]  # fmt: skip
    assert abs(sum(medians) / 60 - 1.5) < 0.05


def test_a_network_gives_its_own_tensors_and_the_same_twice():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 2))
    op = HessianOperator(model(torch.randn(30, 6)).square().mean(), model.parameters())
    runs = [
        screened_r_med(op, candidates=8, sample=30, generator=torch.Generator().manual_seed(0))
        for _ in range(2)
    ]
    assert runs[0].ratio.shape == (4,) and torch.equal(runs[0].ratio, runs[1].ratio)
    exact = r_med(op)
    torch.testing.assert_close(runs[0].ratio[1], exact[1])  # 20 biases: in full


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probes": 0}, "probes"),
        ({"candidates": 0}, "candidates"),
        ({"sample": 1.5}, "sample"),
        ({"params": [3, 4]}, "add up"),
        ({"generator": 3}, "generator"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        screened_r_med(DenseOperator(uneven(10)), **arguments)
