"""ResNet-18: the known network, at any width, with both norms."""

import pytest
import torch
from torch import nn

from linfcourse.models import resnet18


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_width_64_has_the_known_number_of_parameters(norm):
    # The usual ResNet-18 for CIFAR-10.
    assert sum(p.numel() for p in resnet18(64, norm).parameters()) == 11_173_962


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize(("width", "size", "channels"), [(4, 28, 1), (8, 32, 3), (5, 17, 2)])
def test_shapes(norm, width, size, channels):
    torch.manual_seed(0)
    model = resnet18(width, norm, classes=7, in_channels=channels)
    loss = model.loss(torch.randn(3, channels, size, size), torch.tensor([0, 6, 3]))
    loss.backward()
    assert loss.shape == () and torch.isfinite(loss)
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_feature_maps_halve_in_three_stages():
    model = resnet18(4)
    x = model.stem(torch.zeros(1, 3, 32, 32))
    assert x.shape == (1, 4, 32, 32)
    assert model.blocks(x).shape == (1, 32, 4, 4)


def test_with_group_norm_examples_do_not_touch_each_other():
    torch.manual_seed(0)
    model = resnet18(8).double()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    alone = torch.cat([model(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(x), alone)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_with_batch_norm_they_do_in_training_and_not_in_evaluation():
    torch.manual_seed(0)
    model = resnet18(8, "batch").double()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    assert not torch.allclose(model(x)[:1], model(x[:1]))
    model.eval()
    torch.testing.assert_close(model(x)[:1], model(x[:1]))


@pytest.mark.parametrize("width", [1, 3, 8, 20, 64, 96])
def test_groups_divide_the_channels_and_are_not_single_channels(width):
    for module in resnet18(width).modules():
        if isinstance(module, nn.GroupNorm):
            size, rest = divmod(module.num_channels, module.num_groups)
            assert rest == 0 and module.num_groups <= 32
            assert size >= min(8, module.num_channels)


def test_second_derivatives_agree_with_finite_differences_of_the_gradient():
    torch.manual_seed(0)
    model = resnet18(2, in_channels=1, classes=3).double()
    x, y = torch.randn(2, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 2])
    params = list(model.parameters())
    v = [torch.randn_like(p) for p in params]

    def gradient(**kwargs):
        return torch.autograd.grad(model.loss(x, y), params, **kwargs)

    dot = sum((g * w).sum() for g, w in zip(gradient(create_graph=True), v, strict=True))
    exact = torch.autograd.grad(dot, params)
    h, sides = 1e-7, []  # small, so that few of the ReLUs change side
    for sign in (1, -2):
        with torch.no_grad():
            for p, w in zip(params, v, strict=True):
                p.add_(w, alpha=sign * h)
        sides.append(gradient())
    numeric = torch.cat([((a - b) / (2 * h)).flatten() for a, b in zip(*sides, strict=True)])
    exact = torch.cat([e.flatten() for e in exact])
    assert (numeric - exact).norm() < 1e-4 * exact.norm()


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"width": 0}, ValueError, "width"),
        ({"width": 8.0}, TypeError, "width"),
        ({"classes": -1}, ValueError, "classes"),
        ({"in_channels": True}, TypeError, "in_channels"),
        ({"norm": "layer"}, ValueError, "norm"),
    ],
)
def test_refuses_what_does_not_fit(arguments, error, named):
    with pytest.raises(error, match=named):
        resnet18(**arguments)


@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 1, 28, 28), (28, 28)])
def test_refuses_images_of_another_shape(shape):
    with pytest.raises(ValueError, match="images must have shape"):
        resnet18(4)(torch.zeros(shape))
