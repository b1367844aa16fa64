"""Some published rows with their pictures, read back from where they lie: source, inversion, edit, mask, difference.

Only what is shown is read: the row groups of the chosen rows, their members of the source tars, and the generator alone
of the bundle. A picture that cannot be had is replaced by the reason; nothing here fails because a tar was moved.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manifests.store import Store
from tasks.geometry import Geometry, OutputSize
from tasks.images import Picture, UnusableError, decode, pixels_of
from tasks.inputs import local_copy
from tasks.places import Place, place_of, rows_at
from tasks.plan import Plan
from tasks.reconstructions import Found, Reconstructions
from tasks.requests import Shard
from tasks.shards import Archive, Member, read_archive, read_member
from tasks.tiles import SIDE, Tile, difference, shrunk, tile_of

MAX_FETCHED = 2**30
"""Bytes of source tars that are downloaded from a bucket at most; a tar comes whole or not at all."""

SEEN: Mapping[OutputSize, Callable[[Picture], Any]] = {
    "generator": lambda picture: picture.pixels_HWC,
    "source": lambda picture: picture.whole,
}
"""What of a source an edit is held against."""

Row = Mapping[str, Any]
Name = tuple[str, str]
"""Shard and key of a source."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One published row and its pictures."""

    row: Row
    source: Tile  # in the geometry of the edit
    inversion: Tile
    edit: Tile
    mask: Tile
    difference: Tile  # between source and edit


@dataclass(frozen=True)
class Gallery:
    """Chosen rows with their pictures."""

    exhibits: tuple[Exhibit, ...]
    mean_masks: Mapping[str, Tile]  # by edit id: where it acts on average


def hang(store: Store, plan: Plan, rows: Sequence[Row]) -> Gallery:
    """The rows (of the manifest, all columns) with their pictures, in the order given: the first matter most."""
    edits, masks = stored_pixels(store, rows)
    sources = source_pixels(plan, rows, next((len(pixels) for pixels in edits.values()), SIDE))
    inversions = Reconstructions(store, plan).of(rows)
    exhibits, by_edit = [], defaultdict(list)
    for row in rows:
        name, place = (row["source_uri"], row["key"]), place_of(row)
        edit, mask = (found.get(place) if place else None for found in (edits, masks))
        exhibits.append(_exhibit(row, sources[name], inversions[name], edit, mask))
        if mask is not None:
            by_edit[row["edit"]].append(mask)
    return Gallery(tuple(exhibits), {edit: _mean(found) for edit, found in by_edit.items()})


def stored_pixels(store: Store, rows: Iterable[Row]) -> tuple[dict[Place, np.ndarray], dict[Place, np.ndarray]]:
    """Edits and masks of the rows that have them, at the size of tiles."""
    edits, masks = {}, {}
    for place, found in rows_at(store, {place for row in rows if (place := place_of(row))}, ("image", "mask")):
        if found["image"] is not None:
            edits[place] = shrunk(pixels_of(found["image"]["bytes"]), SIDE)
            masks[place] = shrunk(pixels_of(found["mask"]["bytes"]), SIDE)
    return edits, masks


def source_pixels(plan: Plan, rows: Iterable[Row], size: int) -> dict[Name, Found]:
    """The source images of the rows in the geometry of the edits; squares have `size` px."""
    shards = {shard.uri: shard for shard in plan.shards}
    by_shard: defaultdict[str, dict[Name, Row]] = defaultdict(dict)
    for row in rows:
        by_shard[row["source_uri"]][row["source_uri"], row["key"]] = row
    found: dict[Name, Found] = {}
    budget = MAX_FETCHED
    for uri, wanted in sorted(by_shard.items(), key=lambda each: -len(each[1])):
        shard = shards.get(uri)
        remote = shard.size if shard is not None and shard.etag else 0
        if shard is None:
            found |= dict.fromkeys(wanted, "its shard is not one of this run")
        elif remote > budget:
            found |= dict.fromkeys(wanted, f"not downloaded: its shard has {shard.size / 1e6:.0f} MB")
        else:
            found |= _from_shard(shard, plan.invert.geometry, wanted, size)
            budget -= remote
    return found


def _from_shard(shard: Shard, geometry: Geometry, wanted: Mapping[Name, Row], size: int) -> dict[Name, Found]:
    found: dict[Name, Found] = {}
    try:
        with local_copy(shard) as path, path.open("rb") as file:
            members = _members(read_archive(path))
            for name, row in wanted.items():
                member = members.get(row["source_member"])
                data = b""
                if member is not None:
                    data = read_member(file, member)
                found[name] = _decoded(data, row, geometry, size)
    except (OSError, ValueError) as error:
        return dict.fromkeys(wanted, str(error))
    return found


def _decoded(data: bytes, row: Row, geometry: Geometry, size: int) -> Found:
    """The image as the edits show it: the square that the generator saw, or the whole source."""
    if hashlib.sha256(data).hexdigest() != row["source_sha256"]:
        return row["reason"] or "the tar does not hold this image any more"
    try:
        picture = decode(data, geometry, row["height"] or size if geometry.fit == "refuse" else size)
    except UnusableError as unusable:
        return unusable.reason
    return shrunk(np.asarray(SEEN[geometry.output](picture)), SIDE)


def _members(archive: Archive) -> dict[str, Member]:
    """By name; of several with one name the first."""
    found: dict[str, Member] = {}
    for group in archive.groups:
        for member in group.members.values():
            if member.regular:
                found.setdefault(member.name, member)
    return found


def _exhibit(row: Row, source: Found, inversion: Found, edit: np.ndarray | None, mask: np.ndarray | None) -> Exhibit:
    nothing = row["reason"] or "there is no edited image"
    return Exhibit(
        row=row,
        source=_tile(source),
        inversion=_tile(inversion),
        edit=_tile(nothing if edit is None else edit),
        mask=_tile(nothing if mask is None else mask),
        difference=_tile(_apart(source, edit)),
    )


def _apart(source: Found, edit: np.ndarray | None) -> Found:
    if edit is None or isinstance(source, str) or source.shape != edit.shape:
        return "it takes a source and an edit of one size"
    return difference(source, edit)


def _mean(masks: Sequence[np.ndarray]) -> Tile:
    """The average of masks of one size."""
    if len({mask.shape for mask in masks}) > 1:
        return Tile(missing="the images are of several sizes")
    return tile_of(np.mean(masks, axis=0).round().astype(np.uint8))


def _tile(found: Found) -> Tile:
    return Tile(missing=found) if isinstance(found, str) else tile_of(found)
