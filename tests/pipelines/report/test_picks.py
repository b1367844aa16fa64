from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pipelines.report.figures import edit_figures
from pipelines.report.picks import FAILED, MAX_PICKS, PER_ROLE, RANDOM, Pick, picks
from pipelines.report.score_labels import SCORES
from tests.pipelines.report.publishedrows import row

EVERY = "(SELECT * FROM manifest)"


def picked(ask: Any) -> dict[str, list[Pick]]:
    return picks(ask, EVERY, edit_figures(ask, EVERY, {}))


def keys(found: list[Pick], role: str, score: str = "direction") -> set[str]:
    return {pick.row["key"] for pick in found if pick.roles.get(score) == role}


def test_the_ends_and_the_middle_of_a_score_are_chosen(asking: Callable[..., Any]) -> None:
    found = picked(asking([row(n) for n in range(1001)]))["e-1"]
    assert keys(found, "top") == {"01000", "00999"} and keys(found, "bottom") == {"00000", "00001"}
    assert len(keys(found, "middle")) == PER_ROLE
    assert all(480 <= int(key) <= 520 for key in keys(found, "middle"))
    assert sum(pick.random for pick in found) == RANDOM


def test_a_page_stays_bounded_however_many_rows_there_are(asking: Callable[..., Any]) -> None:
    rows = [
        row(n, edit, identity=-n / 3000, outside=n * 7 % 2999 / 3000, area=n * 11 % 2999 / 3000, inversion_error=0.1)
        for edit in ("a-1", "b-1")
        for n in range(3000)
    ]
    broken = [row(n, "a-1", status="failed", image_uri=None) for n in range(4000, 4100)]
    found = picked(asking([*rows, *broken]))
    assert len(found["b-1"]) == MAX_PICKS
    assert len(found["a-1"]) == MAX_PICKS + FAILED
    assert all(len(keys(found["b-1"], "top", score)) == PER_ROLE for score in SCORES if score != "inversion_error")


def test_edits_have_the_same_random_samples(asking: Callable[..., Any]) -> None:
    found = picked(asking([row(n, edit) for edit in ("a-1", "b-1") for n in range(500)]))
    one, other = ({pick.row["key"] for pick in found[edit] if pick.random} for edit in ("a-1", "b-1"))
    assert one == other and len(one) == RANDOM


def test_few_rows_are_chosen_once_each(asking: Callable[..., Any]) -> None:
    found = picked(asking([row(1), row(2, direction=math.nan), row(3, status="rejected")]))["e-1"]
    assert sorted(pick.row["key"] for pick in found) == ["00001", "00002", "00003"]


def test_without_any_image_only_failures_are_chosen(asking: Callable[..., Any]) -> None:
    nothing = {"image_uri": None, "row_group": None, "row": None, "direction": None}
    found = picked(asking([row(n, status="undecodable", **nothing) for n in range(9)]))["e-1"]
    assert [pick.row["status"] for pick in found] == ["undecodable"] * FAILED
    assert picked(asking([])) == {}
