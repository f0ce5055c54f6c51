"""Labelled images and the batches of them; CIFAR-10 through a stand-in for torchvision."""

import io
import sys
import types

import numpy as np
import pytest
import torch

from linfcourse.data import Images, cifar10, fashion_mnist
from linfcourse.data.embedded import read_embedded
from linfcourse.data.images import ImageSampler


def numbered(n):
    return torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1), torch.arange(n)


class TestFashionMNIST:
    def test_is_the_published_data(self):
        images = fashion_mnist(standardise=False)
        with np.load(io.BytesIO(read_embedded("fashion_mnist_10k.npz"))) as raw:
            for split, n in (("train", 8000), ("test", 2000)):
                pixels = getattr(images, f"{split}_images")
                labels = getattr(images, f"{split}_labels")
                assert pixels.shape == (n, 1, 28, 28) and pixels.dtype == torch.float32
                assert labels.shape == (n,) and labels.dtype == torch.int64
                assert torch.equal((pixels * 255).round().byte()[:, 0],
                                   torch.from_numpy(raw[f"{split}_images"]))  # fmt: skip
                assert (labels.numpy() == raw[f"{split}_labels"]).all()
        assert len(images.classes) == 10 and images.test_labels.unique().tolist() == [*range(10)]
        assert images.mean == (0.0,) and images.std == (1.0,)

    def test_standardised_on_the_training_images(self):
        images, plain = fashion_mnist(), fashion_mnist(standardise=False)
        assert images.train_images.double().mean().item() == pytest.approx(0, abs=1e-6)
        assert images.train_images.double().std().item() == pytest.approx(1, abs=1e-6)
        back = images.test_images * images.std[0] + images.mean[0]
        torch.testing.assert_close(back, plain.test_images)

    def test_is_read_once(self):
        assert fashion_mnist() is fashion_mnist()

    def test_sampler_pairs_images_with_their_labels(self):
        images = fashion_mnist()
        batch, labels = images.sampler(32, seed=3, split="test")(5)
        assert batch.shape == (32, 1, 28, 28)
        for image, label in zip(batch, labels, strict=True):
            same = (images.test_images == image).flatten(1).all(dim=1)
            assert label in images.test_labels[same]

    def test_refuses_a_split_that_there_is_not(self):
        with pytest.raises(ValueError, match="train, test; got 'val'"):
            fashion_mnist().sampler(4, split="val")


class TestSampler:
    @pytest.mark.parametrize(("n", "batch"), [(10, 5), (10, 3), (10, 10), (3, 8), (7, 1)])
    def test_every_epoch_has_every_image_once(self, n, batch):
        sampler = ImageSampler(*numbered(n), batch, seed=1)
        epochs = 4
        order = torch.cat([sampler(step)[1] for step in range(-(-epochs * n // batch))])
        for epoch in range(epochs):
            assert sorted(order[epoch * n : (epoch + 1) * n].tolist()) == [*range(n)]

    def test_epochs_and_seeds_have_different_orders(self):
        orders = [ImageSampler(*numbered(20), 20, seed)(e)[1] for seed in (0, 1) for e in (0, 1)]
        for i, a in enumerate(orders):
            assert not any(torch.equal(a, b) for b in orders[:i])

    def test_a_batch_does_not_depend_on_what_was_asked_before(self):
        a, b = (ImageSampler(*numbered(11), 4, seed=2) for _ in range(2))
        forward = {s: a(s)[1] for s in range(12)}
        backward = {s: b(s)[1] for s in reversed(range(12))}
        assert all(torch.equal(forward[s], backward[s]) for s in forward)

    def test_first_place_is_uniform(self):
        sampler = ImageSampler(*numbered(5), 5)
        counts = torch.bincount(torch.stack([sampler(e)[1][0] for e in range(1000)]), minlength=5)
        assert ((counts - 200.0) ** 2 / 200).sum() < 20  # χ² with 4 degrees: p > 5e-4

    @pytest.mark.parametrize(
        ("changes", "error", "named"),
        [
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"batch_size": 1.0}, TypeError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
        ],
    )
    def test_refuses_what_does_not_fit(self, changes, error, named):
        with pytest.raises(error, match=named):
            ImageSampler(*numbered(5), **{"batch_size": 2, **changes})


def test_from_pixels_standardises_each_channel():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (9, 3, 4, 4), generator=generator).byte()
    pixels[:, 2] //= 2
    labels = torch.zeros(9, dtype=torch.uint8)
    images = Images.from_pixels(pixels, labels, pixels[:2], labels[:2], ("a",))
    torch.testing.assert_close(
        images.train_images.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-6
    )
    expected = (pixels[:2, 2] / 255 - images.mean[2]) / images.std[2]
    torch.testing.assert_close(images.test_images[:, 2], expected)
    assert images.train_labels.dtype == torch.int64


class TestCifar10:
    def test_without_torchvision_one_sentence_says_what_to_do(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torchvision", None)
        with pytest.raises(ImportError, match=r"cifar10 needs torchvision.*fashion_mnist\(\)"):
            cifar10()

    def stand_in(self, monkeypatch, make):
        datasets = types.ModuleType("torchvision.datasets")
        datasets.CIFAR10 = make
        monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)

    def test_takes_over_torchvisions_arrays(self, monkeypatch, tmp_path):
        asked = []

        def make(root, train, download):
            asked.append((root, train, download))
            data = np.full((5, 32, 32, 3), [0, 51, 255], dtype=np.uint8)
            return types.SimpleNamespace(data=data, targets=[0, 1, 2, 3, 4], classes=["x", "y"])

        self.stand_in(monkeypatch, make)
        images = cifar10(tmp_path, download=False, standardise=False)
        assert images.train_images.shape == (5, 3, 32, 32)
        torch.testing.assert_close(images.train_images[0, :, 0, 0], torch.tensor([0, 0.2, 1]))
        assert images.test_labels.tolist() == [0, 1, 2, 3, 4] and images.classes == ("x", "y")
        assert asked == [(tmp_path, True, False), (tmp_path, False, False)]

    def test_without_a_network_one_sentence_says_so(self, monkeypatch, tmp_path):
        def make(root, train, download):
            raise OSError("no route")

        self.stand_in(monkeypatch, make)
        with pytest.raises(FileNotFoundError, match="could not be fetched"):
            cifar10(tmp_path)
