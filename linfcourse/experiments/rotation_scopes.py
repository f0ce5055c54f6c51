"""Chapter 7: Adam on a GPT with rotations of everything, of each tensor, of its rows or columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.data import shakespeare
from linfcourse.experiments import first_look
from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.hessian_norms import gpt_loss, measure_norms
from linfcourse.experiments.judging import Claim, Verdict, compare, interval
from linfcourse.experiments.methods import make_optimizer
from linfcourse.models import GPT
from linfcourse.records import Record
from linfcourse.rotations import Hadamard, Identity, Rotation
from linfcourse.training import train, warmup_cosine

# What is rotated: (scope of optim.Rotated, whether only matrices inside the transformer's blocks).
SCOPES: dict[str, tuple[str, bool] | None] = {
    "none": None,
    "output, blocks": ("output", True),
    "input, blocks": ("input", True),
    "output": ("output", False),
    "per tensor": ("per_tensor", False),
    "global": ("global", False),
}


@dataclass(frozen=True)
class Config(first_look.Config):
    """The GPT of `rotated_gpt` under Adam, its axes turned in several ways.

    Args:
        scopes: names in `SCOPES`.
        measured_lr: of the unrotated runs at whose end the Hessian is measured.
        probes: Hessian-vector products for each (1,1)-norm.
    """

    methods: tuple[str, ...] = ("adam",)
    scopes: tuple[str, ...] = tuple(SCOPES)
    lrs: tuple[float, ...] = (0.008, 0.022, 0.06, 0.16)
    seeds: tuple[int, ...] = (0, 1, 2)
    n_head: int = 2
    width: int = 32
    batch: int = 32
    steps: int = 300
    warmup: int = 40
    last: int = 50
    measured_lr: float = 0.022
    probes: int = 20


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        lrs=(0.001, 0.003, 0.01, 0.03, 0.1), n_layer=4, width=128, context=128, batch=32,
        steps=350, warmup=35, last=50, measured_lr=0.003,
        precision="auto", compile="auto",
    ),
    # The follow-up's setting could not be checked: a GPT-2-sized run of ours.
    "paper": Config(
        lrs=(0.0003, 0.001, 0.003, 0.01, 0.03), n_layer=12, n_head=12, width=768, context=256,
        batch=64, steps=5000, warmup=500, betas=(0.9, 0.95), last=200, measured_lr=0.001,
        precision="auto", compile="auto",
    ),
}  # fmt: skip


class OnlySome(Rotation):
    """The rotation of a scope for chosen tensors; the others stay as they are.

    Args:
        seed: of `Hadamard`.
        chosen: places, in the order of the parameters, of the tensors that are rotated.
    """

    def __init__(self, seed: int, chosen: tuple[int, ...]) -> None:
        super().__init__()
        self.seed, self.chosen = seed, tuple(chosen)

    def child(self, index: int) -> Rotation:
        return Hadamard(self.seed).child(index) if index in self.chosen else Identity()

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        turned = Hadamard(self.seed)
        if 0 not in self.chosen:
            return rows
        return turned.inverse(rows) if inverse else turned(rows)

    def _arguments(self) -> dict[str, object]:
        return {"seed": self.seed, "chosen": self.chosen}


class Scoped(Rotation):
    """What `optim.Rotated` does to its parameters, as one rotation of the flat vector of them all.

    Args:
        shapes: of the parameters, in order.
        rotation: as given to `Rotated`.
        scope: "per_tensor", "output" or "input".
    """

    def __init__(self, shapes: tuple[tuple[int, ...], ...], rotation: Rotation, scope: str) -> None:
        super().__init__()
        self.shapes, self.rotation, self.scope = tuple(map(tuple, shapes)), rotation, scope

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        pieces = rows.split([math.prod(shape) for shape in self.shapes], dim=1)
        return torch.cat(
            [self._turn(k, piece, inverse) for k, piece in enumerate(pieces)], dim=1
        ).contiguous()

    def _turn(self, k: int, piece: Tensor, inverse: bool) -> Tensor:
        rotation = self.rotation.child(k) if k else self.rotation
        turn = rotation.inverse if inverse else rotation
        if self.scope == "per_tensor":
            return turn(piece)
        if len(self.shapes[k]) < 2:
            return piece
        matrix = piece.reshape(len(piece), self.shapes[k][0], -1)  # (probes, outputs, inputs)
        turned = turn(matrix.mT).mT if self.scope == "output" else turn(matrix)
        return turned.reshape(piece.shape)

    def _arguments(self) -> dict[str, object]:
        return {"shapes": self.shapes, "rotation": self.rotation, "scope": self.scope}


def make_rotation(name: str, model: GPT, seed: int) -> tuple[Rotation, str]:
    """The rotation and the scope that `optim.Rotated` takes, for a name in `SCOPES`."""
    scope, inside = SCOPES[name]
    if not inside:
        return Hadamard(seed), scope
    named = enumerate(model.named_parameters())
    return OnlySome(seed, tuple(k for k, (n, _) in named if n.startswith("blocks."))), scope


def as_one_rotation(name: str, model: GPT, seed: int) -> Rotation:
    """The same as one rotation of the flat vector, for the Hessian."""
    if SCOPES[name] is None:
        return Identity()
    rotation, scope = make_rotation(name, model, seed)
    shapes = tuple(tuple(p.shape) for p in model.parameters())
    return rotation if scope == "global" else Scoped(shapes, rotation, scope)


def trials(config: Config) -> list[dict]:
    """One trial per seed, scope and learning rate."""
    return [
        {"seed": seed, "scope": scope, "lr": lr}
        for seed in config.seeds
        for scope in config.scopes
        for lr in config.lrs
    ]


def run_trial(config: Config, device: torch.device, seed: int, scope: str, lr: float) -> dict:
    """Train once; after an unrotated run at the given lr, the (1,1)-norm in every scope."""
    model = first_look.make_model(config, seed, device)
    method, options = "adam", {}
    if SCOPES[scope] is not None:
        rotation, kind = make_rotation(scope, model, seed)
        method, options = "rotated_adam", {"rotation": rotation, "scope": kind}
    optimizer = make_optimizer(method, model.parameters(), lr, config.betas, **options)
    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        shakespeare().sampler(config.batch, config.context, seed, device=device),
        optimizer,
        steps=config.steps,
        schedule=warmup_cosine(config.warmup),
        clip=1.0,
        seed=seed,
        precision=config.precision,
        compile=config.compile,
    )
    result = {"final_loss": history.final_loss(config.last), "norms": {}, **history.engine()}
    if scope == "none" and lr == config.measured_lr:
        batch = shakespeare().sampler(config.batch, config.context, seed + 1000, device=device)(0)
        turned = {name: as_one_rotation(name, model, seed) for name in config.scopes}
        result["norms"] = measure_norms(
            lambda batch: gpt_loss(model, batch), batch, model.parameters(), turned,
            probes=config.probes, seed=seed,
        )  # fmt: skip
    return result


def finals(record: Record, scope: str) -> list[float]:
    """Final loss of every seed at the scope's best learning rate."""
    return [trial.result["final_loss"] for trial in at_best_lr(record, scope=scope)]


