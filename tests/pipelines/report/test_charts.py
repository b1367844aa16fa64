from __future__ import annotations

import pytest

from pipelines.report.charts import HEIGHT, WIDTH, histogram_chart, layer_sizes, layers_chart, shares
from pipelines.report.figures import Histogram, LayerArea


def test_bars_are_as_high_as_their_counts() -> None:
    chart = histogram_chart(Histogram(0.0, 1.0, (4, 0, 2, 8), (0, 1, 2, 0)), {})
    areas = {(box.kind, round(box.x)): box.height for box in chart.boxes}
    assert areas["ok", 180] == pytest.approx(2 * areas["ok", 0]) == pytest.approx(4 * areas["ok", 120])
    assert areas["rejected", 120] == areas["ok", 120]
    assert all(box.y >= 0 and box.y + box.height <= HEIGHT for box in chart.boxes)
    assert sum(box.x >= 120 and box.x < 180 for box in chart.boxes) == 2  # one upon the other


def test_a_gate_is_drawn_where_it_is_and_shades_what_it_turns_away() -> None:
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


def test_layers_have_the_sizes_of_a_stylegan2() -> None:
    assert layer_sizes(9) == [4, 8, 8, 16, 16, 32, 32, 64, 64]
    assert layer_sizes(17)[-1] == 1024
    chart = layers_chart([LayerArea(mean, mean / 2, 1.5 * mean) for mean in (0.1, 0.2, 0.4)], highest=0.6)
    assert [box.height for box in chart.boxes] == pytest.approx([HEIGHT / 6, HEIGHT / 3, HEIGHT * 2 / 3])
    assert [tick.label for tick in chart.ticks] == ["4", "8"]
    assert all(line.top < line.bottom for line in chart.whiskers)


def test_shares_fill_the_bar_good_ones_first() -> None:
    boxes = shares({"undecodable": 1, "rejected": 1, "ok": 2})
    assert [(box.kind, box.x, box.width) for box in boxes] == [
        ("ok", 0, WIDTH / 2),
        ("rejected", WIDTH / 2, WIDTH / 4),
        ("bad", WIDTH * 3 / 4, WIDTH / 4),
    ]
