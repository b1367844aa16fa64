from __future__ import annotations

import pytest

from pipelines.report.charts import HEIGHT, MARGIN, WIDTH, histogram_chart, shares, strength_chart
from pipelines.report.figures import Histogram


def test_bars_are_as_high_as_their_counts() -> None:
    chart = histogram_chart(Histogram(0.0, 1.0, (4, 0, 2, 8), (0, 1, 2, 0)), {})
    areas = {(box.kind, round(box.x)): box.height for box in chart.boxes}
    assert areas["ok", 180] == pytest.approx(2 * areas["ok", 0]) == pytest.approx(4 * areas["ok", 120])
    assert areas["rejected", 120] == areas["ok", 120]
    assert all(box.y >= 0 and box.y + box.height <= HEIGHT for box in chart.boxes)
    assert sum(box.x >= 120 and box.x < 180 for box in chart.boxes) == 2  # one above the other


def test_a_gate_is_a_line_at_its_threshold_and_shades_what_it_rejects() -> None:
    chart = histogram_chart(Histogram(-1.0, 1.0, (1, 1), (0, 0)), {"min_area": 0.0, "max_area": 0.5})
    assert [(gate.x, gate.label) for gate in chart.gates] == [
        (WIDTH / 2, "min_area 0"),
        (WIDTH * 3 / 4, "max_area 0.5"),
    ]
    assert [(shade.x, shade.x + shade.width) for shade in chart.shades] == [(0, WIDTH / 2), (WIDTH * 3 / 4, WIDTH)]


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.9), (0.0, 2e-5), (0.985, 1.0), (-1.0, 1.0), (0.0, 0.1)])
def test_ticks_are_few_short_and_in_their_place(low: float, high: float) -> None:
    ticks = histogram_chart(Histogram(low, high, (1,), (0,)), {}).ticks
    assert 2 <= len(ticks) <= 6
    for tick in ticks:
        assert tick.x == pytest.approx((float(tick.label) - low) / (high - low) * WIDTH, abs=0.01)
        assert len(tick.label) <= 6


def test_a_strength_chart_shows_every_sample_and_the_medians_by_strength() -> None:
    chart = strength_chart({0.5: [0.0, 0.1, 0.2], 1.0: [0.1, 0.3, 1.0]}, {"min_direction": 0.5})
    assert chart.ends == (0.0, 1.0) and len(chart.points) == 6
    assert [tick.label for tick in chart.ticks] == ["0.5", "1"]
    assert [point.x for point in chart.medians] == [tick.x for tick in chart.ticks]
    assert [point.title for point in chart.medians] == ["median 0.1", "median 0.3"]
    heights = {point.title: point.y for point in chart.points}
    assert heights["0"] > heights["0.1"] > heights["0.3"] > chart.gates[0].y > heights["1"]
    assert all(MARGIN < point.x < WIDTH and 0 < point.y < HEIGHT for point in chart.points)


def test_a_score_that_is_the_same_everywhere_is_a_level_line() -> None:
    chart = strength_chart({1.0: [1.0, 1.0], 2.0: [1.0, 1.0]}, {})
    assert len({point.y for point in (*chart.points, *chart.medians)}) == 1


def test_shares_fill_the_bar_good_ones_first() -> None:
    boxes = shares({"undecodable": 1, "rejected": 1, "ok": 2})
    assert [(box.kind, box.x, box.width) for box in boxes] == [
        ("ok", 0, WIDTH / 2),
        ("rejected", WIDTH / 2, WIDTH / 4),
        ("bad", WIDTH * 3 / 4, WIDTH / 4),
    ]