def norms(record: Record, scope: str) -> list[float]:
    """‖RHRᵀ‖₁,₁/d of every seed, after the unrotated run."""
    runs = [t.result["norms"] for t in record.trials if t.result["norms"]]
    return [run[scope] for run in runs]


def shares(record: Record, scope: str) -> list[float]:
    """The part of a global rotation's damage that this scope does, for every seed."""
    return [
        (loss - none) / (whole - none)
        for loss, none, whole in zip(
            finals(record, scope), finals(record, "none"), finals(record, "global"), strict=True
        )
    ]


def draw_scopes(record: Record) -> Figure:
    """Final loss against the (1,1)-norm, a point a scope, bars over the seeds."""
    figure, ax = plt.subplots(figsize=(6.4, 4.2))
    markers = "osDDssX"
    for scope, marker in zip(record.values("scope"), markers, strict=False):
        x, y = norms(record, scope), finals(record, scope)
        centre = (math.fsum(x) / len(x), math.fsum(y) / len(y))
        color = "#b04a00" if scope.startswith("output") else "#0060a0"
        color = "#444444" if scope in ("none", "global") else color
        for pair in ((x, [centre[1]] * 2), ([centre[0]] * 2, y)):
            ax.plot([min(pair[0]), max(pair[0])], [min(pair[1]), max(pair[1])], color=color, lw=1)
        ax.plot(*centre, marker, color=color, ms=7)
        left = scope == "output, blocks"  # its neighbour to the right has a label of its own
        ax.annotate(
            scope,
            centre,
            xytext=(-8 if left else 8, 6),
            textcoords="offset points",
            color=color,
            ha="right" if left else "left",
        )
    ax.set(xlabel="‖RHRᵀ‖₁,₁ / d", ylabel="final training loss", xscale="log")
    ax.set_xticks([2, 5, 10, 20], labels=["2", "5", "10", "20"])
    ax.minorticks_off()
    ax.margins(x=0.18, y=0.1)
    return figure


