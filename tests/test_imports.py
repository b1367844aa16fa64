"""Allowed imports: no cycles among folders or files, one place for each SDK, and no measuring code in a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
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
"""Between the packages, where nothing below is narrower."""

ALLOWED_IMPORTS = """
manifests.stores:
manifests.parquet: manifests.stores
manifests.commit: manifests.parquet manifests.stores
manifests.table_files: manifests.commit manifests.parquet manifests.stores
manifests.table: manifests.table_files manifests.parquet manifests.stores
manifests.table_preflight: manifests.stores
manifests.query: manifests.table manifests.stores
manifests.selection: manifests.query manifests.table manifests.stores

coral_core.types:
coral_core.stages:
coral_core.precision:
coral_core.ops:
coral_core.nets: coral_core.ops coral_core.types
coral_core.clip: coral_core.ops coral_core.types
coral_core.losses: coral_core.types
coral_core.composite: coral_core.types
coral_core.bundle: coral_core.clip coral_core.nets
coral_core.inversion: coral_core.bundle coral_core.types
coral_core.scoring: coral_core.bundle coral_core.types
coral_core.fit: coral_core.inversion coral_core.precision coral_core.stages coral_core.types
coral_core.editors.source_cache: coral_core.inversion coral_core.types
coral_core.editors.latent: coral_core.fit coral_core.precision coral_core.inversion coral_core.bundle coral_core.nets
coral_core.editors.regions: coral_core.editors.source_cache coral_core.bundle coral_core.nets coral_core.ops coral_core.types
coral_core.editors.limits: coral_core.editors.regions coral_core.losses coral_core.nets coral_core.types
coral_core.editors.wishes: coral_core.types
coral_core.editors.base: coral_core.editors.wishes coral_core.editors.limits coral_core.fit coral_core.stages coral_core.bundle coral_core.types
coral_core.editors.transport: coral_core.editors.wishes coral_core.editors.base coral_core.editors.limits coral_core.fit coral_core.inversion coral_core.precision coral_core.bundle coral_core.nets coral_core.types
coral_core.editors.clipinverter: coral_core.editors.transport coral_core.editors.wishes coral_core.editors.regions coral_core.editors.base coral_core.editors.limits coral_core.editors.latent coral_core.editors.source_cache coral_core.inversion coral_core.bundle coral_core.clip coral_core.losses coral_core.nets coral_core.stages coral_core.types
coral_core.editors.spec: coral_core.editors.base coral_core.fit coral_core.bundle coral_core.types
coral_core.editors.coral: coral_core.editors.transport coral_core.editors.base coral_core.editors.limits coral_core.editors.regions coral_core.editors.latent coral_core.editors.source_cache coral_core.fit coral_core.inversion coral_core.bundle coral_core.losses coral_core.stages coral_core.types
coral_core.editors.styleclip: coral_core.editors.transport coral_core.editors.coral coral_core.editors.base coral_core.editors.limits coral_core.editors.latent coral_core.fit coral_core.inversion coral_core.precision coral_core.bundle coral_core.losses coral_core.types
coral_core.editors: coral_core.editors.transport coral_core.editors.wishes coral_core.editors.styleclip coral_core.editors.coral coral_core.editors.spec coral_core.editors.clipinverter coral_core.editors.base coral_core.editors.limits coral_core.editors.regions coral_core.editors.latent coral_core.fit coral_core.stages coral_core.types
coral_core.zoo: coral_core.precision coral_core.bundle coral_core.nets coral_core.clip coral_core.ops

tasks.spec:
tasks.inputs: tasks.spec
tasks.images: tasks.spec
tasks.shards: tasks.inputs tasks.images tasks.spec
tasks.artifacts: tasks.shards tasks.inputs tasks.images tasks.spec
tasks.export: tasks.shards tasks.inputs tasks.spec
tasks.worker: tasks.artifacts tasks.shards tasks.inputs tasks.images tasks.spec
tasks.plan: tasks.artifacts tasks.shards tasks.inputs tasks.spec
tasks.cluster: tasks.worker tasks.artifacts tasks.shards tasks.spec
tasks.publish: tasks.plan tasks.shards tasks.inputs tasks.spec
tasks.gallery: tasks.plan tasks.worker tasks.artifacts tasks.shards tasks.inputs tasks.images tasks.spec
tasks.run: tasks.cluster tasks.publish tasks.plan tasks.worker tasks.artifacts tasks.shards tasks.spec
tasks.estimate: tasks.run tasks.cluster tasks.publish tasks.plan tasks.artifacts tasks.shards tasks.inputs tasks.spec

