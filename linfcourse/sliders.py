"""A figure with sliders where somebody is there to move them, and the finished figure elsewhere.

A page of the book has no kernel, and a widget on it would be dead. So `with_sliders` draws its
figure for the default values and is done, unless the notebook is open in front of a reader
(Jupyter, Colab, VS Code). Only then does it put sliders above it, which draw the figure again from
a real run.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

LABELS = {
    "beta1": "β₁",
    "beta2": "β₂",
    "lr": "lr η",
    "weight_decay": "decay λ",
    "angle": "angle",
    "t": "turn t",
    "steps": "steps",
}
SWITCH = "LINFCOURSE_SLIDERS"  # "0" never shows sliders, "1" always does


def with_sliders(
    draw: Callable[..., Figure], *, sliders: bool | None = None, **controls: Sequence
) -> None:
    """Show ``draw()``; with a reader at the notebook, with a slider for each of its arguments.

    Args:
        draw: returns a matplotlib figure. Its arguments have defaults, which make the figure of
            the page.
        sliders: True shows them, False does not; None (default) asks `somebody_is_here`.
        controls: for each argument that gets a slider, the values to choose from, the default among
            them.

    Raises:
        TypeError: draw does not return a figure, or has no such argument, or one without a default.
        ValueError: a default that is not among the values.

    In a notebook, ``with_sliders(draw, beta1=(0.0, 0.9, 0.99), lr=(0.01, 0.1))`` for a function
    ``draw(beta1=0.9, lr=0.1)``.
    """
    defaults = _defaults(draw, controls)
    if somebody_is_here() if sliders is None else sliders:
        display(_with_sliders(draw, controls, defaults))
    else:
        _show(draw, defaults)


def somebody_is_here() -> bool:
    """Is this notebook open in Jupyter, Colab or VS Code, rather than executed by a program?

    Each of them leaves a trace in the kernel that it starts: Colab its package, a Jupyter server
    the notebook's name in the environment, VS Code a variable. Programs that execute notebooks
    (nbclient, nbval, Jupyter Book) start the kernel themselves and leave none. The environment
    variable ``LINFCOURSE_SLIDERS`` overrides this: "0" for no, "1" for yes.

    >>> somebody_is_here()
    False
    """
    switch = os.environ.get(SWITCH)
    if switch in ("0", "1"):
        return switch == "1"
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return False  # plain Python, or a terminal
    return (
        "google.colab" in sys.modules
        or "JPY_SESSION_NAME" in os.environ
        or "__vsc_ipynb_file__" in shell.user_ns
    )


def _defaults(draw: Callable[..., Figure], controls: dict[str, Sequence]) -> dict[str, Any]:
    if not controls:
        raise TypeError("with_sliders needs at least one control, such as lr=(0.01, 0.1)")
    parameters = inspect.signature(draw).parameters
    defaults = {}
    for name, values in controls.items():
        if name not in parameters:
            raise TypeError(
                f"draw has no argument {name!r}; it has {', '.join(parameters) or 'none'}"
            )
        default = parameters[name].default
        if default is inspect.Parameter.empty:
            raise TypeError(f"draw's argument {name!r} needs a default: it is what a page shows")
        if default not in list(values):
            raise ValueError(f"{name} must offer draw's default {default!r}, got {list(values)}")
        defaults[name] = default
    return defaults


def _show(draw: Callable[..., Figure], values: dict[str, Any]) -> None:
    figure = draw(**values)
    if not isinstance(figure, Figure):
        raise TypeError(f"draw must return a matplotlib Figure, got {type(figure).__name__}")
    display(figure)
    plt.close(figure)  # or the inline backend would show it once more at the end of the cell


def _with_sliders(draw: Callable[..., Figure], controls: dict[str, Sequence], defaults: dict):
    import ipywidgets  # only where it is shown: importing it opens a channel to the front end

    rows = {
        name: ipywidgets.SelectionSlider(
            options=[(_text(value), value) for value in values],
            value=defaults[name],
            description=LABELS.get(name, name),
            continuous_update=False,  # a run is made when the slider is let go
        )
        for name, values in controls.items()
    }
    output = ipywidgets.interactive_output(lambda **values: _show(draw, values), rows)
    return ipywidgets.VBox([*rows.values(), output])


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
