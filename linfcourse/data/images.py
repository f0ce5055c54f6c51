"""Labelled images in memory, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from linfcourse.data.random_access import check_count, check_split, uniform_words


class ImageSampler:
    """Batches that go through the images in a new random order each epoch, without a state.

    ``sampler(step)`` is (images, labels). The epochs' orders, laid end to end, are cut in batches;
    so every image comes once an epoch, and a batch may reach over the end of one.

    Args:
        images: (N, channels, height, width).
        labels: (N,) int64.
        batch_size: images B in a batch.
        seed: of the orders, >= 0.
        split: names the random stream.
        device: where the batches go; the images are moved there once.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        seed: int = 0,
        split: str = "train",
        device: torch.device | str | None = None,
    ) -> None:
        check_count("batch_size", batch_size)
        check_count("seed", seed, least=0)
        self.device = torch.device("cpu" if device is None else device)
        self.images, self.labels = images.to(self.device), labels.to(self.device)
        self.batch_size, self.seed, self.split = batch_size, seed, split
        self._orders: dict[int, np.ndarray] = {}

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            words = uniform_words(self.seed, self.split, epoch, len(self.labels))
            # Only the newest is kept: it can always be drawn again.
            self._orders = {epoch: np.argsort(words, kind="stable")}
        return self._orders[epoch]

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of that step: images (B, channels, height, width) and labels (B,)."""
        check_count("step", step, least=0)
        n = len(self.labels)
        begin, end = step * self.batch_size, (step + 1) * self.batch_size
        pieces = []
        while begin < end:
            epoch, offset = divmod(begin, n)
            piece = self._order(epoch)[offset : offset + end - begin]
            pieces.append(piece)
            begin += len(piece)
        chosen = torch.from_numpy(np.concatenate(pieces))
        if self.device.type == "cuda":
            # From pinned memory the copy does not make the host wait for the device.
            chosen = chosen.pin_memory()
        chosen = chosen.to(self.device, non_blocking=True)
        return self.images[chosen], self.labels[chosen]

    def __repr__(self) -> str:
        return (
            f"ImageSampler({len(self.labels)} {self.split} images, batch_size={self.batch_size}, "
            f"seed={self.seed}, device={str(self.device)!r})"
        )


@dataclass(frozen=True, eq=False)
class Images:
    """Images with labels, cut in a training and a test set. Shared by all users: do not write.

    Attributes:
        train_images: (N, channels, height, width) float32.
        train_labels: (N,) int64.
        test_images, test_labels: the same for the test set.
        classes: name of each label.
        mean, std: per channel, what was taken off the pixels in [0, 1] and what they were divided
            by; (0, 1) if they were left alone.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_pixels(
        cls,
        train_pixels: Tensor,
        train_labels: Tensor,
        test_pixels: Tensor,
        test_labels: Tensor,
        classes: tuple[str, ...],
        standardise: bool = True,
    ) -> Images:
        """Make floats of 8-bit pixels: [0, 1], then mean 0 and standard deviation 1 by channel.

        Args:
            train_pixels, test_pixels: (N, channels, height, width) uint8.
            train_labels, test_labels: (N,) integers.
            classes: name of each label.
            standardise: if false, the images stay in [0, 1].

        >>> pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
        >>> labels = torch.tensor([0, 1])
        >>> Images.from_pixels(pixels, labels, pixels, labels, ("dark", "light")).mean
        (0.5,)
        """
        train, test = train_pixels.float() / 255, test_pixels.float() / 255
        channels = train.shape[1]
        mean, std = (0.0,) * channels, (1.0,) * channels
        if standardise:
            # In float64, so that the result does not depend on the order of the summation.
            exact = train.double()
            mean = tuple(exact.mean(dim=(0, 2, 3)).tolist())
            std = tuple(exact.std(dim=(0, 2, 3), correction=0).tolist())
            shift, scale = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
            train, test = (train - shift) / scale, (test - shift) / scale
        return cls(train, train_labels.long(), test, test_labels.long(), classes, mean, std)

    def sampler(
        self,
        batch_size: int,
        seed: int = 0,
        split: str = "train",
        device: torch.device | str | None = None,
    ) -> ImageSampler:
        """Batches in a new random order each epoch: ``sampler(step) -> (images, labels)``.

        Args:
            batch_size: images B in a batch.
            seed: of the orders; equal seeds give equal batches on every device.
            split: ``"train"`` or ``"test"``.
            device: where the batches go.
        """
        check_split(split, ("train", "test"))
        if split == "train":
            images, labels = self.train_images, self.train_labels
        else:
            images, labels = self.test_images, self.test_labels
        return ImageSampler(images, labels, batch_size, seed, split, device)
