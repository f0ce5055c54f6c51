"""The set-up cannot drift: ranges, pins, conda's file, Colab's runtime, the Makefile."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
DEVELOPMENT = [
    Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines
]

# The runtime 2026.01, in which a learner opens a chapter.
COLAB = {
    "torch": "2.9.0",
    "numpy": "2.0.2",
    "ipywidgets": "7.7.1",
    "matplotlib": "3.10.0",
    "tqdm": "4.67.1",
    "altair": "5.5.0",
}
COLAB_PYTHON = "3.12"


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, Version]:
    split = (line.split("==") for line in constraint_lines())
    return {canonicalize_name(name): Version(version) for name, version in split}


def test_constraints_are_exact_pins_without_addresses_or_local_versions():
    wrong = [line for line in constraint_lines() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert wrong == []


@pytest.mark.parametrize("requirement", RUNTIME + DEVELOPMENT, ids=str)
def test_every_dependency_is_pinned_inside_its_range(requirement):
    pin = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin), f"{requirement} does not admit {pin}"


@pytest.mark.parametrize("requirement", RUNTIME, ids=str)
def test_ranges_have_a_floor_and_are_not_exact_pins(requirement):
    operators = {specifier.operator for specifier in requirement.specifier}
    assert ">=" in operators
    assert not operators & {"==", "===", "~="}


@pytest.mark.parametrize("requirement", RUNTIME, ids=str)
def test_colabs_runtime_keeps_its_own_versions(requirement):
    assert requirement.specifier.contains(COLAB[requirement.name])


def test_colabs_python_is_admitted():
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(COLAB_PYTHON)


def test_torchvision_is_nowhere_required():
    names = {requirement.name for requirement in RUNTIME + DEVELOPMENT} | set(pins())
    assert "torchvision" not in names


def test_requirements_are_the_constraints_and_this_package():
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    assert [line for line in lines if line] == ["-c constraints.txt", "-e .[dev]"]


def test_conda_installs_the_same_requirements_and_nothing_beside_them():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert pip == "pip"
    assert from_pip == {"pip": ["-r requirements.txt"]}
    specifier = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert specifier.contains(python.removeprefix("python="))


def test_an_old_python_is_refused_with_a_sentence(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.1"\nexit 1\n')
    old.chmod(0o755)
    answer = subprocess.run(
        ["make", "install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert answer.returncode != 0
    assert "needs Python 3.11 or newer" in answer.stdout
    assert "Python 3.10.1" in answer.stdout
    assert not (tmp_path / "venv").exists()


def test_make_alone_lists_every_target():
    answer = subprocess.run(
        ["make"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    listed = set(re.findall(r"^  make (\w+)", answer.stdout, re.MULTILINE))
    assert {"book", "test", "chapters", "read", "records", "bench", "clean"} <= listed


def test_the_readmes_example_runs():
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})


def test_the_licences_and_notices_are_there():
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    assert "creativecommons.org/licenses/by/4.0/legalcode" in (ROOT / "LICENSE-text.md").read_text()
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    for owner in ("Open Knowledge Foundation", "Zalando SE", "MathJax Consortium"):
        assert owner in notices
    assert "Apache License" in (ROOT / "book/_static/mathjax/LICENSE").read_text()


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert len(citation["references"]) == 3


@pytest.mark.parametrize("name", ["test", "publish"])
def test_workflows_are_yaml_and_run_what_we_run(name):
    text = (ROOT / f".github/workflows/{name}.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert ("bash .ci/run" in text) if name == "test" else (jobs["publish"]["needs"] == "test")
