"""A wheel of the checkout, used where there is no checkout: it holds every file that the code reads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from coral_core.bundle.catalog import read_bundle

ROOT = Path(__file__).parents[1]
PACKAGES = ("coral_core", "manifests", "pipelines", "tasks")
FILES = ("pyproject.toml", "README.md", "LICENSE")

USE = """
import sys
sys.path[:0] = [sys.argv[1]]     # the unpacked wheel, before everything
sys.path.append(sys.argv[2])     # the libraries; -S: without the .pth file that leads to the checkout

import json
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

import pipelines.jobs
from coral_core.bundle.catalog import read_bundle
from coral_core.zoo.portraits.lexicon import LEXICON
from pipelines.bench.prompts import SHIPPED, read_prompts
from pipelines.jobfile.load import load_job
from pipelines.report.page import render
from tasks.artifacts.bundled import SHIPPED as EDITORS
from tasks.artifacts.stored import read_notes

bundle = read_bundle("portraits")
(command,) = distribution("coral-edit").entry_points.select(group="console_scripts")
print(json.dumps({
    "packages": {name: import_module(name).__file__ for name in ("coral_core", "manifests", "pipelines", "tasks")},
    "command": [command.name, callable(command.load())],
    "bundle": bundle.digests,
    "editors": {path.stem: read_notes(path.read_bytes())["steps"] for path in (bundle.path / EDITORS).iterdir()},
    "lexicon": len(LEXICON),
    "page": render("base.html", plan={"code_version": "here"}),
    "jobs": [load_job(path).name for path in Path(pipelines.jobs.__path__[0]).glob("*.yaml")],
    "prompts": [len(read_prompts(name)) for name in SHIPPED],
}))
"""
"""Reads one thing of every kind that is no Python, as the code itself does."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the installed tools from a copy, so that the checkout gets no build folder."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / "source")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *build, "--wheel-dir", ".", "./source"], check=True, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    target = wheel.parent / "target"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="module")
def found(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What a process finds that can import the wheel and the libraries, and not the checkout."""
    libraries = sysconfig.get_path("purelib")
    command = [sys.executable, "-I", "-S", "-c", USE, str(unpacked), libraries]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(command, capture_output=True, text=True, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.iterdir()) == []
    return dict(json.loads(done.stdout))


def test_a_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    source = wheel.parent / "source"
    wanted = {path for name in PACKAGES for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts}
    names = {path.relative_to(ROOT).as_posix() for path in wanted if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert packed == names
        different = [name for name in packed if archive.read(name) != (source / name).read_bytes()]
    assert not different


def test_what_is_imported_lies_in_the_wheel(found: Mapping[str, Any], unpacked: Path) -> None:
    assert found["packages"] == {name: str(unpacked / name / "__init__.py") for name in PACKAGES}


def test_the_command_is_declared(found: Mapping[str, Any]) -> None:
    assert found["command"] == ["coral", True]


def test_weights_and_editors_are_those_of_the_checkout(found: Mapping[str, Any]) -> None:
    bundle = read_bundle("portraits")
    assert found["bundle"] == bundle.digests
    assert found["editors"].keys() == {path.stem for path in (bundle.path / "editors").iterdir()}
    assert all(steps > 0 for steps in found["editors"].values())


def test_texts_are_read(found: Mapping[str, Any]) -> None:
    assert found["lexicon"] > 0 and all(found["prompts"])
    assert "coral here" in found["page"] and "<style>" in found["page"]
    assert len(found["jobs"]) == len(list((ROOT / "pipelines" / "jobs").glob("*.yaml"))) > 0
