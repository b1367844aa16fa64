"""Who may import whom: one SDK, one door; and nothing that measures or draws is on the path of a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("coral_core", "manifests", "tasks", "pipelines")

MAY_IMPORT = {
    "coral_core": {"coral_core"},
    "manifests": {"manifests"},
    "tasks": {"tasks", "manifests", "coral_core"},
    "pipelines": {"pipelines", "tasks", "manifests", "coral_core"},
}
DOORS = {
    "ray": {"tasks/actors.py", "tasks/cluster.py", "tasks/member.py", "tasks/pool.py"},
    "prefect": {"tasks/steps.py", "pipelines/"},
    "webdataset": {"tasks/shards.py"},
    "PIL": {"tasks/images.py", "coral_core/zoo/"},
    "pyarrow": {"manifests/"},
    "duckdb": {"manifests/query.py"},
    "boto3": {"manifests/s3.py"},
    "botocore": {"manifests/s3.py"},
    "open_clip": {"coral_core/clip.py", "coral_core/zoo/"},
    "torch": {"coral_core/", "tasks/", "pipelines/showcase.py", "pipelines/bench/"},
    "typer": {"pipelines/"},
    "jinja2": {"pipelines/report/"},
    "markupsafe": {"pipelines/report/"},
    "rich": {"pipelines/"},
    "pydantic": {"pipelines/"},
}
"""Where each library may be imported; a name ending in / is a folder."""

DRAWING_AND_MEASURING = {
    f"coral_core.zoo.{name}"
    for name in (
        "attributes",
        "corpus",
        "domain",
        "fidelity",
        "judge",
        "legibility",
        "measure",
        "recipes",
        "second_judge",
    )
}
RUN_MODULES = ("pipelines.flows", "tasks.actors", "tasks.steps", "pipelines.job", "pipelines.tables")


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path, *, at_the_top: bool = False) -> set[str]:
    """Dotted names of the modules that a file imports, also inside functions unless at_the_top."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if at_the_top else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_and_through_one_door(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    for name in imports_of(path):
        top = name.split(".")[0]
        if top in PACKAGES:
            assert top in MAY_IMPORT[place.split("/")[0]], f"{place} imports {name}"
        doors = DOORS.get(top)
        assert doors is None or any(place == door or (door[-1] == "/" and place.startswith(door)) for door in doors), (
            f"{place} imports {name}, which belongs into {sorted(doors)}"
        )


def test_a_run_imports_nothing_that_draws_or_measures() -> None:
    reached: set[str] = set()
    waiting = list(RUN_MODULES)
    while waiting:
        module = waiting.pop()
        place = ROOT / module.replace(".", "/")
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if module in reached or not path.exists():
            continue
        reached.add(module)
        waiting.extend(name for name in imports_of(path) if name.split(".")[0] in PACKAGES)
    assert {"tasks.work", "coral_core.editors", "coral_core.editors.coral"} <= reached
    assert not reached & DRAWING_AND_MEASURING


@pytest.mark.parametrize(
    "path",
    [
        "pipelines/cli.py",
        "pipelines/edit_cli.py",
        "pipelines/zoo_cli.py",
        "pipelines/bench/cli.py",
        "pipelines/report/cli.py",
    ],
)
def test_the_command_line_imports_only_typer_before_a_command_is_chosen(path: str) -> None:
    commands = {"pipelines.bench.cli", "pipelines.edit_cli", "pipelines.report.cli", "pipelines.zoo_cli"}
    imported = imports_of(ROOT / path, at_the_top=True)
    at_the_top = {name for name in imported if name not in commands and name.rpartition(".")[0] not in commands}
    standard = {"__future__", "collections", "json", "os", "pathlib", "sys", "typing"}
    assert {name.split(".")[0] for name in at_the_top} <= standard | {"typer"}
