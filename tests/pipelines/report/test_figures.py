from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.report.figures import chosen_rows, edit_figures, failure_reasons
from tests.pipelines.report.publishedrows import row

EVERY = "(SELECT * FROM manifest)"


def test_a_histogram_holds_every_row_with_an_image_once(asking: Callable[..., Any]) -> None:
    rows = [row(n) for n in range(300)] + [row(n, status="rejected", gate="min_direction") for n in range(300, 340)]
    broken = [row(n, status="undecodable", image_uri=None, direction=None) for n in range(400, 405)]
    found = edit_figures(asking([*rows, *broken]), EVERY, {})["e-1"]
    histogram = found.histograms["direction"]
    assert (sum(histogram.passed), sum(histogram.rejected)) == (300, 40)
    assert dict(found.statuses) == {"ok": 300, "rejected": 40, "undecodable": 5}
    assert dict(found.gates) == {"min_direction": 40}
    assert histogram.low <= 0 and histogram.high >= 0.339
    assert found.quantiles["direction"].median == pytest.approx(0.17, abs=0.005)


def test_edits_share_their_ends_and_thresholds_lie_between_them(asking: Callable[..., Any]) -> None:
    rows = [row(n, edit) for edit, most in (("a-1", 10), ("b-1", 500)) for n in range(most)]
    found = edit_figures(asking(rows), EVERY, {"direction": [-0.7]})
    one, other = (found[edit].histograms["direction"] for edit in ("a-1", "b-1"))
    assert (one.low, one.high) == (other.low, other.high)
    assert one.low <= -0.7 and one.high >= 0.499


def test_scores_that_are_no_numbers_are_left_out(asking: Callable[..., Any]) -> None:
    rows = [row(1), row(2, direction=math.nan), row(3, direction=None), row(4, layer_areas=None)]
    found = edit_figures(asking(rows), EVERY, {})["e-1"]
    assert sum(found.histograms["direction"].passed) == 2
    assert [layer.mean for layer in found.layers] == pytest.approx([0.0, 0.5, 1.0])


def test_what_others_published_beside_it_does_not_count(asking: Callable[..., Any]) -> None:
    ask = asking([row(1), row(2, request_id="another's"), row(3, "other-2")])
    rows = chosen_rows(ask, ["e-1"], frozenset({"r"}))
    assert [each["key"] for each in ask(f"SELECT key FROM {rows}").to_pylist()] == ["00001"]
    assert ask(f"SELECT * FROM {chosen_rows(ask, [], frozenset())}").num_rows == 0


def test_reasons_are_counted_over_all_edits(asking: Callable[..., Any]) -> None:
    broken = [
        row(n, edit, status="undecodable", reason=reason, image_uri=None)
        for edit in ("a-1", "b-1")
        for n, reason in enumerate(["it's cut", "it's cut", None])
    ]
    first, second = failure_reasons(asking([row(9), *broken]), EVERY)
    assert (first.reason, first.rows, first.edits, first.key) == ("it's cut", 4, 2, "00000")
    assert (second.reason, second.rows) == ("", 2)
