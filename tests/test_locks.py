"""The image gets the packages that a run needs, in the tested versions, and none that only developers need."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [Requirement(each) for each in SETTINGS["project"]["dependencies"]]
DEVELOPMENT = [Requirement(each) for each in SETTINGS["dependency-groups"]["dev"]]
TO_BUILD = {canonicalize_name(Requirement(each).name) for each in SETTINGS["build-system"]["requires"]}
"""The image builds the project itself, without build isolation."""


@cache
def locked(name: str) -> dict[str, set[str]]:
    """Package -> its versions for any platform. Every one of them has hashes."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / name).read_text().strip()):
        assert "--hash=sha256:" in block, block
        requirement = Requirement(block.splitlines()[0].removesuffix("\\").strip())
        found.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier).removeprefix("=="))
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
@pytest.mark.parametrize("requirement", RUNTIME, ids=str)
def test_what_a_run_needs_is_locked_in_a_version_that_serves(name: str, requirement: Requirement) -> None:
    versions = locked(name)[canonicalize_name(requirement.name)]
    assert versions and all(version in requirement.specifier for version in versions)


@pytest.mark.parametrize("requirement", DEVELOPMENT, ids=str)
def test_what_developers_need_is_in_their_lock_only(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    assert name in locked("requirements-dev.lock")
    assert name not in locked("requirements.lock") or name in TO_BUILD


def test_what_builds_the_project_is_there_without_isolation() -> None:
    assert locked("requirements.lock").keys() >= TO_BUILD


def test_developers_test_the_versions_that_run() -> None:
    ours, all_of_them = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: all_of_them[name] for name in ours} == ours


def test_the_image_installs_the_lock_to_run() -> None:
    text = (ROOT / "infra" / "Dockerfile").read_text()
    assert set(re.findall(r"requirements\S*\.lock", text)) == {"requirements.lock"}
    assert "--require-hashes -r requirements.lock" in text


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_no_place_to_install_from(name: str) -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links", (ROOT / name).read_text())
