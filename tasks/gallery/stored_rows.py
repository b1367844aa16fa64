"""Single rows of the output's objects, and the conversion between a row's number and its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from manifests.commit import CommitRecord
from manifests.parquet.row_places import RowPlace, rows_at
from manifests.stores.store import Store
from tasks.gallery.missing import Missing


def rows_or_missing(
    store: Store, places: Iterable[RowPlace], columns: Sequence[str]
) -> dict[RowPlace, dict[str, Any] | Missing]:
    """Like rows_at, but an object that cannot be read gives Missing for each of its places."""
    by_object: defaultdict[str, list[RowPlace]] = defaultdict(list)
    for place in places:
        by_object[place.key].append(place)
    found: dict[RowPlace, dict[str, Any] | Missing] = {}
    for own in by_object.values():
        try:
            found |= dict(rows_at(store, own, columns))
        except Exception as error:
            found |= dict.fromkeys(own, Missing.because(error))
    return found


def ordinal(record: CommitRecord, place: RowPlace) -> int:
    """Number of rows of an edit's data before the place. ValueError if the commit does not name its object."""
    before = 0
    for ref in record.objects:
        if ref.key == place.key:
            return before + sum(ref.row_groups[: place.row_group]) + place.row
        before += ref.rows if ref.key.startswith("data/") else 0
    raise ValueError(f"commits/{record.request_id}.json does not name {place.key!r}; publish the job again")


def place_at(record: CommitRecord, number: int) -> RowPlace | None:
    """The place of the row with this number in an inversion; None if it has no such row."""
    for ref in record.objects:
        for group, rows in enumerate(ref.row_groups):
            if number < rows:
                return RowPlace(ref.key, group, number)
            number -= rows
    return None
