"""What the generator makes of stored latents: the inversions as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from coral_core.models import load_network
from coral_core.nets.stylegan2 import Generator
from coral_core.zoo.catalog import read_bundle
from manifests.commit import CommitRecord, read_commit
from manifests.reader import open_parquet
from manifests.schema import ws_shape
from manifests.store import Store
from tasks.images import to_pixels
from tasks.places import Place, ordinal, place_at, place_of, rows_at
from tasks.plan import Plan

MAX_PIXELS = 2**26
"""Of all reconstructions together; on a CPU the ones beyond would keep somebody waiting."""
BATCH = 8

Found = np.ndarray | str
"""uint8 pixels, or why there are none."""


class Reconstructions:
    """The stored inversions of a plan. Of its bundle only the generator is loaded, on the CPU."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self._records: dict[str, CommitRecord | None] = {}

    @cached_property
    def generator(self) -> Generator | str:
        """The plan's generator, or why it is not at hand."""
        try:
            bundle = read_bundle(self.plan.bundle)
        except (OSError, ValueError) as error:
            return str(error)
        if bundle.digests["generator"] != self.plan.digests["generator"]:
            return f"the generator of bundle {bundle.name} is not the one of this run"
        network = load_network(bundle.path / "generator.safetensors", "generator")
        assert isinstance(network, Generator)
        return network

    def of(self, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Found]:
        """The reconstructions of the sources of manifest rows, by (shard, key). The first rows matter most."""
        places = {(row["source_uri"], row["key"]): self._place(row) for row in rows}
        if isinstance(self.generator, str):
            return dict.fromkeys(places, self.generator)
        most = max(1, MAX_PIXELS // self.generator.image_size**2)
        wanted = [place for place in dict.fromkeys(places.values()) if place is not None][:most]
        rendered = dict(self._rendered(self.generator, wanted))
        return {
            name: "it has no stored inversion" if place is None else rendered.get(place, "the page has enough of them")
            for name, place in places.items()
        }

    @torch.no_grad()
    def _rendered(self, generator: Generator, places: Sequence[Place]) -> Iterator[tuple[Place, np.ndarray]]:
        found = rows_at(self.store, places, ("ws",))
        stored = [(place, row["ws"]) for place, row in found if row["ws"] is not None]
        for start in range(0, len(stored), BATCH):
            part = stored[start : start + BATCH]
            ws_BLD = torch.tensor([ws for _, ws in part]).view(len(part), *self._shape(part[0][0].key))
            pixels_BHWC = to_pixels(generator.render(generator.styles(ws_BLD)))
            yield from zip([place for place, _ in part], pixels_BHWC, strict=True)

    def _shape(self, key: str) -> tuple[int, int]:
        with open_parquet(self.store, key) as file:
            return ws_shape(file.schema_arrow)

    def _place(self, row: Mapping[str, Any]) -> Place | None:
        """Where the row's latents lie: rows of an edit and of its inversion are both in the order of the shard."""
        place, record = place_of(row), self._record(row["request_id"])
        if place is None or record is None:
            return None
        inversion = self._record(str(record.info["inversion"]))
        return None if inversion is None else place_at(inversion, ordinal(record, place))

    def _record(self, request_id: str) -> CommitRecord | None:
        if request_id not in self._records:
            self._records[request_id] = read_commit(self.store, request_id)
        return self._records[request_id]
