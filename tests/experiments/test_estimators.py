"""Chapter 4's experiment: what it measures is right, and its claims can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.data import shakespeare
from linfcourse.experiments import estimators
from linfcourse.experiments.estimators_results import bound, slope
from linfcourse.hessian import Estimate
from linfcourse.models import rank_one
from linfcourse.records import Record, Trial, recorded_folder

CPU = torch.device("cpu")
SHORT = replace(
    estimators.PRESETS["cpu"],
    d=100,
    hessians=("heavy-tailed rows", "rotated", "rank one"),
    probes=(10, 20, 50),
    repetitions=60,
    seeds=(0, 1, 2),
)
TINY = replace(
    estimators.PRESETS["cpu"], width=4, n_head=2, context=4, batch=2, steps=8, network_repetitions=2
)


def statuses(record):
    return {name[11:]: v.status for name, v in estimators.EXPERIMENT.judge(record).items()}


@pytest.fixture(scope="module")
def short():
    return estimators.run(SHORT)


@pytest.fixture
def broken(short, monkeypatch):
    """The verdicts when some estimators are replaced: name -> (real norm_11, op, k, g) -> value."""
    real = estimators.norm_11

    def judge(**replacements):
        def norm_11(op, probes, estimator, generator):
            return replacements[estimator](real, op, probes, generator)

        monkeypatch.setattr(estimators, "norm_11", norm_11)
        others = [t for t in short.trials if t.setting["estimator"] not in replacements]
        again = estimators.run(replace(SHORT, estimators=tuple(replacements)))
        return statuses(replace(again, trials=(*others, *again.trials)))

    return judge


def test_the_claims_at_a_reduced_size(short):
    judged = statuses(short)
    assert judged["quantiles_biased"] != "fails"
    assert judged["unbiased"] != "fails"
    assert judged["half_the_spread"] == "holds"
    assert judged["square_root_rate"] == "holds"
    assert judged["below_the_bound"] == "holds"


def test_a_geometric_mean_without_its_correction_flips_the_claim(broken):
    def uncorrected(real, op, probes, generator):
        e = real(op, probes, "geometric", generator)
        return replace(e, value=e.value / math.cos(math.pi / (2 * probes)) ** probes)

    assert broken(geometric=uncorrected)["unbiased"] == "fails"


def test_a_second_stage_that_is_left_out_flips_the_claims(broken):
    def sketch_only(real, op, probes, generator):
        return real(op, probes, "geometric", generator)

    judged = broken(two_stage=sketch_only)
    assert judged["half_the_spread"] == judged["inverse_rate"] == "fails"
    assert judged["below_the_bound"] == "fails"


def test_a_sketch_that_is_ignored_flips_the_claims(broken):
    def uniform_rows(real, op, probes, generator):
        drawn = torch.randint(op.dim, (probes // 2,), generator=generator)
        value = op.dim * op.columns(drawn).abs().sum().item() / len(drawn)
        return Estimate(value, 0.0, (value, value), probes, "uniform")

    judged = broken(two_stage=uniform_rows)
    assert judged["below_the_bound"] == judged["inverse_rate"] == judged["covers"] == "fails"


def test_intervals_that_are_too_narrow_or_too_wide_flip_the_claims(broken):
    def scaled(factor):
        def estimate(real, op, probes, generator):
            e = real(op, probes, "geometric", generator)
            low, high = (e.value * (end / e.value) ** factor for end in e.interval)
            return replace(e, interval=(low, high))

        return estimate

    assert broken(geometric=scaled(0.3))["covers"] == "fails"
    assert broken(geometric=scaled(5.0))["not_too_wide"] == "fails"


def test_quantiles_that_are_too_small_flip_the_claim(broken):
    def lower(real, op, probes, generator):
        e = real(op, probes, "geometric", generator)
        return replace(e, value=0.8 * e.value)

    assert broken(median=lower)["quantiles_biased"] == "fails"


def test_estimators_of_one_trial_see_the_same_probes_and_other_trials_see_others():
    settings = {"hessian": "rotated", "probes": 10}
    once = estimators.run_trial(SHORT, CPU, seed=0, estimator="geometric", **settings)
    again = estimators.run_trial(SHORT, CPU, seed=0, estimator="geometric", **settings)
    median = estimators.run_trial(SHORT, CPU, seed=0, estimator="median", **settings)
    other = estimators.run_trial(SHORT, CPU, seed=1, estimator="geometric", **settings)
    assert once == again != other
    together = torch.tensor([once["ratios"], median["ratios"]]).corrcoef()[0, 1]
    assert together > 0.5


def test_on_rank_one_the_spread_is_what_the_theorem_says():
    """sd² = sec(π/k)ᵏ cos(π/2k)²ᵏ − 1 of the geometric mean, from 4000 estimates."""
    op, k = rank_one(5), 40
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(4000, k, 5, generator=generator, dtype=torch.float64)
    products = torch.tan(math.pi * (u - 0.5)) @ op
    values = products.abs().log().mean(1).exp().sum(1) * math.cos(math.pi / (2 * k)) ** k
    c2 = math.cos(math.pi / k) ** -k * math.cos(math.pi / (2 * k)) ** (2 * k) - 1
    assert (values / op.abs().sum()).std().item() == pytest.approx(math.sqrt(c2), rel=0.05)


def test_the_bound_falls_like_one_over_the_products():
    assert bound(400) / bound(800) == pytest.approx(2, rel=0.02)
    assert bound(1000) == pytest.approx(math.sqrt(2) * math.pi / 1000, rel=0.02)
    assert bound(4) == math.inf


def test_the_slope_of_an_exact_power_is_that_power(short):
    trials = tuple(
        Trial({**t.setting}, {**t.result, "sd": t.setting["probes"] ** -0.7}) for t in short.trials
    )
    power, _ = slope(Record("estimators", "custom", {}, trials), "median", "rotated")
    assert power == pytest.approx(-0.7)


def test_the_matrix_of_the_network_is_its_hessian():
    initial = estimators.hessian_matrix(TINY, "GPT, initial", 0, CPU)
    model = estimators.trained_gpt(TINY, 0, 0)
    assert initial.shape == (sum(p.numel() for p in model.parameters()),) * 2
    assert torch.equal(initial, initial.T)
    params = list(model.parameters())
    loss = model.loss(*shakespeare().sampler(TINY.batch, TINY.context, 1)(0))
    grads = torch.autograd.grad(loss, params, create_graph=True)
    v = [torch.randn(p.shape, generator=torch.Generator().manual_seed(0)) for p in params]
    product = torch.autograd.grad(grads, params, grad_outputs=v)
    flat = torch.cat([x.flatten() for x in v])
    expected = torch.cat([x.flatten() for x in product])
    assert torch.allclose(initial @ flat, expected, rtol=1e-3, atol=1e-5)


def test_training_lowers_the_loss_of_the_network():
    longer = replace(TINY, width=8, context=16, batch=32, steps=60)
    losses = []
    for steps in (0, longer.steps):
        model = estimators.trained_gpt(longer, 0, steps)
        losses.append(model.loss(*shakespeare().sampler(64, 16, 5)(0)).item())
    assert losses[1] < losses[0] - 0.5


@pytest.mark.parametrize("scale", estimators.PRESETS)
def test_every_preset_starts(scale):
    preset = estimators.PRESETS[scale]
    assert preset.width % preset.n_head == 0
    config = replace(
        preset, d=16, hessians=("diagonal", "rank one"), probes=(6,), repetitions=2, seeds=(0,)
    )
    assert len(estimators.run(config).trials) == 2 * len(config.estimators)


def test_the_record_is_small_and_has_five_seeds():
    record = estimators.recorded("cpu")
    assert record.values("seed") == [0, 1, 2, 3, 4]
    assert (recorded_folder() / "estimators-cpu.json").stat().st_size < 600_000


def test_the_verdicts_on_the_record_are_those_that_the_chapter_tells():
    assert statuses(estimators.recorded("cpu")) == {
        "quantiles_biased": "holds",
        "unbiased": "holds",
        "covers": "holds",
        "not_too_wide": "fails",
        "half_the_spread": "fails",
        "square_root_rate": "holds",
        "inverse_rate": "fails",
        "below_the_bound": "holds",
    }
