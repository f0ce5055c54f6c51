"""Run by torchrun (or alone): trains a small GPT with several optimizers, saves what came out.

torchrun --nproc_per_node=2 together.py FOLDER
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from linfcourse import compiling, distributed
from linfcourse.data import shakespeare
from linfcourse.experiments.hessian_norms import measure_norms
from linfcourse.hessian import HessianOperator
from linfcourse.hessian.averaged import AveragedOperator
from linfcourse.models import GPT, GPTConfig, resnet18
from linfcourse.optim import AdamMini, AdamW, AdaSGD, Rotated
from linfcourse.rotations import Hadamard, Identity
from linfcourse.training import train, warmup_cosine

OPTIMIZERS = {
    "adamw": lambda model: AdamW(model.parameters(), lr=1e-2),
    "adasgd": lambda model: AdaSGD(model.parameters(), lr=1e-2),
    "adam_mini": lambda model: AdamMini(model.parameters(), model=model, lr=1e-2),
    "rotated": lambda model: Rotated(
        model.parameters(), lambda w: torch.optim.AdamW(w, lr=1e-2), Hadamard(seed=3)
    ),
}


def run(name: str, accumulate: int, compile: str = "off") -> dict:
    torch.manual_seed(0)
    text = shakespeare()
    model = GPT(GPTConfig(text.vocab_size, context=8, n_layer=1, n_head=2, width=8)).double()
    unseen = text.sampler(4, 8, seed=9)(0)

    def norms(model):
        return measure_norms(
            lambda batch: model.loss(*batch), unseen, model.parameters(),
            {"plain": Identity()}, probes=6, seed=0, lanczos=5, rows=2,
        )  # fmt: skip

    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        text.sampler(8 // accumulate, 8, seed=1),
        OPTIMIZERS[name](model),
        steps=6,
        schedule=warmup_cosine(2),
        clip=1.0,
        evaluate=norms if name == "adamw" else None,
        accumulate=accumulate,
        compile=compile,
    )
    assert history.compiled == (compile == "on")
    params = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    return {"loss": history.loss, "params": params, "norms": history.evaluations}


def resnet() -> dict:
    """A ResNet with BatchNorm, whose loss is not a mean over examples; a product before and after.

    The products are those of the training loss: the statistics depend on the parameters.
    """
    torch.manual_seed(0)
    model = resnet18(width=2, norm="batch", classes=3, in_channels=1).double()
    images = torch.randn(4, 8, 1, 16, 16, dtype=torch.float64)
    labels = torch.randint(3, (4, 8))
    products = []

    def product() -> None:
        part = distributed.own_part((images[0], labels[0]))
        H = AveragedOperator(HessianOperator(model.loss(*part), model.parameters()))
        vector = torch.linspace(-1, 1, H.dim, dtype=torch.float64)
        products.append(H @ vector)

    product()
    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        lambda step: (images[step], labels[step]),
        torch.optim.SGD(model.parameters(), lr=0.1),
        steps=4,
    )
    product()
    buffers = torch.cat([b.double().flatten() for b in model.buffers()])
    return {"loss": history.loss, "products": torch.stack(products), "buffers": buffers}


def main(folder: Path) -> None:
    several = distributed.started_by_torchrun()
    with distributed.data_parallel(timeout=60) if several else nullcontext():
        results = {(name, a): run(name, a) for name in OPTIMIZERS for a in (1, 2)}
        if several:
            compiling.BACKEND = "aot_eager"  # all of torch.compile but its slow last stage
            results["adamw", 2, "compiled"] = run("adamw", 2, compile="on")
        results["resnet"] = resnet()
        torch.save(results, folder / f"{distributed.world_size()}-{distributed.rank()}.pt")
        if several:
            try:
                distributed.own_part(torch.zeros(5))
            except ValueError as error:
                (folder / f"uneven-{distributed.rank()}").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
