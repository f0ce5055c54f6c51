"""Scopes of a rotation: what must hold in them, and that the claims can fail."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse import optim
from linfcourse.experiments import on_edge_of_grid, rotation_scopes
from linfcourse.experiments.configs import differing_fields
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
SIZES = {
    "seeds": (0,), "lrs": (0.01,), "measured_lr": 0.01, "n_layer": 1, "n_head": 2, "width": 8,
    "context": 8, "batch": 4, "steps": 3, "warmup": 1, "last": 2, "probes": 4,
}  # fmt: skip
TINY = replace(rotation_scopes.PRESETS["cpu"], **SIZES)


def judge(record, claim):
    return {c.id.split(".")[1]: c for c in rotation_scopes.CLAIMS}[claim].judge(record).status


@pytest.mark.parametrize("scale", rotation_scopes.PRESETS)
def test_every_preset_starts(scale):
    config = replace(rotation_scopes.PRESETS[scale], **SIZES)
    record = rotation_scopes.run(config)
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)
    assert set(config.scopes) <= set(record.trials[0].result["norms"])


@pytest.mark.parametrize("scope", [s for s in rotation_scopes.SCOPES if s != "none"])
def test_the_hessian_is_turned_as_the_optimizer_turns_the_weights(scope):
    model = rotation_scopes.first_look.make_model(TINY, seed=0).double()
    params = list(model.parameters())
    rotation, kind = rotation_scopes.make_rotation(scope, model, seed=3)
    inner = []
    optimizer = optim.Rotated(
        params, lambda w: inner.append(torch.optim.SGD(w, lr=0.1)) or inner[0], rotation, kind
    )
    w = torch.cat([p.detach().flatten() for p in inner[0].param_groups[0]["params"]])
    theta = torch.cat([p.detach().flatten() for p in params])
    R = rotation_scopes.as_one_rotation(scope, model, seed=3)
    torch.testing.assert_close(R(theta), w)
    torch.testing.assert_close(R.inverse(w), theta)
    assert optimizer.scope == kind


def test_only_the_matrices_inside_the_blocks_move_in_the_scopes_of_that_name():
    model = rotation_scopes.first_look.make_model(TINY, seed=0).double()
    R = rotation_scopes.as_one_rotation("output, blocks", model, seed=0)
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])
    parts = (R(theta) - theta).split([p.numel() for p in model.parameters()])
    for (name, p), change in zip(model.named_parameters(), parts, strict=True):
        assert bool(change.abs().max() > 1e-3) == (name.startswith("blocks.") and p.dim() == 2)


def test_an_ignored_rotation_leaves_the_loss_of_plain_adam(monkeypatch):
    monkeypatch.setattr(optim, "Rotated", lambda params, make, rotation, scope: make(params))
    record = rotation_scopes.run(TINY)
    assert len({trial.result["final_loss"] for trial in record.trials}) == 1


def record_of(**losses):
    """Final losses by scope; the (1,1)-norm follows the order of the scopes in `SCOPES`."""
    scopes = list(rotation_scopes.SCOPES)
    norms = {scope: 1.0 + k for k, scope in enumerate(scopes)}
    given = {scope: 2.0 + 0.1 * k for k, scope in enumerate(scopes)}
    given |= {name.replace("_", ", "): loss for name, loss in losses.items()}
    trials = []
    for seed in range(3):
        for scope in scopes:
            result = {
                "final_loss": given[scope] * (1 + 0.001 * seed),
                "norms": norms if scope == "none" else {},
            }
            trials.append(Trial({"seed": seed, "scope": scope, "lr": 0.1}, result))
    return Record("rotation_scopes", "cpu", {}, tuple(trials))


def test_the_claims_hold_where_the_figures_say_so():
    assert {claim.judge(record_of()).status for claim in rotation_scopes.CLAIMS} == {"holds"}


@pytest.mark.parametrize(
    ("claim", "losses"),
    [
        ("output_harmless", {"output_blocks": 2.4}),
        ("input_worse_than_output", {"input_blocks": 2.05}),
        ("embeddings_matter", {"output": 2.05}),
        ("norm_orders", {"output_blocks": 2.45}),
    ],
)
def test_a_claim_flips_with_its_figures(claim, losses):
    assert judge(record_of(**losses), claim) == "fails"


def test_the_figure_draws_a_run():
    record = rotation_scopes.run(TINY)
    rotation_scopes.draw_scopes(record)


def test_the_record_is_of_the_preset_and_chose_learning_rates_inside_the_grid():
    record = rotation_scopes.recorded("cpu")
    assert differing_fields(record.config, asdict(rotation_scopes.PRESETS["cpu"])) == []
    for scope in record.values("scope"):
        assert not on_edge_of_grid(record, scope=scope), scope