pipelines.jobfile:
pipelines.report: pipelines.jobfile
pipelines.bench: pipelines.jobfile
pipelines.flow: pipelines.report pipelines.jobfile
pipelines.interactive: pipelines.report pipelines.jobfile
pipelines.cli: pipelines.flow pipelines.interactive pipelines.bench pipelines.report pipelines.jobfile
pipelines.demo: pipelines.cli pipelines.flow pipelines.jobfile
"""  # noqa: E501  one line per unit
"""Each folder or file, and which others of its package it may import; a line names only lines above it.

coral_core/ and coral_core/editors/ hold files that depend on different folders, so their files have lines of their own.
"""

ALLOWED: Mapping[str, Sequence[str]] = {
    unit: allowed.split() for unit, _, allowed in (line.partition(":") for line in ALLOWED_IMPORTS.splitlines() if line)
}

SDKS = {
    "ray": {"tasks/cluster/"},
    "prefect": {"tasks/run/prefect_tasks.py", "pipelines/flow/", "pipelines/report/"},
    "webdataset": {"tasks/inputs/archive.py", "tasks/inputs/tar_headers.py"},
    "PIL": {"tasks/images/", "coral_core/zoo/"},
    "pyarrow": {"manifests/"},
    "deltalake": {"manifests/table.py", "manifests/table_preflight.py"},
    "duckdb": {"manifests/query.py", "manifests/parquet/many_objects.py"},
    "boto3": {"manifests/stores/s3.py", "manifests/stores/s3_clients.py"},
    "botocore": {"manifests/stores/s3.py", "manifests/stores/s3_clients.py"},
    "open_clip": {"coral_core/clip.py", "coral_core/zoo/"},
    "torch": {"coral_core/", "tasks/", "pipelines/demo.py", "pipelines/bench/"},
    "typer": {"pipelines/"},
    "jinja2": {"pipelines/report/"},
    "markupsafe": {"pipelines/report/"},
    "rich": {"pipelines/"},
    "pydantic": {"pipelines/"},
}
"""Where each library may be imported; a name ending in / is a folder."""

RUN_MODULES = (
    "pipelines.flow.flow",
    "pipelines.jobfile.job",
    "pipelines.cli.tables",
    "tasks.cluster.actor",
    "tasks.run.prefect_tasks",
)
COMMAND_FILES = ("app", "bench", "edit", "manifest", "report", "zoo")
"""Files of pipelines/cli/ that are imported before a command is chosen."""


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


@cache
def modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in sources())


@cache
def imports_of(path: Path, *, at_the_top: bool = False) -> frozenset[str]:
    """Dotted names of the modules that a file imports, also inside functions unless at_the_top."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if at_the_top else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & modules() if whole <= modules() else {str(node.module), *(whole & modules())}
    return frozenset(found)


