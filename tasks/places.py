"""Where single rows lie in the output's objects, and how to read just those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manifests.commit import CommitRecord
from manifests.reader import open_parquet
from manifests.store import Store
from tasks.reasons import reason_of


@dataclass(frozen=True)
class Place:
    """One row of one row group of an object."""

    key: str
    row_group: int
    row: int


def place_of(row: Mapping[str, Any]) -> Place | None:
    """Where the pixels of a manifest row lie; None for a row without."""
    return Place(row["image_uri"], row["row_group"], row["row"]) if row["image_uri"] else None


def rows_at(store: Store, places: Iterable[Place], columns: Sequence[str]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows at the places, object by object; each object is opened, and each row group read, once."""
    by_object: defaultdict[str, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for place in places:
        by_object[place.key][place.row_group].add(place.row)
    for key, groups in sorted(by_object.items()):
        with open_parquet(store, key) as file:
            for group, rows in sorted(groups.items()):
                wanted = sorted(rows)
                taken = file.read_row_group(group, columns=list(columns)).take(wanted).to_pylist()
                yield from zip([Place(key, group, row) for row in wanted], taken, strict=True)


def rows_or_reasons(store: Store, places: Iterable[Place], columns: Sequence[str]) -> dict[Place, dict[str, Any] | str]:
    """As rows_at; an object that cannot be read is no error, but the reason at each of its places."""
    by_object: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_object[place.key].append(place)
    found: dict[Place, dict[str, Any] | str] = {}
    for own in by_object.values():
        try:
            found |= dict(rows_at(store, own, columns))
        except Exception as error:
            found |= dict.fromkeys(own, reason_of(error))
    return found


def ordinal(record: CommitRecord, place: Place) -> int:
    """How many rows of an edit's data come before the place."""
    before = 0
    for ref in record.objects:
        if ref.key == place.key:
            return before + sum(ref.row_groups[: place.row_group]) + place.row
        before += ref.rows if ref.key.startswith("data/") else 0
    raise ValueError(f"commits/{record.request_id}.json does not name {place.key!r}; publish again")


def place_at(record: CommitRecord, number: int) -> Place | None:
    """Where the row of this number lies in an inversion; None beyond its end."""
    for ref in record.objects:
        for group, rows in enumerate(ref.row_groups):
            if number < rows:
                return Place(ref.key, group, number)
            number -= rows
    return None
