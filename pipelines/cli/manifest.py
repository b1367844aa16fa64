"""Commands about the manifest: SQL on it, its history, the way back to an earlier version, and a check of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from datetime import datetime

Output = Annotated[str, typer.Argument(help="The output of a job: a folder or URL.")]


def query(
    output: Output,
    sql: Annotated[str, typer.Argument(help="One SELECT over the table `manifest`.")],
    form: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="Format of the result.")] = "table",
    version: Annotated[int | None, typer.Option(min=0, help="Of the manifest; the newest by default.")] = None,
    at: Annotated[
        str | None, typer.Option(help="The version of a moment, as 2026-05-01T06:00; UTC unless it says.")
    ] = None,
) -> None:
    """Query the manifest with SQL (DuckDB)."""
    from manifests.query import query as run_query
    from manifests.table import open_manifest, version_at
    from pipelines.cli.tables import write_rows
    from pipelines.jobfile.s3_environment import open_output
    from tasks.plan.status import expect_planned

    if version is not None and at is not None:
        raise ValueError("give --version or --at, not both")
    store = open_output(output)
    expect_planned(store)
    if at is not None:
        version = version_at(store, _moment(at))
    result = run_query(store, sql, open_manifest(store, version))
    write_rows(result.column_names, result.to_pylist(), form)


def history(
    output: Output,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest N versions.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, with the rules of each publish.")] = False,
) -> None:
    """Show the versions of the manifest: when, by which run, and what changed."""
    import json

    from manifests.table import history as versions_of
    from pipelines.cli.console import grid, show
    from pipelines.jobfile.s3_environment import open_output
    from tasks.plan.status import expect_planned

    store = open_output(output)
    expect_planned(store)
    versions = versions_of(store, limit)
    if as_json:
        print(json.dumps(versions, indent=1, default=str))
        return
    rows = []
    for each in versions:
        requests, changed = each.get("requests", {}), each.get("rows", {})
        counts = (requests.get(name, "") for name in ("published", "republished", "removed", "marked"))
        sizes = (changed.get(name, "") for name in ("added", "removed", "all"))
        by = str(each.get("run_id") or each.get("operation", "")).lower()
        rows.append((str(each["version"]), f"{each['time']:%Y-%m-%d %H:%M:%S}", by, *map(str, (*counts, *sizes))))
    columns = ("version", "UTC", "run", "new", "again", "removed", "marked", "rows added", "removed", "all")
    show(grid("versions of the manifest; requests (edits of shards), and rows", columns, rows))


def restore(
    output: Output,
    version: Annotated[int, typer.Option(min=1, help="The version to go back to.")],
) -> None:
    """Make an earlier version of the manifest the current one, as a new version. The next publish begins there."""
    from manifests.table import open_manifest
    from pipelines.jobfile.s3_environment import open_output
    from tasks.plan.status import expect_planned

    store = open_output(output)
    expect_planned(store)
    open_manifest(store).restore(version, {"run_id": f"restore of version {version}"})
    restored = open_manifest(store)
    print(f"version {restored.version} of the manifest is version {version}: {restored.rows} rows")


def verify(
    output: Output,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every object, and compare its digest.")] = False,
) -> None:
    """Check that the output holds what its commits and its manifest promise. Exit code 1 if it does not."""
    from pipelines.jobfile.s3_environment import open_output
    from tasks.plan.status import expect_planned
    from tasks.publish.verify import verify as check

    store = open_output(output)
    expect_planned(store)
    found = check(store, deep)
    print(*found.problems, sep="\n", end="\n" if found.problems else "")
    print(
        f"{found.commits} commits, {found.objects} objects {'read' if deep else 'listed'}, {found.rows} rows in the "
        f"manifest: {len(found.problems) or 'no'} problem{'s' * (len(found.problems) != 1)}"
    )
    raise typer.Exit(1 if found.problems else 0)


def _moment(text: str) -> datetime:
    """ISO 8601; UTC without a zone. ValueError for other text."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"--at {text!r} is no moment; give one such as 2026-05-01T06:00 or 2026-05-01T06:00+02:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
