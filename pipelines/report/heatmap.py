"""Where an edit acts: one row per convolution layer, from coarse to fine; one column per segment of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pipelines.report.figures import LayerArea
from tasks.gallery.layer_maps import LayerActs, LayerMap, Segment, has_regions
from tasks.gallery.missing import Missing
from tasks.images.thumbnails import Tile


@dataclass(frozen=True)
class Bar:
    """The area of one layer over all rows, and where it is drawn, 0 to 100 from left to right."""

    area: float  # mean, 0 to 1
    mean: float  # drawn
    early: float  # drawn: nine tenths of the rows lie from there
    late: float  # to there
    title: str


@dataclass(frozen=True)
class HeatRow:
    """One layer, or the edit's own mask."""

    label: str
    cells: tuple[float, ...]  # mean of the mask over the pixels of each segment; none where they are not known
    mask: Tile
    bar: Bar | None


@dataclass(frozen=True)
class HeatMap:
    """The table."""

    segments: tuple[Segment, ...]
    rows: tuple[HeatRow, ...]
    samples: int
    missing: str  # why there are no cells


def heat_map(areas: Sequence[LayerArea], found: LayerMap | Missing, highest: float) -> HeatMap | None:
    """The areas of all rows beside what a few samples say. Bars go up to `highest`. None without regions."""
    if not has_regions([area.mean for area in areas]):
        return None
    bars = [_bar(area, max(highest, 1e-6)) for area in areas]
    if isinstance(found, Missing):
        return HeatMap((), tuple(_rows((), bars)), 0, found.reason)
    whole = HeatRow("mask", found.whole.by_segment, found.whole.mask, None)
    return HeatMap(found.segments, (*_rows(found.layers, bars), whole), found.samples, "")


def highest_area(edits: Sequence[Sequence[LayerArea]]) -> float:
    """Up to where bars go, so that edits with regions can be compared."""
    regional = [areas for areas in edits if has_regions([area.mean for area in areas])]
    return max((area.late for areas in regional for area in areas), default=1.0)


def layer_sizes(count: int) -> list[int | None]:
    """Px of each convolution layer of a StyleGAN2: one at 4, two at every size above; None for another structure."""
    return [4 * 2 ** ((index + 1) // 2) if count % 2 else None for index in range(count)]


def _rows(layers: Sequence[LayerActs], bars: Sequence[Bar]) -> Iterator[HeatRow]:
    """One per convolution layer; without cells and mask where only its area is known."""
    for layer, bar, size in zip_longest(layers, bars, layer_sizes(len(bars))):
        if layer is None:
            yield HeatRow("" if size is None else str(size), (), Tile(), bar)
        else:
            yield HeatRow(str(layer.size), layer.by_segment, layer.mask, bar)


def _bar(area: LayerArea, highest: float) -> Bar:
    title = f"{area.mean:.1%} on average; nine tenths of the rows from {area.early:.1%} to {area.late:.1%}"
    mean, early, late = (100 * min(1.0, each / highest) for each in (area.mean, area.early, area.late))
    return Bar(area.mean, mean, early, late, title)
