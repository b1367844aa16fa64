"""One output with good, rejected and broken samples, whose prompts, keys and labels are hostile to pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.query import Ask, query
from manifests.stores.open import open_store
from pipelines.jobfile.job import Job
from tests.pipelines.report.publishedrows import BROKEN, GOOD, HOSTILE, Published
from tests.tars import members_of, write_tar

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, bundle: Path, run_job: Callable[..., Any]) -> Published:
    """Two edits of 13 samples, one of them no image. The first edit has a gate that passes half of the rows."""
    folder = tmp_path_factory.mktemp("hostile")
    mapped = {"start": "regression", "embedding": 0, "clip": 2, "directional": 3, "fit": {"steps": 2}}
    members = [member for index in range(GOOD) for member in members_of(index, f"{index:03d}-O'Neil<b>")]
    write_tar(folder / "in.tar", [*members, (f"{BROKEN}.png", b"no image"), ("000-O'Neil<b>.note", b"")])
    job: dict[str, Any] = {
        "name": HOSTILE,
        "input": str(folder / "in.tar"),
        "output": str(folder / "out"),
        "bundle": str(bundle),
        "batch_size": 4,
        "fit_source": {"samples": 8},
        "max_failure_rate": 1.0,
        "edits": [
            {
                "id": "hostile",
                "target": HOSTILE,
                "source": f"no {HOSTILE}",
                "method": "coral-mapper-attention",
                "options": {**mapped, "difference": 0, "fit": {"steps": 2, "batch_size": 4}},
            },
            {"id": "tame", "target": "a smile", "method": "styleclip-mapper", "options": mapped},
        ],
    }
    plan, _ = run_job(Job.model_validate(job).spec())
    store = open_store(plan.output)
    middle = "SELECT median(direction) AS d FROM manifest WHERE edit LIKE 'hostile%' AND status = 'ok'"
    job["edits"][0]["gates"] = {"min_direction": query(store, middle).to_pylist()[0]["d"]}
    plan, _ = run_job(Job.model_validate(job).spec())
    return Published(store, plan)


@pytest.fixture
def asking() -> Iterator[Callable[[Sequence[Mapping[str, Any]]], Ask]]:
    """SQL over a manifest with the given rows; missing columns are null."""
    with duckdb.connect(":memory:") as connection:

        def over(rows: Sequence[Mapping[str, Any]]) -> Ask:
            full = [{**dict.fromkeys(MANIFEST_SCHEMA.names), **row} for row in rows]
            connection.register("manifest", pa.Table.from_pylist(full, schema=MANIFEST_SCHEMA))
            return lambda sql: connection.sql(sql).to_arrow_table()

        yield over


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a real browser. Without one these tests fail, because only a browser shows that a page works."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            f"none of {', '.join(CHROMIUM)} is installed; "
            "on Debian: apt-get update && apt-get install -y --no-install-recommends chromium"
        )
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), headless=True)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page at `address`; at the end there were no console messages, and only the page was requested."""
    said: list[str] = []
    asked: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        said.append(f"{message.type}: {message.text}")

    def ask(request: Request) -> None:
        if not request.url.startswith("data:"):
            asked.append(request.url)

    def visit(**options: Any) -> Page:
        page = browser.new_page(**options)
        page.on("console", complain)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", ask)
        page.goto(address)
        return page

    yield visit
    assert said == [] and asked == [address]
