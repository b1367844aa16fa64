"""A preview in a real headless Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pipelines.interactive.preview import PreviewOptions, preview
from pipelines.jobfile.job import Job
from pipelines.report.page import save
from tests.pipelines.report.publishedrows import HOSTILE
from tests.tars import members_of, write_tar

SAMPLES = 4
SHOWN = ["source", "inversion", "strength 0.5", "strength 1", "strength 1.5", "strength 2", "mask", "difference"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> str:
    folder = tmp_path_factory.mktemp("preview")
    members = [member for index in range(SAMPLES) for member in members_of(index, f"{index:03d}-O'Neil<b>")]
    write_tar(folder / "in.tar", members)
    mapped = {"start": "regression", "embedding": 0, "clip": 2, "directional": 3}
    edits = [
        {
            "id": "hostile",
            "target": HOSTILE,
            "method": "coral-mapper-attention",
            "options": {**mapped, "difference": 0},
            "gates": {"max_outside": 0.0},
        },
        {"id": "tame", "target": "a smile", "method": "styleclip-mapper", "options": mapped},
    ]
    options = {"input": str(folder / "in.tar"), "output": str(folder / "out"), "bundle": str(bundle), "batch_size": 4}
    job = Job.model_validate({"name": HOSTILE, "edits": edits, "fit_source": {"samples": 8}, **options})
    page = preview(job, PreviewOptions(samples=SAMPLES, steps=2), lambda line: None)
    return save(folder / "preview.html", page).as_uri()


def keys(page: Page, edit: int = 0) -> list[str]:
    found: list[str] = (
        page.locator("section.edit")
        .nth(edit)
        .locator("tr.sample:visible")
        .evaluate_all("rows => rows.map(row => row.dataset.key)")
    )
    return found


def scores(page: Page, score: str) -> list[float]:
    rows = page.locator("section.edit").first.locator("tr.sample:visible")
    found: list[float] = rows.evaluate_all(f"rows => rows.map(row => Number(row.dataset['{score}']))")
    return found


def test_samples_are_ordered_filtered_and_enlarged(opened: Callable[..., Page]) -> None:
    page = opened()
    assert len(keys(page)) == len(keys(page, 1)) == SAMPLES and keys(page) == sorted(keys(page))
    page.locator("section.edit").first.get_by_role("button", name="change off mask").click()
    page.locator("#controls [name=order]").select_option("down")
    ordered = scores(page, "outside")
    assert ordered == sorted(ordered, reverse=True) and len(set(ordered)) > 1
    page.locator("#controls [name=high]").fill(str(ordered[1]))
    assert scores(page, "outside") == ordered[1:]
    page.get_by_role("button", name="Reset").click()
    page.locator("#controls [name=gate]").select_option("max_outside")
    assert len(keys(page)) == SAMPLES and keys(page, 1) == []
    assert page.locator("section.edit .none").nth(1).is_visible()
    page.locator("#controls [name=gate]").select_option("")
    page.locator("#controls [name=edit]").select_option(label="tame")
    assert page.locator("section.edit:visible").count() == 1
    assert page.locator("output").inner_text().startswith(f"{SAMPLES} of {2 * SAMPLES} samples")
    page.locator("section.edit:visible .open").first.click()
    assert page.get_by_role("dialog").locator("figcaption").all_inner_texts() == SHOWN
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize("width", [360, 1440])
def test_it_fits_every_width_and_hostile_text_does_nothing(opened: Callable[..., Page], width: int) -> None:
    page = opened(viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() != "owned"
