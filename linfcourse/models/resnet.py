"""ResNet-18 for small images (28×28, 32×32), with GroupNorm or BatchNorm and any width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from linfcourse.models.batch_norm import BatchNorm2d
from linfcourse.models.losses import cross_entropy

_NORMS = ("group", "batch")


def _normalisation(norm: str, channels: int) -> nn.Module:
    """GroupNorm with at least 8 channels in a group and at most 32 groups, or BatchNorm.

    GroupNorm is the default: its loss is a mean over examples, which a Hessian needs to be
    well defined; BatchNorm's couples the examples of a batch.
    """
    if norm == "batch":
        return BatchNorm2d(channels)
    most = max(1, min(32, channels // 8))
    groups = max(g for g in range(1, most + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: relu(shortcut(x) + f(x))."""

    def __init__(self, channels_in: int, channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _normalisation(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = _normalisation(norm, channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False),
                _normalisation(norm, channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(self.shortcut(x) + y)


class ResNet18(nn.Module):
    """Eight basic blocks in four stages of ``width`` × (1, 2, 4, 8) channels.

    The stem is one 3×3 convolution of stride 1 without pooling, as usual for CIFAR-sized images
    (the 7×7 stem for ImageNet would leave nothing of them). Make it with :func:`resnet18`.
    """

    def __init__(self, width: int, norm: str, classes: int, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = _normalisation(norm, width)
        blocks = []
        channels_in = width
        for stage in range(4):
            channels = width * 2**stage
            for block in range(2):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(channels_in, channels, stride, norm))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(8 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of a batch of images.

        Args:
            images: (B, in_channels, height, width) floating point.

        Returns:
            (B, classes) logits.
        """
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"images must have shape (B, {self.in_channels}, height, width), "
                f"got {tuple(images.shape)}"
            )
        x = F.relu(self.norm(self.stem(images)))  # (B, width, H, W)
        x = self.blocks(x)  # (B, 8 width, H/8, W/8)
        return self.head(x.mean(dim=(2, 3)))  # (B, classes)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of ``labels`` (B,), int64, in nats."""
        return cross_entropy(self, (images, labels))


def resnet18(
    width: int = 64, norm: str = "group", classes: int = 10, in_channels: int = 3
) -> ResNet18:
    """A ResNet-18 for small images, initialised from torch's global generator.

    Args:
        width: channels of the first stage; 64 is the usual network of 11 million parameters,
            8 has 0.17 million and runs on a CPU.
        norm: ``"group"`` or ``"batch"``.
        classes: number of classes.
        in_channels: 3 for colour, 1 for grey (Fashion-MNIST).

    Raises:
        TypeError, ValueError: a size that is not a positive integer, or an unknown norm.

    Source: He et al. 2015, arXiv 1512.03385.

    >>> import torch
    >>> model = resnet18(width=8, in_channels=1)
    >>> model(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    for name, size in (("width", width), ("classes", classes), ("in_channels", in_channels)):
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"{name} must be an integer, got {size!r}")
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {_NORMS}, got {norm!r}")
    return ResNet18(width, norm, classes, in_channels)
