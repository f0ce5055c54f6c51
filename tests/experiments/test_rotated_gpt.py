"""The GPT in rotated axes: what must hold in it, and that its claims can fail."""

import math
import sys
from dataclasses import asdict, replace

import pytest
import torch

from benchmarks.live_bytes import LiveBytes
from linfcourse import optim
from linfcourse.experiments import hessian_norms, on_edge_of_grid, rotated_gpt
from linfcourse.experiments.configs import differing_fields
from linfcourse.hessian import HessianOperator
from linfcourse.models import GPT, GPTConfig
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
TINY = replace(
    rotated_gpt.PRESETS["cpu"],
    lrs=(0.01,), seeds=(0,), n_layer=1, n_head=2, width=8, context=8, batch=4, steps=4, warmup=1,
    last=2, measured=(("adam", 0.01),), measure_every=2, probes=4, points=2,
)  # fmt: skip
# The preset's runs of two methods at their best learning rate.
SHORT = replace(
    rotated_gpt.PRESETS["cpu"],
    methods=("adam", "rotated_adam"), lrs=(0.022,), measured=(),
)  # fmt: skip


def judge(record, claim):
    return {c.id.split(".")[1]: c for c in rotated_gpt.CLAIMS}[claim].judge(record).status


@pytest.mark.parametrize("scale", rotated_gpt.PRESETS)
def test_every_preset_starts(scale, tmp_path, monkeypatch):
    """The larger presets go through the same code; OpenWebText's place is taken by characters."""
    monkeypatch.setattr(rotated_gpt, "openwebtext", rotated_gpt.shakespeare)
    preset = rotated_gpt.PRESETS[scale]
    sizes = {
        name: getattr(TINY, name)
        for name in ("lrs", "seeds", "n_layer", "n_head", "width", "context", "batch", "steps",
                     "warmup", "last", "measured", "measure_every", "probes", "points")
    }  # fmt: skip
    folder = str(tmp_path / "states") if preset.checkpoints else None
    config = replace(preset, **sizes, accumulate=min(preset.accumulate, 2), checkpoints=folder)
    record = rotated_gpt.run(config)
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)
    assert [len(t.result["norms"]) for t in record.trials] == [3] + [0] * (len(record.trials) - 1)
    assert not folder or not list((tmp_path / "states").iterdir())  # finished trials leave nothing


