"""The parts of the contract with Colab that need no environment of its own; `make colab` has it."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tools.colab_contract import RUNTIME, main, moved

ROOT = Path(__file__).parents[2]


def test_a_version_that_moved_or_went_is_named():
    before = {"numpy": "2.0.2", "torch": "2.9.0", "tqdm": "4.67"}
    assert moved(before, {**before, "linfcourse": "0.1.0"}) == []
    assert moved(before, {"numpy": "2.4.0", "torch": "2.9.0"}) == [
        "numpy 2.0.2 -> 2.4.0",
        "tqdm 4.67 -> gone",
    ]


def test_colabs_versions_satisfy_what_the_wheel_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {r.name: r for r in map(Requirement, project["dependencies"])}
    for name, version in RUNTIME.items():
        if name in asked:
            assert version in asked[name].specifier, f"{name} {version}"
    assert "numpy" in asked and "ipywidgets" in asked


def test_a_chapter_that_is_not_there_is_refused(capsys):
    assert main(["--only", "99"]) == 2
    assert "99" in capsys.readouterr().err
