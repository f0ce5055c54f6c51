"""AdamW in its box on a transformer: what must hold in it, and that its claims can fail."""

import copy
import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse import optim
from linfcourse.data import CharText, shakespeare
from linfcourse.experiments import adamw_language_model as experiment
from linfcourse.experiments import adamw_language_model_figures as figures
from linfcourse.experiments import adamw_language_model_measures as measures
from linfcourse.experiments import adamw_language_model_results as results
from linfcourse.experiments.configs import differing_fields
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
CONFIG = experiment.PRESETS["cpu"]
TINY = replace(
    CONFIG,
    seeds=(0,), steps=6, n_layer=1, n_head=1, width=4, context=4, windows=6, batch=2,
    measure_every=2, moments=(0, 2, 6),
)  # fmt: skip


def judge(record, claim):
    return {c.id.split(".")[1]: c for c in experiment.CLAIMS}[claim].judge(record).status


def small_model(seed=0, **sizes):
    config = replace(TINY, **sizes)
    text = shakespeare()
    model = experiment.make_model(config, text.vocab_size, seed)
    return model, experiment.full_batch(config, text, seed)


@pytest.mark.filterwarnings("ignore:Penn Treebank")
@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale, tmp_path, monkeypatch):
    text = CharText.from_text(" to be or not to be" * 8)
    monkeypatch.setattr(experiment, "shakespeare", lambda: text)
    preset = experiment.PRESETS[scale]
    sizes = ("seeds", "steps", "n_layer", "n_head", "width", "context", "batch", "measure_every",
             "moments")  # fmt: skip
    config = replace(
        preset,
        **{name: getattr(TINY, name) for name in sizes},
        windows=None if preset.windows is None else 2,
        checkpoints=str(tmp_path / "states") if preset.checkpoints else None,
    )
    record = experiment.run(config)
    assert len(record.trials) == len(preset.runs)
    for trial in record.trials:
        assert trial.result["step"] == [0, 2, 4, 6]
        assert len(trial.result["residual"]) == (4 if trial.setting["weight_decay"] else 0)
        assert [h["step"] for h in trial.result["histograms"]] == [0, 2, 6]
    assert not preset.checkpoints or not list((tmp_path / "states").iterdir())


def test_the_paper_preset_is_what_we_know_of_the_papers_setting():
    paper = experiment.PRESETS["paper"]
    assert (paper.n_layer, paper.lr, paper.steps, paper.windows) == (2, 1e-3, 12_800, None)
    assert {decay for decay, *_ in paper.runs} == {0.0, 1.0, 2.0}


def test_files_that_the_reader_names_are_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(
        experiment,
        "openwebtext",
        lambda files: CharText.from_text(open(files[0]).read()),
    )
    (tmp_path / "ptb.txt").write_text("the cat sat on the mat " * 20)
    text = experiment.make_text(replace(TINY, files=(str(tmp_path / "ptb.txt"),)))
    assert text.decode(text.train[:7]) == "the cat"
    with pytest.warns(UserWarning, match="Penn Treebank does not come with the package"):
        experiment.make_text(replace(TINY, windows=None))


def test_the_full_batch_is_a_slice_of_the_text_in_order():
    text = shakespeare()
    parts = experiment.full_batch(TINY, text, seed=1)
    assert len(parts) == 3
    idx = torch.cat([idx.flatten() for idx, _ in parts])
    targets = torch.cat([targets.flatten() for _, targets in parts])
    assert text.decode(idx) == text.decode(text.train[24:48])
    assert text.decode(targets) == text.decode(text.train[25:49])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"windows": 7}, "batch must divide windows"), ({"windows": 2_000_000}, "too few")],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        experiment.full_batch(replace(TINY, **sizes), shakespeare())


def test_the_measures_are_those_of_plain_torch():
    model, parts = small_model()
    found = measures.measure_in_box(model, parts, weight_decay=2.0, near=0.95)
    loss = sum(model.loss(*part) for part in parts) / len(parts)
    g = torch.cat([p.flatten() for p in torch.autograd.grad(loss, list(model.parameters()))])
    x = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert found["residual"] == pytest.approx(
        1 + (2 * x * g).sum().item() / g.abs().sum().item(), rel=1e-5
    )
    assert found["gradient"] == pytest.approx(g.abs().sum().item(), rel=1e-5)
    assert found["linf"] == x.abs().max().item()
    assert found["near"] == pytest.approx((2 * x.abs() >= 0.95).double().mean().item())