def test_text_files_may_be_named_and_the_result_says_what_was_read(tmp_path, monkeypatch):
    monkeypatch.setenv("LINFCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("To be or not to be. " * 30)
    config = replace(TINY, methods=("adam",), text=str(tmp_path / "*.txt"), measured=())
    with pytest.warns(UserWarning, match="every byte is a token"):
        result = rotated_gpt.run_trial(config, CPU, 0, "adam", 0.01)
    assert result["text"].startswith("files ") and math.isfinite(result["final_loss"])
    with pytest.raises(FileNotFoundError, match=r"'nothing/\*\.txt' names none"):
        rotated_gpt.make_text(replace(TINY, text="nothing/*.txt"))


def test_a_large_model_is_measured_by_the_lean_loss(monkeypatch):
    setting = {"seed": 1, "method": "adam", "lr": 0.01}
    plain = rotated_gpt.run_trial(TINY, CPU, **setting)["norms"]
    used = []
    lean = hessian_norms.lean_loss
    monkeypatch.setattr(hessian_norms, "lean_loss", lambda *a: used.append(a) or lean(*a))
    assert rotated_gpt.run_trial(TINY, CPU, **setting)["norms"] == plain and not used
    monkeypatch.setattr(hessian_norms, "GRAPH", 0)
    for a, b in zip(rotated_gpt.run_trial(TINY, CPU, **setting)["norms"], plain, strict=True):
        assert a == pytest.approx(b, rel=1e-3)
    assert used


@pytest.mark.parametrize(
    "n_layer, n_head, T, V", [(3, 8, 64, 16), (3, 1, 64, 16), (1, 1, 16, 2000)]
)
def test_the_size_of_a_gradients_graph_is_foreseen(n_layer, n_head, T, V, monkeypatch):
    """To a factor of two: what is alive, less the gradient itself."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(V, T, n_layer, n_head, width=16))
    batch = (torch.randint(V, (4, T)),) * 2
    with LiveBytes() as live:
        op = HessianOperator(model.loss(*batch), model.parameters())
        held = live.now() / 4 - op.dim
    for scale, expected in ((0.5, True), (2.0, False)):
        monkeypatch.setattr(hessian_norms, "GRAPH", scale * held)
        used = []
        monkeypatch.setattr(hessian_norms, "lean_loss", lambda *a: used.append(a))  # noqa: B023
        hessian_norms.gpt_loss(model, batch)
        assert bool(used) == expected, (held, scale)


def test_the_paper_preset_is_the_setting_of_the_papers_code():
    paper = rotated_gpt.PRESETS["paper"]
    assert paper.batch * paper.accumulate == 480
    assert (paper.n_layer, paper.n_head, paper.width, paper.context) == (12, 12, 768, 1024)
    assert (paper.steps, paper.warmup, paper.betas) == (100_000, 2000, (0.9, 0.95))
    assert 0.0018 in paper.lrs


def test_the_papers_two_vectors_are_the_projections_and_the_rest():
    model = rotated_gpt.make_model(TINY, seed=0)
    groups = rotated_gpt.parameter_groups(replace(TINY, two_vectors=True), model)
    block = model.blocks[0]
    assert {id(p) for p in groups[0]["params"]} == {
        id(block.attention.proj.weight), id(block.mlp.proj.weight),
    }  # fmt: skip
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))


def test_measuring_the_hessian_does_not_change_the_run():
    setting = {"seed": 1, "method": "adam", "lr": 0.01}
    measured = rotated_gpt.run_trial(TINY, CPU, **setting)
    plain = rotated_gpt.run_trial(replace(TINY, measured=()), CPU, **setting)
    assert measured["loss"] == plain["loss"]


def test_rotation_hurts_adam_and_an_ignored_rotation_does_not(monkeypatch):
    assert judge(rotated_gpt.run(SHORT), "rotation_hurts_adam") == "holds"
    monkeypatch.setattr(optim, "Rotated", lambda params, make, rotation, scope: make(params))
    ignored = rotated_gpt.run(replace(SHORT, steps=10, warmup=2, last=2))
    assert judge(ignored, "rotation_hurts_adam") == "inconclusive"


def record_of(adam=2.0, rotated=2.4, adasgd=2.4, sgd=2.6, plain=1.0, turned=4.0, spectral=8.0):
    """A record with these losses and norms, a little different on each of three seeds."""
    trials = []
    for seed in range(3):
        losses = {"adam": adam, "rotated_adam": rotated, "adasgd": adasgd, "sgd": sgd}
        for method, loss in losses.items():
            moment = {"step": 0, "plain": plain, "rotated": turned, "spectral": spectral}
            result = {"final_loss": loss + 0.001 * seed * (method == "adam"), "norms": [moment]}
            trials.append(Trial({"seed": seed, "method": method, "lr": 0.1}, result))
    return Record("rotated_gpt", "cpu", {}, tuple(trials))


@pytest.mark.parametrize(
    ("claim", "broken"),
    [
        ("rotation_hurts_adam", {"rotated": 1.9}),
        ("norm_grows", {"turned": 0.9}),
        ("adam_number_smaller", {"spectral": 0.5}),
    ],
)
def test_a_claim_flips_with_its_figures(claim, broken):
    assert judge(record_of(), claim) == "holds"
    assert judge(record_of(**broken), claim) == "fails"


def test_the_literal_reading_is_judged_by_the_rotated_number():
    assert judge(record_of(), "rotated_number_larger") == "fails"
    assert judge(record_of(turned=9.0), "rotated_number_larger") == "holds"


def test_a_run_that_diverges_counts_as_infinite_loss():
    result = rotated_gpt.run_trial(TINY, CPU, seed=0, method="sgd", lr=1e30)
    assert result["final_loss"] == math.inf


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = rotated_gpt.recorded("cpu")
    for method in record.values("method"):
        assert not on_edge_of_grid(record, method=method), method


def test_the_record_is_of_the_preset_and_was_measured_at_the_best_learning_rates():
    record = rotated_gpt.recorded("cpu")
    assert differing_fields(record.config, asdict(rotated_gpt.PRESETS["cpu"])) == []
    for method, lr in rotated_gpt.PRESETS["cpu"].measured:
        assert rotated_gpt.at_best_lr(record, method=method)[0].setting["lr"] == lr
    rotated_gpt.draw_losses(record)
    rotated_gpt.draw_norms(record)
