"""Fashion-MNIST: 10,000 grey images of clothes that come with the package."""

from __future__ import annotations

import functools
import io

import numpy as np
import torch

from linfcourse.data.embedded import read_embedded
from linfcourse.data.images import Images

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@functools.cache
def fashion_mnist(standardise: bool = True) -> Images:
    """The first 8,000 training and 2,000 test images, 28×28, ten classes.

    Read at the first call and shared by all later ones.

    Args:
        standardise: subtract the training pixels' mean and divide by their standard deviation;
            if false, the pixels are left in [0, 1].

    Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747. Copyright 2017 Zalando SE, MIT licence; see
    ``NOTICE.md`` beside the file.

    Raises:
        FileNotFoundError, ValueError: the file is missing or damaged.

    >>> images = fashion_mnist()
    >>> images.train_images.shape
    torch.Size([8000, 1, 28, 28])
    >>> images.classes[images.test_labels[0]]
    'Ankle boot'
    """
    with np.load(io.BytesIO(read_embedded("fashion_mnist_10k.npz")), allow_pickle=False) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    return Images.from_pixels(
        arrays["train_images"][:, None],  # (8000, 1, 28, 28)
        arrays["train_labels"],
        arrays["test_images"][:, None],
        arrays["test_labels"],
        CLASSES,
        standardise,
    )