def test_the_histogram_is_that_of_numpy_and_the_kinds_add_up():
    model, parts = small_model()
    found = measures.measure_in_box(model, parts, weight_decay=2.0, near=0.95)
    x = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    counts = [found[f"count/{k}"] for k in range(measures.BINS)]
    edges = torch.tensor(measures.EDGES, dtype=torch.float64)
    expected = torch.histogram((2 * x).clamp(edges[0], edges[-1]), edges).hist
    assert counts == expected.tolist()
    by_kind = [
        sum(found[f"count/{kind}/{k}"] for kind in measures.KINDS.values())
        for k in range(measures.BINS)
    ]
    assert by_kind == counts


def test_every_weight_of_the_model_has_a_kind():
    model, _ = small_model(n_layer=2)
    kinds = {name: measures.kind_of(name) for name, _ in model.named_parameters()}
    assert set(kinds.values()) == set(measures.KINDS.values())
    assert kinds["norm.weight"] == kinds["blocks.1.norm2.weight"] == "norms"


def test_both_schedules_have_the_same_sum_of_learning_rates():
    from linfcourse.schedules import warmup_cosine

    steps = CONFIG.steps
    falling = sum(2 * CONFIG.lr * warmup_cosine(0, final=0.0)(t, steps) for t in range(steps))
    assert falling == pytest.approx(CONFIG.lr * steps, rel=1e-3)


def run_of(weight_decay, optimizer=None, steps=400, lr=1e-2, betas=(0.9, 0.95), monkeypatch=None):
    """A short run at a large learning rate; the weights start at four times the box."""
    config = replace(CONFIG, steps=steps, lr=lr, measure_every=100, moments=(0,))
    return experiment.run_trial(config, CPU, 0, weight_decay, *betas, "constant")


def test_adamw_comes_in_and_an_adamw_without_its_decay_does_not(monkeypatch):
    sound = run_of(2.0)
    assert sound["linf"][0] == pytest.approx(1.0)  # the norms' weights, twice the box
    assert 2 * sound["linf"][-1] < 1.05
    forgetful = optim.AdamW
    monkeypatch.setattr(
        experiment.optim,
        "AdamW",
        lambda params, **options: forgetful(params, **{**options, "weight_decay": 0.0}),
    )
    broken = run_of(2.0)
    assert 2 * broken["linf"][-1] > 2


def record_of(
    short=0.999, middle=1.05, long=1.5, adam=2.0, large=1.6, constant=0.05, cosine=0.02, steps=100
):
    """A record with these values of λ‖x‖∞ and of the residual, a little different by seed."""
    trials = []
    grid = [
        *((decay, b, "constant") for decay in (0.0, 1.0, 2.0) for b in CONFIG_BETAS),
        *((decay, b, "cosine") for decay in (1.0, 2.0) for b in CONFIG_BETAS[:2]),
        (2.0, (0.9, 0.99), "constant"),
    ]
    for seed in range(3):
        for decay, (b1, b2), schedule in grid:
            size = adam if not decay else {0.95: short, 0.99: middle, 0.999: long, 0.9: large}[b2]
            linf = (size + 1e-4 * seed * (size > 1)) / (decay or 1.0)
            residual = (constant if schedule == "constant" else cosine) + 1e-4 * seed
            trials.append(
                Trial(
                    {"seed": seed, "weight_decay": decay, "beta1": b1, "beta2": b2,
                     "schedule": schedule},
                    {"step": [0, steps], "linf": [9.0, linf],
                     "residual": [1.0, residual] if decay else []},
                )
            )  # fmt: skip
    return Record("adamw_language_model", "cpu", {"lr": 1e-3}, tuple(trials))


CONFIG_BETAS = ((0.9, 0.95), (0.9, 0.999), (0.99, 0.9))


@pytest.mark.parametrize(
    ("claim", "holding", "broken"),
    [
        ("into_the_box", {"long": 1.0, "middle": 1.0}, {}),
        ("short_memory", {}, {"short": 1.2}),
        ("memory", {}, {"middle": 1.9}),
        ("adam_leaves", {}, {"adam": 0.9}),
        ("large_beta1_overshoots", {}, {"large": 0.99}),
        ("kkt_residual", {}, {"constant": 0.9}),
        ("decay_to_zero", {}, {"cosine": 0.5}),
    ],
)
def test_a_claim_flips_with_its_figures(claim, holding, broken):
    assert judge(record_of(**holding), claim) == "holds"
    assert judge(record_of(**broken), claim) == "fails"