def _judge_share(scope: str, most: float):
    def judge(record: Record) -> Verdict:
        values = shares(record, scope)
        mean, low, high = interval(values)
        reason = (
            f"{scope}: {mean:.2f} [{low:.2f}, {high:.2f}] of a global rotation's damage, "
            f"asked: at most {most:g}"
        )
        status = "holds" if high < most else "fails" if low > most else "inconclusive"
        return Verdict(status, reason, {"shares": values})

    return judge


def _judge_order(record: Record) -> Verdict:
    """The share of pairs of scopes that the norm puts in the order of the losses, on each seed."""
    scopes = record.values("scope")
    loss = {scope: finals(record, scope) for scope in scopes}
    norm = {scope: norms(record, scope) for scope in scopes}
    pairs = list(combinations(scopes, 2))
    right = [
        sum((loss[a][k] < loss[b][k]) == (norm[a][k] < norm[b][k]) for a, b in pairs) / len(pairs)
        for k in range(len(loss[scopes[0]]))
    ]
    mean, low, high = interval(right)
    reason = f"{mean:.0%} [{low:.0%}, {high:.0%}] of {len(pairs)} pairs in order, asked: over 90 %"
    status = "holds" if low > 0.9 else "fails" if high < 0.9 else "inconclusive"
    return Verdict(status, reason, {"right": right})


def _judge_pair(lower: str, higher: str):
    def judge(record: Record) -> Verdict:
        return compare(finals(record, lower), finals(record, higher), (lower, higher), "final loss")

    return judge


_CHAPTER, _FOLLOW_UP = "07_rotating_a_network", "arXiv:2410.19964"
CLAIMS = (
    Claim(
        "rotation_scopes.output_harmless",
        "Rotating the outputs of the matrices inside the blocks does at most a quarter of the "
        "damage of a global rotation.",
        f"{_FOLLOW_UP}, as harmless; the quarter is ours",
        _CHAPTER,
        _judge_share("output, blocks", 0.25),
    ),
    Claim(
        "rotation_scopes.input_worse_than_output",
        "Inside the blocks, rotating inputs is worse for Adam than rotating outputs.",
        "this course",
        _CHAPTER,
        _judge_pair("output, blocks", "input, blocks"),
    ),
    Claim(
        "rotation_scopes.embeddings_matter",
        "Rotating the outputs of every matrix, embeddings and head included, is worse than of "
        "those inside the blocks alone.",
        "this course",
        _CHAPTER,
        _judge_pair("output, blocks", "output"),
    ),
    Claim(
        "rotation_scopes.norm_orders",
        "The (1,1)-norm puts the scopes in the order of their final losses.",
        "this course",
        _CHAPTER,
        _judge_order,
    ),
)


EXPERIMENT = Experiment(
    name="rotation_scopes",
    title="Adam on a small GPT with the axes turned as a whole or in parts",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
