"""Some published rows with their pictures: source, inversion, edit, mask, difference.

Only the row groups of the chosen rows and their members of the source tars are read. A picture that cannot be read or
made is replaced by the reason; a missing tar or bundle is no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manifests.parquet.row_places import place_of
from manifests.stores.store import Store
from tasks.gallery.layer_maps import LayerMap, LayerMaps
from tasks.gallery.missing import Missing
from tasks.gallery.reconstructions import Reconstructions
from tasks.gallery.source_images import Source, SourceReader
from tasks.gallery.stored_latents import Row, StoredLatents, name_of
from tasks.gallery.stored_rows import rows_or_missing
from tasks.images.decode import pixels_of
from tasks.images.thumbnails import SIDE, Tile, difference, shrunk, tile_of
from tasks.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Example:
    """One published row and its pictures."""

    row: Row
    source: Tile  # with the geometry of the edit
    inversion: Tile
    edit: Tile
    mask: Tile
    difference: Tile  # between source and edit


@dataclass(frozen=True)
class Gallery:
    """Chosen rows with their pictures."""

    examples: tuple[Example, ...]
    layer_maps: Mapping[str, LayerMap | Missing]  # by edit id, of edits with regions: their mean layer masks


def load_gallery(store: Store, plan: Plan, rows: Sequence[Row]) -> Gallery:
    """Manifest rows (all columns) with their pictures, in their order. Limits drop pictures of the last rows."""
    edits, latents, maps = stored_pixels(store, rows), StoredLatents(store), LayerMaps(store, plan)
    inversions = Reconstructions(latents, plan)
    chosen = maps.choose(rows)
    again = [row for own in chosen.values() for row in own]
    sources = SourceReader(plan, _side(inversions, edits), frozenset(map(name_of, again))).read(rows)
    reconstructions = inversions.of(rows)
    examples = (
        _example(row, sources[name_of(row)], reconstructions[name_of(row)], *pixels)
        for row, pixels in zip(rows, edits, strict=True)
    )
    return Gallery(tuple(examples), maps.of(chosen, sources, latents.of(again)))


def stored_pixels(store: Store, rows: Sequence[Row]) -> list[tuple[np.ndarray | Missing, np.ndarray | Missing]]:
    """Edit and mask of each row, uint8 [H,W,3] and [H,W], at most SIDE px a side."""
    places = [place_of(row) for row in rows]
    stored = rows_or_missing(store, {place for place in places if place}, ("image", "mask"))
    return [_shrunk(row, stored[place] if place else {}) for row, place in zip(rows, places, strict=True)]


def _shrunk(row: Row, stored: Mapping[str, Any] | Missing) -> tuple[np.ndarray | Missing, np.ndarray | Missing]:
    if isinstance(stored, Missing):
        return stored, stored
    if not stored or stored["image"] is None:
        nothing = Missing(row["reason"] or "there is no edited image")
        return nothing, nothing
    try:
        edit, mask = (shrunk(pixels_of(stored[column]["bytes"]), SIDE) for column in ("image", "mask"))
    except Exception as error:
        return Missing.because(error), Missing.because(error)
    return edit, mask


def _side(inversions: Reconstructions, edits: Sequence[tuple[np.ndarray | Missing, np.ndarray | Missing]]) -> int:
    """Px a side of the square that the generator gets; of a stored edit if the generator is missing."""
    if not isinstance(inversions.generator, Missing):
        return inversions.generator.image_size
    return next((len(edit) for edit, _ in edits if not isinstance(edit, Missing)), SIDE)


def _example(
    row: Row,
    source: Source | Missing,
    inversion: np.ndarray | Missing,
    edit: np.ndarray | Missing,
    mask: np.ndarray | Missing,
) -> Example:
    seen = source if isinstance(source, Missing) else source.tile_HWC
    pictures = {
        "source": seen,
        "inversion": inversion,
        "edit": edit,
        "mask": mask,
        "difference": _difference(seen, edit),
    }
    return Example(row=row, **{name: _tile(found) for name, found in pictures.items()})


def _difference(source: np.ndarray | Missing, edit: np.ndarray | Missing) -> np.ndarray | Missing:
    if isinstance(source, Missing) or isinstance(edit, Missing) or source.shape != edit.shape:
        return Missing("a difference needs a source and an edit of the same size")
    return difference(source, edit)


def _tile(found: np.ndarray | Missing) -> Tile:
    return Tile(missing=found.reason) if isinstance(found, Missing) else tile_of(found)