def unit_of(module: str) -> str:
    """The most precise line of the table that a module belongs to; its package, for a file that has none."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in ALLOWED), parts[0])


def unit_imports(unit: str) -> dict[str, str]:
    """Other units of the same package that a unit imports, and where."""
    found = {}
    for path in sources():
        if unit_of(module_of(path)) != unit:
            continue
        for name in imports_of(path):
            other = unit_of(name)
            if name.split(".")[0] == unit.split(".")[0] and other != unit:
                found[other] = f"{path.relative_to(ROOT)} imports {name}"
    return found


@pytest.mark.parametrize("unit", ALLOWED)
def test_imports_are_only_those_that_the_line_names(unit: str) -> None:
    forbidden = {other: where for other, where in unit_imports(unit).items() if other not in ALLOWED[unit]}
    assert not forbidden, f"{unit} may import {ALLOWED[unit]}: {forbidden}"


def test_every_line_of_the_table_only_names_lines_above_it() -> None:
    """So no import that the table allows runs upwards, and there is no circle among units."""
    seen: set[str] = set()
    for unit, allowed in ALLOWED.items():
        assert set(allowed) <= seen, unit
        seen.add(unit)


def test_every_file_belongs_to_a_line() -> None:
    packages = {f"{package}" for package in PACKAGES}
    assert {module for module in modules() if unit_of(module) in PACKAGES} <= packages
    assert set(ALLOWED) <= {unit_of(module) for module in modules()}, "a line of the table names nothing"


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {module_of(path): imports_of(path) & modules() - {module_of(path)} for path in sources()}
    TopologicalSorter(graph).prepare()  # CycleError names the circle


@pytest.mark.parametrize("folder", ["", *sorted({m.rpartition(".")[0] for m in modules() if "." in m})])
def test_no_folders_import_each_other_in_a_circle(folder: str) -> None:
    """Among what lies directly in one folder, each sub-folder taken as one."""

    def inside(module: str) -> str | None:
        prefix = f"{folder}." if folder else ""
        return module.removeprefix(prefix).split(".")[0] if module.startswith(prefix) else None

    graph: dict[str, set[str]] = {}
    for path in sources():
        here = inside(module_of(path))
        if here:
            others = {inside(name) for name in imports_of(path) & modules()}
            graph.setdefault(here, set()).update(other for other in others if other and other != here)
    if folder in ("coral_core", "coral_core.editors"):  # where single files have lines; the test above covers them
        folders = {name for name in graph if (ROOT / folder.replace(".", "/") / name).is_dir()}
        graph = {name: others & folders for name, others in graph.items() if name in folders}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_and_libraries_are_imported_where_they_may_be(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    for name in imports_of(path):
        top = name.split(".")[0]
        if top in PACKAGES:
            assert top in MAY_IMPORT[place.split("/")[0]], f"{place} imports {name}"
        homes = SDKS.get(top)
        assert homes is None or any(place == home or (home[-1] == "/" and place.startswith(home)) for home in homes), (
            f"{place} imports {name}, which belongs into {sorted(homes)}"
        )


def test_no_file_is_longer_than_320_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in [*sources(), *(ROOT / "tests").rglob("*.py")]}
    assert not {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > 320}


def test_only_measuring_and_training_imports_the_embedded_domain() -> None:
    users = {
        module_of(path) for path in sources() if any(name.startswith("coral_core.zoo") for name in imports_of(path))
    }
    outside = {user for user in users if not user.startswith(("coral_core.zoo", "pipelines.bench"))}
    assert outside == {"pipelines.cli.demo_data", "pipelines.cli.zoo", "pipelines.demo"}


def test_a_run_imports_nothing_that_draws_or_measures() -> None:
    reached: set[str] = set()
    waiting = list(RUN_MODULES)
    while waiting:
        module = waiting.pop()
        if module in reached or module not in modules():
            continue
        reached.add(module)
        place = ROOT / module.replace(".", "/")
        waiting.extend(imports_of(place / "__init__.py" if place.is_dir() else place.with_suffix(".py")))
    assert {"tasks.worker.edit", "coral_core.editors", "coral_core.editors.coral.coral"} <= reached
    assert not [module for module in reached if module.startswith("coral_core.zoo")]


@pytest.mark.parametrize("name", COMMAND_FILES)
def test_the_command_line_imports_only_typer_before_a_command_is_chosen(name: str) -> None:
    commands = {f"pipelines.cli.{each}" for each in COMMAND_FILES}
    at_the_top = imports_of(ROOT / "pipelines" / "cli" / f"{name}.py", at_the_top=True) - commands
    standard = {"__future__", "collections", "json", "os", "pathlib", "sys", "typing"}
    assert {each.split(".")[0] for each in at_the_top} <= standard | {"typer"}
