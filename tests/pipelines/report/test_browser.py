"""The page in a real headless Chromium, opened from a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from pipelines.report.gather import gather, page_of
from pipelines.report.heatmap import layer_sizes
from pipelines.report.page import save
from tests.pipelines.report.publishedrows import BROKEN, GOOD

TILES = ["source", "inversion", "edit", "mask", "difference"]
EDITS = 2


@pytest.fixture(scope="module")
def address(published: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    page = page_of(gather(published.store, published.plan))
    return save(tmp_path_factory.mktemp("page") / "index.html", page).as_uri()


def shown(page: Page, edit: int = 0) -> list[str]:
    """Keys of the visible samples, in their order."""
    keys: list[str] = (
        page.locator("section.edit")
        .nth(edit)
        .locator("figure.sample:visible")
        .evaluate_all("figures => figures.map(figure => figure.dataset.key)")
    )
    return keys


def control(page: Page, name: str) -> Locator:
    return page.locator(f"#controls [name={name}]")


def values(page: Page, score: str) -> list[float]:
    found: list[float] = (
        page.locator("section.edit")
        .first.locator("figure.sample:visible")
        .evaluate_all(f"figures => figures.filter(f => '{score}' in f.dataset).map(f => Number(f.dataset['{score}']))")
    )
    return found


def test_it_opens_on_the_best_the_median_the_worst_and_some_at_random(opened: Callable[..., Page]) -> None:
    page = opened()
    titles = page.locator("section.edit").first.locator(".group h4").all_inner_texts()
    assert titles == ["best", "median", "worst", "random", "no image"]
    found = values(page, "direction")
    assert found[0] == max(found) and found[4] == min(found)
    assert page.locator("output").inner_text() == f"{len(shown(page)) + len(shown(page, 1))} of 26 samples on this page"
    broken = page.evaluate("[...document.images].filter(image => !image.complete || !image.naturalWidth).length")
    assert broken == 0


def test_a_filter_shows_what_it_says(opened: Callable[..., Page]) -> None:
    page = opened()
    control(page, "status").select_option("rejected")
    assert len(shown(page)) == GOOD // 2 and shown(page, 1) == []
    assert page.locator("section.edit .none").nth(1).is_visible()
    control(page, "gate").select_option("min_direction")
    assert len(shown(page)) == GOOD // 2
    control(page, "status").select_option("undecodable")
    assert shown(page) == []
    control(page, "gate").select_option("")
    assert shown(page) == [BROKEN]
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("figure.sample:visible")).to_have_count(18)  # when the controls are reset
    assert len(shown(page)) == 9 and len(shown(page, 1)) == 9


def test_samples_are_found_by_key_edit_and_score(opened: Callable[..., Page]) -> None:
    page = opened()
    control(page, "key").fill("003-o'n")
    assert shown(page) == shown(page, 1) == ["003-O'Neil<b>"]
    control(page, "edit").select_option(label="tame")
    assert page.locator("section.edit:visible").count() == 1
    page.get_by_role("button", name="Reset").click()
    control(page, "order").select_option("down")
    ordered = values(page, "direction")
    assert ordered == sorted(ordered, reverse=True) and len(ordered) == GOOD
    control(page, "low").fill(str(ordered[4]))
    control(page, "high").fill(str(ordered[2]))
    assert values(page, "direction") == ordered[2:5]


def test_samples_are_ordered_by_any_score(opened: Callable[..., Page]) -> None:
    page = opened()
    page.locator("section.edit").first.get_by_role("button", name="inversion error").click()
    assert control(page, "score").input_value() == "inversion_error"
    assert page.locator("section.edit").first.locator(".group h4").all_inner_texts()[0] == "best"
    control(page, "order").select_option("up")
    found = values(page, "inversion_error")
    assert found == sorted(found) and len(found) == GOOD
    control(page, "order").select_option("key")
    assert shown(page) == sorted(shown(page))
    control(page, "score").select_option("area")
    control(page, "order").select_option("groups")
    assert page.locator("section.edit").first.locator(".group h4").all_inner_texts()[:3] == [
        "largest",
        "median",
        "smallest",
    ]


def test_it_is_used_with_the_keyboard_alone(opened: Callable[..., Page]) -> None:
    page = opened()
    before = shown(page)
    page.locator("figure.sample .open").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.locator("h2").inner_text() == before[0]
    assert dialog.locator("figcaption").all_inner_texts() == TILES
    assert dialog.get_by_text("number").is_visible()  # the caption in its labels
    page.keyboard.press("ArrowRight")
    assert dialog.locator("h2").inner_text() == before[1]
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.wait_for_function("key => document.activeElement.closest('.sample')?.dataset.key === key", arg=before[1])
    page.keyboard.press("Enter")
    assert dialog.locator("h2").inner_text() == before[1]  # the focus has moved too


def test_where_an_edit_acts_is_a_coloured_cell_per_layer_and_segment(opened: Callable[..., Page]) -> None:
    page = opened()
    table = page.get_by_role("table", name="hostile: mask by layer and segment")
    assert page.locator("table.heat").count() == 1  # the other edit has no regions
    heads = table.locator("thead th").all_inner_texts()
    assert heads[:2] == ["px", "mask"] and heads[-1] == "area"
    assert table.locator("tbody th").all_inner_texts() == [*map(str, layer_sizes(9)), "edit"]
    cells = table.locator("td.cell")
    assert cells.count() == 10 * len(heads[2:-1])
    values = [int(each) for each in cells.all_inner_texts()]
    colours = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).backgroundColor)")
    assert all(0 <= value <= 100 for value in values)
    assert colours[values.index(min(values))] != colours[values.index(max(values))]


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_and_hostile_text_does_nothing(
    opened: Callable[..., Page], width: int, scheme: Any
) -> None:
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "owned" not in page.title().split(":")[0][:5]
    assert page.evaluate("document.title") == page.title() != "owned"
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(251, 250, 248)",
            "dark": "rgb(20, 22, 24)",
        }[scheme]
    )


def test_without_script_all_samples_are_there(opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("figure.sample").count() == EDITS * (GOOD + 1)
    assert not page.locator("#controls").is_visible()