def test_a_run_that_diverged_does_not_decide():
    assert judge(record_of(short=math.inf), "short_memory") == "inconclusive"


def test_only_the_second_half_counts_and_only_short_memories_where_they_are_asked_for():
    record = record_of()
    assert results.overshoot(record.trials[3]) == pytest.approx(0.999)  # not the 9 at the start
    ratios = {
        (t.setting["weight_decay"], t.setting["beta2"]): results.memory_ratio(record, t)
        for t in record.trials
    }
    assert ratios[2.0, 0.999] == pytest.approx(2.0)
    assert ratios[1.0, 0.95] == pytest.approx(0.02)


@pytest.fixture(scope="module")
def recorded():
    return experiment.recorded("cpu")


def test_the_record_is_of_the_preset(recorded):
    assert differing_fields(recorded.config, asdict(CONFIG)) == []
    assert [t.setting for t in recorded.trials] == experiment.trials(CONFIG)


def test_the_figures_are_drawn_from_the_record(recorded):
    for figure in (
        figures.draw_walls(recorded, 2.0, (0.9, 0.95)),
        figures.draw_box(recorded),
        figures.draw_residual(recorded),
        figures.draw_kinds(recorded),
    ):
        figure.canvas.draw()


def test_epsilon_plays_no_part_in_the_record(recorded):
    """The theorem has ε = 0; the gradients of the typical weight are far above the record's ε."""
    for trial in recorded.select(schedule="constant"):
        assert min(trial.result["median_gradient"]) > 1e4 * CONFIG.eps


def test_a_falsified_record_flips_the_claim_on_the_short_memory(recorded):
    assert judge(recorded, "short_memory") == "holds"
    falsified = copy.deepcopy(recorded)
    for trial in falsified.trials:
        if trial.setting["beta2"] == 0.95:
            trial.result["linf"] = [3 * v for v in trial.result["linf"]]
    assert judge(falsified, "short_memory") == "fails"


def two_memories(betas, gradients, lr=0.05, weight_decay=1.0):
    """λ|x| after torch's AdamW on these gradients (T, d), and the chapter's bound for it."""
    (b1, b2), a = betas, 1 - weight_decay * lr
    x = torch.full(gradients[0].shape, 0.7, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.AdamW([x], lr=lr, betas=betas, eps=0.0, weight_decay=weight_decay)
    growth = mean = before = torch.zeros_like(gradients[0])
    for t, g in enumerate(gradients):
        x.grad = g.clone()
        optimizer.step()
        now = optimizer.state[x]["exp_avg_sq"].log()
        if t > 0:
            growth = a * growth + now - before
            mean = b1 * mean + (1 - b1) * growth
        before = now
    z, c, left = b1 / a, (b2 - b1) / (1 - b2), a ** len(gradients)
    C = c * (1 - a) / a * (1 / (1 - z) + math.log(1 / b2) * z / (1 - z) ** 2)
    square = 1 + c * (1 - a) / (1 - b1) * mean + C * left
    return weight_decay * x.detach().abs(), 0.7 * left * weight_decay + square.clamp_min(0).sqrt()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.9, 0.9), (0.5, 0.6), (0.0, 0.9)])
def test_the_theorem_on_the_two_memories_holds_for_any_gradients(betas):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(80, 100, generator=generator, dtype=torch.float64)
    t = torch.arange(80, dtype=torch.float64)[:, None]
    rate = 0.3 * torch.randn(100, generator=generator, dtype=torch.float64)
    for gradients in (noise, torch.exp(3 * noise), torch.exp(rate * t), (1 + 0.1 * noise) * 3.0**t):
        size, bound = two_memories(betas, gradients)
        assert (size <= bound * (1 + 1e-9)).all()


def test_growing_gradients_leave_the_box_and_beta1_above_beta2_breaks_the_bound():
    t = torch.arange(400, dtype=torch.float64)[:, None]
    size, bound = two_memories((0.9, 0.999), 1.02**t)
    assert 1.5 < size.item() < bound.item()
    size, bound = two_memories((0.9, 0.7), 0.97**t)
    assert size.item() > bound.item()
