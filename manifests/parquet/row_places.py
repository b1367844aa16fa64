"""Where single rows are stored in the output's objects, and how to read only those rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from manifests.parquet.reader import open_parquet
from manifests.stores.store import Store


class RowPlace(NamedTuple):
    """One row of one row group of an object."""

    key: str
    row_group: int
    row: int


def place_of(row: Mapping[str, Any]) -> RowPlace | None:
    """The RowPlace of a manifest row's pixels; None for a row without pixels."""
    return RowPlace(row["image_uri"], row["row_group"], row["row"]) if row["image_uri"] else None


def rows_at(
    store: Store, places: Iterable[RowPlace], columns: Sequence[str]
) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
    """The rows at the places, object by object; each object is opened, and each row group read, once."""
    by_object: defaultdict[str, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for place in places:
        by_object[place.key][place.row_group].add(place.row)
    for key, groups in sorted(by_object.items()):
        with open_parquet(store, key) as file:
            for group, rows in sorted(groups.items()):
                wanted = sorted(rows)
                taken = file.read_row_group(group, columns=list(columns)).take(wanted).to_pylist()
                yield from zip([RowPlace(key, group, row) for row in wanted], taken, strict=True)


def image_bytes(store: Store, row: Mapping[str, Any], column: str = "image") -> bytes:
    """The encoded image of a manifest row, or its "mask". ValueError for a row without one."""
    place = place_of(row)
    found = None if place is None else next(rows_at(store, [place], [column]))[1][column]
    if found is None or found["bytes"] is None:
        raise ValueError(f"the row {row.get('key')!r} has no {column}: its status is {row.get('status')!r}")
    return bytes(found["bytes"])
