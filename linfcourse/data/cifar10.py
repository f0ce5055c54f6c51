"""CIFAR-10, through torchvision; needs a network the first time."""

from __future__ import annotations

from pathlib import Path

import torch

from linfcourse.data.folder import data_folder
from linfcourse.data.images import Images
from linfcourse.data.tokens import one_at_a_time


def cifar10(
    root: str | Path | None = None, download: bool = True, standardise: bool = True
) -> Images:
    """50,000 training and 10,000 test images in colour, 32×32, ten classes.

    torchvision is imported here and nowhere else in the package: it is not among its
    requirements, because installing it may replace torch.

    Args:
        root: folder that holds the files or gets them; see :func:`linfcourse.data.openwebtext`.
        download: fetch what is not there.
        standardise: see :func:`linfcourse.data.fashion_mnist`.

    Raises:
        ImportError: torchvision is not installed.
        FileNotFoundError: the files are not there and cannot be fetched.
    """
    try:
        from torchvision.datasets import CIFAR10
    except ImportError as error:
        raise ImportError(
            "cifar10 needs torchvision, in the build that belongs to the installed torch "
            f"{torch.__version__}; fashion_mnist() needs nothing"
        ) from error
    root = data_folder(root)

    def load(download: bool) -> list[CIFAR10]:
        return [CIFAR10(root, train=part, download=download) for part in (True, False)]

    try:
        try:
            train, test = load(download=False)
        except RuntimeError:  # not there
            with one_at_a_time(root / "cifar10", "fetching CIFAR-10"):
                train, test = load(download)
    except (OSError, RuntimeError) as error:
        # torchvision says "not found or corrupted" and failed downloads in these two.
        raise FileNotFoundError(
            f"CIFAR-10 is not in {root} and could not be fetched ({error}); "
            "fashion_mnist() needs no network"
        ) from error
    return Images.from_pixels(
        torch.from_numpy(train.data).permute(0, 3, 1, 2),  # (50000, 3, 32, 32)
        torch.tensor(train.targets),
        torch.from_numpy(test.data).permute(0, 3, 1, 2),
        torch.tensor(test.targets),
        tuple(train.classes),
        standardise,
    )
