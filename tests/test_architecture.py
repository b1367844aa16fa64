"""The page on the architecture agrees with the code: its files exist, and its table of imports is the tested one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_imports import ALLOWED

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    paths = r"\b(?:tasks|pipelines|manifests|coral_core|tests|infra)/[\w/]+\.\w+"
    named = set(re.findall(paths, (ROOT / page).read_text()))
    assert not {path for path in named if not (ROOT / path).exists()}


def test_every_folder_of_tasks_has_a_row_whose_files_are_there() -> None:
    rows = dict(re.findall(r"^\| `(\w+)/` \|.*\| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}
    for folder, files in rows.items():
        assert all((ROOT / "tasks" / folder / name).is_file() for name in re.findall(r"`(\w+\.py)`", files)), folder


@pytest.mark.parametrize("package", ["manifests", "tasks", "pipelines"])
def test_the_table_of_imports_is_the_one_that_is_tested(package: str) -> None:
    (block,) = re.findall(r"```text\n(manifests/   stores .*?)```", PAGE, re.DOTALL)
    (lines,) = re.findall(rf"^{package}/(.*?)(?=^\w|\Z)", block, re.MULTILINE | re.DOTALL)
    found: dict[str, set[str]] = {}
    for line in lines.splitlines():
        names, allowed = re.fullmatch(r"\s+((?:[\w.]+, )*[\w.]+)\s+(.*)", line).groups()  # type: ignore[union-attr]
        for name in names.split(", "):
            found[name.removesuffix(".py")] = set() if "nothing" in allowed else set(allowed.split(", "))
    prefix = f"{package}."
    expected = {
        unit.removeprefix(prefix): {other.removeprefix(prefix) for other in allowed}
        for unit, allowed in ALLOWED.items()
        if unit.startswith(prefix)
    }
    assert found == expected
