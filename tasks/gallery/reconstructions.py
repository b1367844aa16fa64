"""What the generator makes of stored latents: the inversions as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch

from coral_core.bundle.catalog import read_bundle
from coral_core.bundle.models import load_network
from coral_core.nets.stylegan2 import Generator
from tasks.gallery.missing import reason_of
from tasks.gallery.stored_latents import Latents, Name, Row, StoredLatents, name_of
from tasks.images.tensors import to_pixels
from tasks.plan.plan import Plan

MAX_PIXELS = 2**26
"""Of all reconstructions together; on a CPU the ones beyond would keep somebody waiting."""
BATCH = 8

Found = np.ndarray | str
"""uint8 pixels, or why there are none."""


class Reconstructions:
    """The stored inversions of a plan. Of its bundle only the generator is loaded, on the CPU."""

    def __init__(self, latents: StoredLatents, plan: Plan) -> None:
        self.latents, self.plan = latents, plan

    @cached_property
    def generator(self) -> Generator | str:
        """The plan's generator, or why it is not at hand."""
        try:
            bundle = read_bundle(self.plan.bundle)
            if bundle.digests["generator"] != self.plan.digests["generator"]:
                return f"the generator of bundle {bundle.name} is not the one of this run"
            network = load_network(bundle.path / "generator.safetensors", "generator")
        except Exception as error:
            return reason_of(error)
        assert isinstance(network, Generator)
        return network

    def of(self, rows: Iterable[Row]) -> dict[Name, Found]:
        """The reconstructions of the sources of manifest rows. The first rows matter most."""
        wanted = {name_of(row): row for row in rows}
        if isinstance(self.generator, str):
            return dict.fromkeys(wanted, self.generator)
        found: dict[Name, Found] = dict.fromkeys(wanted, "the page has enough of them")
        most = max(1, MAX_PIXELS // self.generator.image_size**2)
        latents = self.latents.of(list(wanted.values())[:most])
        return found | _rendered(self.generator, latents)


def _rendered(generator: Generator, latents: Mapping[Name, Latents]) -> dict[Name, Found]:
    """One picture or reason per name."""
    shape = (generator.num_ws, generator.w_dim)
    found: dict[Name, Found] = {}
    fitting: dict[Name, np.ndarray] = {}
    for name, ws_LD in latents.items():
        if isinstance(ws_LD, str):
            found[name] = ws_LD
        elif ws_LD.shape != shape:
            found[name] = f"its stored latents are {ws_LD.shape}, and the generator takes {shape}"
        else:
            fitting[name] = ws_LD
    names = list(fitting)
    for part in (names[start : start + BATCH] for start in range(0, len(names), BATCH)):
        found |= zip(part, _render(generator, [fitting[name] for name in part]), strict=True)
    return found


@torch.no_grad()
def _render(generator: Generator, latents: Sequence[np.ndarray]) -> Sequence[Found]:
    """A batch of latents of the generator's shape as pictures."""
    try:
        ws_BLD = torch.from_numpy(np.stack(latents))
        return list(to_pixels(generator.render(generator.styles(ws_BLD))))
    except Exception as error:
        return [reason_of(error)] * len(latents)
