"""Table of layer masks: one row per convolution layer, from coarse to fine, and one column per image segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pipelines.report.figures import LayerArea
from tasks.gallery.layer_maps import LayerMap, MeanLayerMask, Segment, has_regions
from tasks.gallery.missing import Missing
from tasks.images.thumbnails import Tile


@dataclass(frozen=True)
class Bar:
    """The mask area of one layer over all rows, and its x coordinates in the chart, 0 to 100."""

    area: float  # mean, 0 to 1
    mean: float  # x
    p5: float  # x of the 5 % quantile
    p95: float  # x of the 95 % quantile
    title: str


@dataclass(frozen=True)
class HeatRow:
    """One layer, or the mask of the edit."""

    label: str
    cells: tuple[float, ...]  # mean of the mask over each segment; empty if not known
    mask: Tile
    bar: Bar | None


@dataclass(frozen=True)
class HeatMap:
    """The table."""

    segments: tuple[Segment, ...]
    rows: tuple[HeatRow, ...]
    samples: int
    missing: str  # reason why there are no cells; empty if there are


def heat_map(areas: Sequence[LayerArea], found: LayerMap | Missing, highest: float) -> HeatMap | None:
    """Mean masks of a few samples, and mask areas of all rows. Bars end at area `highest`. None without regions."""
    if not has_regions([area.mean for area in areas]):
        return None
    bars = [_bar(area, max(highest, 1e-6)) for area in areas]
    if isinstance(found, Missing):
        return HeatMap((), tuple(_rows((), bars)), 0, found.reason)
    whole = HeatRow("mask", found.whole.by_segment, found.whole.mask, None)
    return HeatMap(found.segments, (*_rows(found.layers, bars), whole), found.samples, "")


def highest_area(edits: Sequence[Sequence[LayerArea]]) -> float:
    """The largest area of a bar, the same for all edits with regions, so that they can be compared."""
    regional = [areas for areas in edits if has_regions([area.mean for area in areas])]
    return max((area.p95 for areas in regional for area in areas), default=1.0)


def layer_sizes(count: int) -> list[int | None]:
    """Px of each convolution layer of a StyleGAN2: one at 4, two at every size above; None for another structure."""
    return [4 * 2 ** ((index + 1) // 2) if count % 2 else None for index in range(count)]


def _rows(layers: Sequence[MeanLayerMask], bars: Sequence[Bar]) -> Iterator[HeatRow]:
    """One row per convolution layer; without cells and mask if only the area is known."""
    for layer, bar, size in zip_longest(layers, bars, layer_sizes(len(bars))):
        if layer is None:
            yield HeatRow("" if size is None else str(size), (), Tile(), bar)
        else:
            yield HeatRow(str(layer.size), layer.by_segment, layer.mask, bar)


def _bar(area: LayerArea, highest: float) -> Bar:
    title = f"{area.mean:.1%} on average; 90 % of the rows from {area.p5:.1%} to {area.p95:.1%}"
    mean, p5, p95 = (100 * min(1.0, each / highest) for each in (area.mean, area.p5, area.p95))
    return Bar(area.mean, mean, p5, p95, title)
