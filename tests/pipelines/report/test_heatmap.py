from __future__ import annotations

import pytest

from pipelines.report.figures import LayerArea
from pipelines.report.heatmap import heat_map, highest_area, layer_sizes
from tasks.gallery.layer_maps import LayerMap, MeanLayerMask, Segment
from tasks.gallery.missing import Missing
from tasks.images.thumbnails import Tile

AREAS = [LayerArea(mean, mean / 2, 1.5 * mean) for mean in (0.1, 0.2, 0.4)]
SEEN = LayerMap(
    segments=(Segment("hair", 0.2, 3), Segment("hat", 0.1, 1)),
    layers=tuple(MeanLayerMask(size, (0.5, 0.25), Tile(b"x", width=size, height=size)) for size in (4, 8, 8)),
    whole=MeanLayerMask(64, (0.9, 0.1), Tile(b"x", width=64, height=64)),
    samples=3,
)


def test_there_is_a_row_for_every_layer_and_one_for_all_of_them() -> None:
    found = heat_map(AREAS, SEEN, 0.8)
    assert found is not None and [row.label for row in found.rows] == ["4", "8", "8", "mask"]
    assert all(len(row.cells) == len(found.segments) for row in found.rows)
    bars = [row.bar for row in found.rows if row.bar is not None]
    assert [bar.mean for bar in bars] == pytest.approx([12.5, 25, 50])
    assert [(bar.p5, bar.p95) for bar in bars] == [pytest.approx((each / 2, each * 1.5)) for each in (12.5, 25, 50)]


def test_without_a_map_the_areas_of_all_rows_are_left_and_the_reason() -> None:
    found = heat_map(AREAS, Missing("no bundle"), 0.8)
    assert found is not None and found.missing == "no bundle"
    assert [(row.label, row.cells) for row in found.rows] == [("4", ()), ("8", ()), ("8", ())]


def test_an_edit_without_regions_has_none_and_does_not_stretch_the_bars_of_others() -> None:
    everywhere = [LayerArea(1.0, 1.0, 1.0)] * 3
    assert heat_map(everywhere, SEEN, 1.0) is None and heat_map([], SEEN, 1.0) is None
    assert highest_area([everywhere, AREAS]) == pytest.approx(0.6)
    assert highest_area([everywhere]) == 1.0


def test_layers_have_the_sizes_of_a_stylegan2_where_nothing_better_is_known() -> None:
    assert layer_sizes(9) == [4, 8, 8, 16, 16, 32, 32, 64, 64]
    assert layer_sizes(17)[-1] == 1024 and layer_sizes(2) == [None, None]
