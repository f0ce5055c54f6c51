"""Lanczos against dense eigenvalues: value, interval, early end, bad input."""

import math

import pytest
import torch

from benchmarks.live_bytes import LiveBytes
from linfcourse.hessian import HessianOperator, spectral_norm
from linfcourse.hessian.symmetric import SymmetricOperator


def symmetric(spectrum, seed=0):
    generator = torch.Generator().manual_seed(seed)
    d = len(spectrum)
    q, _ = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator))
    matrix = (q * spectrum) @ q.T
    return (matrix + matrix.T) / 2


def linspace(low, high, count):
    return torch.linspace(low, high, count, dtype=torch.float64)


SPECTRA = {
    "positive end": linspace(-1, 2, 120),
    "negative end": linspace(-3, 2, 120),
    "repeated top": torch.cat([linspace(0, 1, 100), torch.full((5,), 1.5, dtype=torch.float64)]),
    "both ends alike": torch.cat([linspace(-1, 1, 100), torch.tensor([2.0, -2.001])]),
    "one scale in a thousand": torch.cat([1e-3 * linspace(0, 1, 100), torch.tensor([1.0])]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_is_the_largest_magnitude_and_the_interval_holds_it(name, dtype):
    matrix = symmetric(SPECTRA[name]).to(dtype)
    truth = float(SPECTRA[name].abs().max())
    estimate = spectral_norm(matrix, generator=torch.Generator().manual_seed(0))
    rounding = 1e-5 if dtype == torch.float32 else 1e-12
    assert math.isclose(estimate.value, truth, rel_tol=1e-3)
    assert estimate.interval[0] <= truth * (1 + rounding)
    assert truth <= estimate.interval[1] * (1 + rounding) + 1e-3 * truth


def test_more_steps_never_give_less_and_stay_below_the_truth():
    matrix = symmetric(linspace(-1, 1, 200) ** 3)
    values = [
        spectral_norm(matrix, steps, tol=0, generator=torch.Generator().manual_seed(0)).value
        for steps in (1, 2, 5, 10, 20, 40, 80, 200)
    ]
    assert values == sorted(values) and values[-1] <= 1 + 1e-12
    assert math.isclose(values[-1], 1, rel_tol=1e-12)


def test_full_reorthogonalisation_survives_many_steps_after_convergence():
    # Without it, Lanczos in float32 would lose orthogonality here and overshoot.
    spectrum = torch.cat([torch.tensor([100.0, 99.0]), linspace(0, 1, 198)])
    matrix = symmetric(spectrum).float()
    estimate = spectral_norm(matrix, 200, tol=0, generator=torch.Generator().manual_seed(0))
    assert math.isclose(estimate.value, 100, rel_tol=1e-5)


@pytest.mark.parametrize("name", SPECTRA)
def test_three_vectors_find_what_the_whole_basis_finds(name):
    matrix = symmetric(SPECTRA[name])
    found = [
        spectral_norm(
            matrix, steps, reorthogonalise=keep, generator=torch.Generator().manual_seed(0)
        )
        for steps in (20, 100)
        for keep in (True, False)
    ]
    assert math.isclose(found[1].value, found[0].value, rel_tol=1e-9)
    assert math.isclose(found[3].value, found[2].value, rel_tol=1e-4)
    assert math.isclose(found[3].value, float(SPECTRA[name].abs().max()), rel_tol=1e-3)


def test_three_vectors_are_all_that_is_kept():
    class Diagonal(SymmetricOperator):
        dim, device, dtype = 10_000, torch.device("cpu"), torch.float32

        def _products(self, vectors):
            return vectors * torch.linspace(0, 1, self.dim)[:, None]

    peaks = []
    for keep in (True, False):
        with LiveBytes() as live:
            spectral_norm(Diagonal(), 40, tol=0, reorthogonalise=keep)
        peaks.append(live.peak / (4 * Diagonal.dim))
    assert peaks[0] > 40 and peaks[1] < 9, peaks


def test_it_ends_when_the_krylov_space_does():
    two_values = symmetric(torch.tensor([3.0] * 20 + [-1.0] * 30))
    estimate = spectral_norm(two_values, generator=torch.Generator().manual_seed(0))
    assert estimate.probes <= 3 and math.isclose(estimate.value, 3, rel_tol=1e-10)
    for zero in (torch.zeros(7, 7), torch.zeros(1, 1)):
        assert spectral_norm(zero).interval == (0, 0)
    assert spectral_norm(torch.tensor([[-4.0]])).value == pytest.approx(4)


def test_products_are_counted_and_at_most_steps():
    x = torch.randn(50, requires_grad=True)
    op = HessianOperator((x**4).sum(), [x])
    estimate = spectral_norm(op, steps=7, tol=0)
    assert estimate.probes == 7


def test_bad_input_is_named():
    matrix = torch.eye(3)
    with pytest.raises(ValueError, match="steps"):
        spectral_norm(matrix, steps=0)
    with pytest.raises(ValueError, match="tol"):
        spectral_norm(matrix, tol=-1)
    with pytest.raises(TypeError, match="generator"):
        spectral_norm(matrix, generator=1)
