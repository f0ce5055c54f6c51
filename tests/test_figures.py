"""Figures: styles that can be told apart, labels that do not overlap, the same file each time."""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy
import pytest

from linfcourse.experiments import METHODS
from linfcourse.figures import STYLES, label_lines, plot_band, smooth, style_of, use_style


def luminance(color):
    rgb = numpy.array(matplotlib.colors.to_rgb(color))
    linear = numpy.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_every_method_has_a_style_of_its_own():
    assert set(METHODS) <= set(STYLES)
    assert len({style.color for style in STYLES.values()}) == len(STYLES)
    assert len({str(style.dash) for style in STYLES.values()}) == len(STYLES)
    assert len({style.marker for style in STYLES.values()}) == len(STYLES)


@pytest.mark.parametrize("method", STYLES)
def test_text_in_a_methods_colour_is_readable_on_white(method):
    assert 1.05 / (luminance(STYLES[method].color) + 0.05) >= 4.5


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="method must be one of"):
        style_of("adamm")


def test_smooth_is_a_running_mean():
    values = numpy.random.default_rng(0).normal(size=30)
    expected = [values[max(0, i - 6) : i + 1].mean() for i in range(30)]
    numpy.testing.assert_allclose(smooth(values, 7), expected)


def test_a_band_spans_all_seeds_and_the_line_is_their_median():
    _, ax = plt.subplots()
    curves = numpy.array([[1.0, 5.0], [2.0, 3.0], [9.0, 4.0]])
    line = plot_band(ax, [0, 1], curves, label="x")
    assert line.get_ydata().tolist() == [2.0, 4.0]
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == 1.0 and corners[:, 1].max() == 9.0


def test_labels_keep_their_distance_also_for_lines_that_end_together():
    use_style()
    figure, ax = plt.subplots()
    for k in range(5):
        ax.plot([0, 1], [0, 1 + k * 1e-3], label=f"line {k}")
    ax.plot([0, 1], [numpy.nan, numpy.nan], label="nothing")
    label_lines(ax, gap=12)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 5
    heights = sorted((box.y0 + box.y1) / 2 * 72 / figure.dpi for box in boxes)
    assert min(numpy.diff(heights)) >= 12 - 1e-6


def test_the_same_figure_gives_the_same_file():
    files = []
    for _ in range(2):
        use_style()
        figure, ax = plt.subplots()
        ax.plot([1, 2], [1, 2], label="x")
        label_lines(ax)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        files.append(buffer.getvalue())
    assert files[0] == files[1]
