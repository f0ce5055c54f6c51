"""norm_11: right on average, intervals that cover, narrower than the paper's way, O(d) memory."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linfcourse.hessian import DenseOperator, Estimate, HessianOperator, norm_11


def rotated(d=60):
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(d, d, generator=generator))
    spectrum = torch.cat([torch.ones(5), 1 / torch.arange(1, d - 4.0) ** 2])
    matrix = (q * spectrum) @ q.T
    return (matrix + matrix.T) / 2


def diagonal(d=60):
    return torch.diag(1 / torch.arange(1.0, d + 1) ** 2)


def spiked(d=60):
    """A few rows hold most, and reach into all the others."""
    size = 1 / torch.arange(1.0, d + 1) ** 2
    signs = torch.randn(d, d, generator=torch.Generator().manual_seed(0))
    return (signs + signs.T) * torch.outer(size, size)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 10), nn.LayerNorm(10), nn.Tanh(), nn.Linear(10, 4))
    loss = F.cross_entropy(model(torch.randn(30, 6)), torch.randint(4, (30,)))
    matrix = HessianOperator(loss, model.parameters()).dense()
    return (matrix + matrix.T) / 2


HESSIANS = {
    "rotated": rotated(),
    "diagonal": diagonal(),
    "spiked": spiked(),
    "network": network(),
}


def repeat(matrix, count, probes, estimator, seed=0):
    """Values over truth, and the share of intervals that hold the truth."""
    op, truth = DenseOperator(matrix), float(matrix.abs().double().sum())
    generator = torch.Generator().manual_seed(seed)
    runs = [norm_11(op, probes, estimator, generator) for _ in range(count)]
    values = torch.tensor([r.value for r in runs], dtype=torch.float64) / truth
    return values, sum(r.interval[0] <= truth <= r.interval[1] for r in runs) / count


@pytest.mark.parametrize("name", HESSIANS)
@pytest.mark.parametrize(("estimator", "count"), [("two_stage", 1000), ("geometric", 2000)])
def test_mean_is_the_truth_at_10_probes(name, estimator, count):
    values, _ = repeat(HESSIANS[name], count, 10, estimator)
    # Within four standard errors, each at most 1.2 %: the median is 13 to 18 % off here.
    assert abs(values.mean() - 1) < 4 * values.std() / math.sqrt(count)
    assert values.std() / math.sqrt(count) < 0.012


@pytest.mark.parametrize("name", HESSIANS)
@pytest.mark.parametrize("estimator", ["two_stage", "geometric"])
@pytest.mark.parametrize("probes", [10, 20, 50])
def test_90_percent_intervals_cover(name, estimator, probes):
    _, covered = repeat(HESSIANS[name], 200, probes, estimator, seed=probes)
    assert 0.85 <= covered <= 0.97


@pytest.mark.parametrize("name", ["rotated", "network"])
def test_two_stage_has_at_most_half_the_spread_of_the_median(name):
    two_stage, _ = repeat(HESSIANS[name], 150, 50, "two_stage")
    median, _ = repeat(HESSIANS[name], 150, 50, "median")
    assert two_stage.std() < 0.5 * median.std()


def test_a_rank_one_hessian_is_found_almost_exactly():
    u = torch.randn(80, generator=torch.Generator().manual_seed(0))
    values, covered = repeat(torch.outer(u, u), 50, 20, "two_stage")
    assert values.std() < 0.01 and covered >= 0.85


def test_median_and_iqr_are_biased_upward_as_stated():
    # The rows of the identity are independent: one run averages 1,500 of them.
    op = DenseOperator(torch.eye(1500))
    generator = torch.Generator().manual_seed(0)
    for probes, expected in ((5, 1.31), (10, 1.16), (20, 1.07), (50, 1.03)):
        runs = [norm_11(op, probes, "median", generator).value / 1500 for _ in range(10)]
        assert abs(sum(runs) / 10 - expected) < 0.03
        runs = [norm_11(op, probes, "geometric", generator).value / 1500 for _ in range(10)]
        assert abs(sum(runs) / 10 - 1) < 0.03
    runs = [norm_11(op, 10, "iqr", generator).value / 1500 for _ in range(10)]
    assert 1.05 < sum(runs) / 10 < 1.2


def test_median_and_iqr_are_numpys(monkeypatch):
    numpy = pytest.importorskip("numpy")
    matrix = HESSIANS["rotated"]
    for probes in (7, 10):
        v = torch.tan(
            math.pi
            * (
                torch.rand(
                    probes, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
                )
                - 0.5
            )
        ).float()
        samples = (matrix @ v.T).numpy()
        generator = torch.Generator().manual_seed(4)
        value = norm_11(matrix, probes, "median", generator).value
        assert math.isclose(value, numpy.median(abs(samples), axis=1).sum(), rel_tol=1e-4)
        generator = torch.Generator().manual_seed(4)
        value = norm_11(matrix, probes, "iqr", generator).value
        low, high = numpy.quantile(samples, [0.25, 0.75], axis=1)
        assert math.isclose(value, ((high - low) / 2).sum(), rel_tol=1e-4)


@pytest.mark.parametrize("estimator", ["two_stage", "geometric", "median", "iqr"])
def test_every_product_is_counted_and_none_is_wasted(estimator):
    class Counting(DenseOperator):
        columns = DenseOperator.__mro__[1].columns  # by products, not by indexing
        count = 0

        def _products(self, vectors):
            self.count += vectors.shape[1]
            return super()._products(vectors)

    for matrix in HESSIANS.values():
        for probes in (2, 3, 17, 50):
            op = Counting(matrix)
            assert norm_11(op, probes, estimator).probes == op.count == probes


def test_with_as_many_probes_as_rows_it_is_exact():
    for matrix in (torch.tensor([[-3.0]]), rotated(30)):
        estimate = norm_11(matrix, probes=50)
        assert math.isclose(estimate.value, matrix.abs().sum(), rel_tol=1e-6)
        assert estimate.stderr == 0 and estimate.interval == (estimate.value,) * 2
        assert estimate.probes == len(matrix)


@pytest.mark.parametrize("estimator", ["two_stage", "geometric", "median", "iqr"])
def test_a_zero_hessian_is_zero(estimator):
    estimate = norm_11(torch.zeros(99, 99), 20, estimator)
    assert (estimate.value, *estimate.interval) == (0, 0, 0)


def test_rows_of_zeros_do_no_harm():
    matrix = torch.zeros(300, 300)
    matrix[:60, :60] = HESSIANS["rotated"]
    for estimator, least in (("two_stage", 0.95), ("geometric", 0.7)):
        values, _ = repeat(matrix, 40, 50, estimator)
        assert least < values.mean() < 2 - least


def test_value_is_positive_and_inside_its_interval_at_any_number_of_probes():
    for estimator in ("two_stage", "geometric", "median", "iqr"):
        for probes in range(2, 24):
            estimate = norm_11(HESSIANS["network"], probes, estimator)
            low, high = estimate.interval
            assert 0 <= low <= estimate.value <= high and estimate.stderr > 0
    alone = norm_11(HESSIANS["network"], 1)
    assert alone.value > 0 and alone.stderr == alone.interval[1] == math.inf


def test_scaling_the_hessian_scales_the_estimate():
    for scale in (1e-12, 1e12):
        for estimator in ("two_stage", "geometric", "median", "iqr"):
            one, other = (
                norm_11(h, 20, estimator, torch.Generator().manual_seed(0))
                for h in (HESSIANS["network"].double(), HESSIANS["network"].double() * scale)
            )
            assert math.isclose(one.value * scale, other.value, rel_tol=1e-9)
            assert math.isclose(one.interval[1] * scale, other.interval[1], rel_tol=1e-9)


def test_same_generator_same_estimate_and_the_global_one_is_used_without():
    matrix = HESSIANS["network"]
    first, again = (norm_11(matrix, 20, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    assert first == again
    torch.manual_seed(3)
    first = norm_11(matrix, 20)
    torch.manual_seed(3)
    assert norm_11(matrix, 20) == first


def test_anything_with_dim_and_matmat_or_at_is_an_operator():
    class Matmat:
        dim = 60

        def matmat(self, vectors):
            return HESSIANS["rotated"] @ vectors

    class At:
        dim = 60

        def __matmul__(self, vectors):
            return HESSIANS["rotated"] @ vectors

    expected = norm_11(HESSIANS["rotated"], 20, generator=torch.Generator().manual_seed(0))
    for op in (Matmat(), At()):
        estimate = norm_11(op, 20, generator=torch.Generator().manual_seed(0))
        assert math.isclose(estimate.value, expected.value, rel_tol=1e-5)


def test_bad_input_is_named():
    matrix = HESSIANS["rotated"]
    for probes, estimator in ((0, "two_stage"), (-1, "median"), (1, "geometric"), (1, "iqr")):
        with pytest.raises(ValueError, match="probes"):
            norm_11(matrix, probes, estimator)
    for probes in (True, 2.0, "5"):
        with pytest.raises(TypeError, match="probes"):
            norm_11(matrix, probes)
    with pytest.raises(ValueError, match="estimator must be one of two_stage"):
        norm_11(matrix, estimator="mean")
    with pytest.raises(TypeError, match="generator"):
        norm_11(matrix, generator=0)
    with pytest.raises(TypeError, match="op must be"):
        norm_11(3.0)
    w = torch.zeros(60, requires_grad=True)
    bad = HessianOperator(w.abs().sqrt().sum() * 0 + (w**2).sum(), [w])
    with pytest.raises(ValueError, match="not finite"):
        norm_11(bad, 10)


def test_an_estimate_reads_as_a_number_and_as_a_sentence():
    estimate = Estimate(2.0, 0.1, (1.8, 2.2), 50, "two_stage")
    assert float(estimate) == 2.0 and "50 products" in str(estimate)
