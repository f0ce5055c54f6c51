"""Does GPT-2 fit? Peak memory of its steps and norms: `python -m benchmarks.gpt2_memory`.

Each part runs in a process of its own, one sequence of 1024 tokens in float32. On the CPU the peak
is that of the resident memory, less what the interpreter and its libraries take; on a GPU that of
torch's allocator. It does not depend on what else the machine does. The seconds in the results do:
they are those on the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import results
from linfcourse import optim
from linfcourse.hessian import HessianOperator, norm_11
from linfcourse.models import GPT, GPTConfig, lean_loss
from linfcourse.records import write_atomically
from linfcourse.rotations import Hadamard, PermutedKronecker

FILE = Path(__file__).with_name("gpt2_memory.json")
TABLE = Path(__file__).resolve().parents[1] / "book" / "gpt2_memory_table.md"
SIZES = {
    "tiny": (GPTConfig(vocab_size=257, context=64, n_layer=2, n_head=2, width=32), 4),
    "full": (GPTConfig.gpt2(), 4),
}
"""{size: (model, Hessian-vector products of a norm)}"""

Batch = tuple[torch.Tensor, torch.Tensor]


def train_step(make: Callable[[GPT], torch.optim.Optimizer]) -> Callable[[GPT, Batch, int], dict]:
    """Two training steps of one sequence: the second one has the optimizer's state."""

    def run(model: GPT, batch: Batch, probes: int) -> dict:
        optimizer = make(model)
        for _ in range(2):
            optimizer.zero_grad()
            loss = model.loss(*batch)
            loss.backward()
            optimizer.step()
            loss = loss.item()
        return {"loss": loss}

    return run


def _rotated(model: GPT, rotation: Any, two_vectors: bool) -> torch.optim.Optimizer:
    groups = [{"params": list(model.parameters())}]
    if two_vectors:  # as in the paper's code
        back = [p for name, p in model.named_parameters() if name.endswith("proj.weight")]
        rest = [p for name, p in model.named_parameters() if not name.endswith("proj.weight")]
        groups = [{"params": back}, {"params": rest}]
    return optim.Rotated(groups, lambda w: torch.optim.AdamW(w, lr=1e-4, fused=True), rotation)


def product(loss: Callable[[GPT, torch.Tensor, torch.Tensor], torch.Tensor]):
    """One Hessian-vector product, its graph included."""

    def run(model: GPT, batch: Batch, probes: int) -> dict:
        op = HessianOperator(loss(model, *batch), model.parameters())
        generator = torch.Generator().manual_seed(0)
        vector = torch.randn(op.dim, generator=generator).to(op.device)
        return {"norm of the product": float((op @ vector).norm())}

    return run


def norm(model: GPT, batch: Batch, probes: int) -> dict:
    """‖H‖₁,₁/d by `two_stage`."""
    op = HessianOperator(lean_loss(model, *batch), model.parameters())
    estimate = norm_11(op, probes, generator=torch.Generator().manual_seed(0))
    low, high = estimate.interval
    return {"norm / d": estimate.value / op.dim, "interval": [low / op.dim, high / op.dim]}


def norm_along_a_run(model: GPT, batch: Batch, probes: int) -> dict:
    """The (1,1)-norm in rotated coordinates beside the state of rotated AdamW: the most at once.

    With a few products, which is enough for the peak and not for a good estimate.
    """
    optimizer = _rotated(model, Hadamard(seed=0), two_vectors=False)
    model.loss(*batch).backward()
    optimizer.step()
    optimizer.zero_grad()
    op = HessianOperator(lean_loss(model, *batch), model.parameters()).rotated(Hadamard(seed=0))
    estimate = norm_11(op, probes // 2, generator=torch.Generator().manual_seed(0))
    return {"norm / d": estimate.value / op.dim}


PARTS: dict[str, Callable[[GPT, Batch, int], dict]] = {
    "SGD step": train_step(lambda model: torch.optim.SGD(model.parameters(), lr=1e-4)),
    "AdamW step": train_step(lambda model: optim.AdamW(model.parameters(), lr=1e-4)),
    "Rotated AdamW step, Hadamard": train_step(
        lambda model: _rotated(model, Hadamard(seed=0), two_vectors=False)
    ),
    "Rotated AdamW step, two vectors by Kronecker": train_step(
        lambda model: _rotated(model, PermutedKronecker(seed=0), two_vectors=True)
    ),
    "Hessian-vector product, plain loss": product(GPT.loss),
    "Hessian-vector product, lean loss": product(lean_loss),
    "(1,1)-norm": norm,
    "Rotated (1,1)-norm, beside rotated AdamW": norm_along_a_run,
}


def measure_part(name: str, size: str, device: str) -> dict[str, Any]:
    """One part, in this process."""
    torch.set_num_threads(1)
    before = _peak(device)
    config, probes = SIZES[size]
    torch.manual_seed(0)
    model = GPT(config).to(device)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (1, config.context + 1), generator=generator)
    start = time.perf_counter()
    found = PARTS[name](model, (tokens[:, :-1].to(device), tokens[:, 1:].to(device)), probes)
    return {
        "part": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_bytes": _peak(device) - before,
        "seconds": round(time.perf_counter() - start, 1),
        "found": found,
    }


def _peak(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    # Linux's high-water mark of this program; getrusage's may be that of the one that started it.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def measure(size: str, device: str, only: Sequence[str] = tuple(PARTS)) -> dict[str, Any]:
    """Every part in a fresh process, and the circumstances."""
    # Pieces of this size go back to the system as soon as they are freed, so that the resident
    # memory is that of live tensors.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    config, probes = SIZES[size]
    cases = []
    for name in only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, "--size", size, "--device", device,
             "--part", name],
            env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        cases.append(json.loads(done.stdout))
        print(f"    {cases[-1]}", file=sys.stderr, flush=True)
    return {
        "size": size, "device": device, "context": config.context, "probes": probes,
        **results.circumstances(), "cases": cases,
    }  # fmt: skip


def load() -> dict[str, Any]:
    """The committed results."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def render(found: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        "<!-- Written by `python -m benchmarks.gpt2_memory` from benchmarks/gpt2_memory.json. -->",
        "",
        "| | peak memory, GB | in vectors of d numbers |",
        "| :-- | --: | --: |",
    ]
    for case in found["cases"]:
        size = case["peak_bytes"] / 1e9
        vectors = case["peak_bytes"] / 4 / case["parameters"]
        lines.append(f"| {case['part']} | {size:.1f} | {vectors:.1f} |")
    environment = found["environment"]
    lines += [
        "",
        f"d = {found['cases'][0]['parameters']:,} parameters in float32, one sequence of "
        f"{found['context']:,} tokens; {found['probes']} products for the (1,1)-norm. Measured "
        f"{found['measured'][:10]} on one thread of {environment['device_name']}, "
        f"torch {environment['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpt2_memory", description=__doc__)
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--part", choices=tuple(PARTS), help="one part, here, as JSON")
    parser.add_argument(
        "--write", action="store_true", help="keep the results and the book's table"
    )
    parser.add_argument("--table", action="store_true", help="only draw the book's table again")
    options = parser.parse_args(arguments)
    if options.table:
        write_atomically(TABLE, render(load()))
        return 0
    if options.part:
        print(json.dumps(measure_part(options.part, options.size, options.device)))
        return 0
    found = measure(options.size, options.device)
    if options.write:
        results.save(found, FILE)
        write_atomically(TABLE, render(found))
    else:
        print(render(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
