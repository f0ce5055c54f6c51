"""Large Hadamard rotations by fht-cpu: the same map as in plain torch, and never in the way."""

import sys
import warnings

import numpy as np
import pytest
import torch

from linfcourse.rotations import Hadamard, native
from linfcourse.rotations.hadamard import LARGEST_WHOLE, _Swept


def butterflies(x, axis, num_threads):
    """What `fht_cpu.fht` does, by additions in numpy."""
    assert axis == -1 and x.flags.c_contiguous
    for k in range(x.shape[1].bit_length() - 1):
        pairs = x.reshape(len(x), -1, 2, 1 << k)
        first = pairs[:, :, 0].copy()
        pairs[:, :, 0] += pairs[:, :, 1]
        np.subtract(first, pairs[:, :, 1], out=pairs[:, :, 1])
    return x


def of_the_package(x, **options):
    return pytest.importorskip("fht_cpu").fht(x, **options)


both = pytest.mark.parametrize("fht", [butterflies, of_the_package])


@pytest.fixture
def use(monkeypatch):
    return lambda fht: monkeypatch.setattr(native, "_loaded", lambda: fht)


def numbers(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@both
@pytest.mark.parametrize("d", [65_537, 131_071, 131_072, 131_073, 300_007])
def test_the_map_is_that_of_plain_torch(fht, d, use):
    x = numbers(2, d)
    with native.without_native():
        plain = Hadamard(seed=3)
        expected, back = plain(x), plain.inverse(x)
    use(fht)
    R = Hadamard(seed=3)
    torch.testing.assert_close(R(x), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(R.inverse(x), back, rtol=0, atol=1e-13)
    torch.testing.assert_close(R(x.float()).double(), expected, rtol=0, atol=5e-6)
    torch.testing.assert_close(R.inverse(R(x.float())), x.float(), rtol=0, atol=5e-6)
    assert not torch.equal(R(x), expected)  # it was another computation


@both
def test_several_sweeps_and_other_layouts(fht, use):
    x = numbers(70_001, 2, dtype=torch.float32)
    with native.without_native():
        expected = Hadamard(seed=1, rounds=6)(x.T)
    use(fht)
    torch.testing.assert_close(Hadamard(seed=1, rounds=6)(x.T), expected, rtol=0, atol=5e-6)


def test_up_to_65536_the_package_changes_no_bit(use):
    def never(x, **_):
        raise AssertionError("used for a small vector")

    use(never)
    for d in (5, 1000, LARGEST_WHOLE):
        x = numbers(d, dtype=torch.float32)
        y = Hadamard(seed=0)(x)
        with native.without_native():
            assert torch.equal(Hadamard(seed=0)(x), y)
    with pytest.raises(AssertionError, match="used for"):
        Hadamard(seed=0)(numbers(LARGEST_WHOLE + 1))


def test_it_takes_the_threads_that_torch_takes(use):
    seen = []

    def watched(x, axis, num_threads):
        seen.append(num_threads)
        return butterflies(x, axis, num_threads)

    use(watched)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            seen.clear()
            torch.set_num_threads(threads)
            Hadamard(seed=0)(numbers(70_001))
            assert set(seen) == {threads}
    finally:
        torch.set_num_threads(before)


def test_a_plan_of_another_device_does_without_it(use):
    use(butterflies)
    assert _Swept(70_001, 0, 3, torch.float32, torch.device("meta")).native is None
    assert _Swept(70_001, 0, 3, torch.float32, torch.device("cpu")).native is butterflies


@pytest.fixture
def afresh():
    native._loaded.cache_clear()
    yield
    native._loaded.cache_clear()


def test_without_the_package_nothing_is_said(monkeypatch, afresh):
    monkeypatch.setitem(sys.modules, "fht_cpu", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert native.native_transform() is None


def test_a_package_that_does_not_load_is_told_of_once(monkeypatch, afresh, tmp_path):
    (tmp_path / "fht_cpu.py").write_text("raise OSError('no libomp here')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fht_cpu", raising=False)
    x = numbers(70_001)
    with native.without_native():
        expected = Hadamard(seed=0)(x)
    with pytest.warns(RuntimeWarning, match=r"does not load \(no libomp here\)"):
        assert torch.equal(Hadamard(seed=0)(x), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(Hadamard(seed=0)(x), expected)
        assert torch.equal(Hadamard(seed=0)(x), expected)
