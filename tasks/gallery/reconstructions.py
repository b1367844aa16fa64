"""Reconstructions: images that the generator renders from stored latents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch

from coral_core.bundle.catalog import read_bundle
from coral_core.bundle.models import load_network
from coral_core.nets.stylegan2 import Generator
from tasks.gallery.missing import Missing
from tasks.gallery.stored_latents import Name, Row, StoredLatents, name_of
from tasks.images.tensors import to_pixels
from tasks.plan.plan import Plan

MAX_PIXELS = 2**26
"""Largest number of pixels of all reconstructions together, because rendering on a CPU is slow."""
BATCH = 8


class Reconstructions:
    """Renders the stored inversions of a plan. Of its bundle, only the generator is loaded, on the CPU."""

    def __init__(self, latents: StoredLatents, plan: Plan) -> None:
        self.latents, self.plan = latents, plan

    @cached_property
    def generator(self) -> Generator | Missing:
        """The plan's generator; Missing if the bundle has another one or cannot be read."""
        try:
            bundle = read_bundle(self.plan.bundle)
            if bundle.digests["generator"] != self.plan.digests["generator"]:
                return Missing(f"the generator of bundle {bundle.name} is not the one of this run")
            network = load_network(bundle.path / "generator.safetensors", "generator")
        except Exception as error:
            return Missing.because(error)
        assert isinstance(network, Generator)
        return network

    def of(self, rows: Iterable[Row]) -> dict[Name, np.ndarray | Missing]:
        """Reconstructions of the rows' sources, uint8 [H,W,3]. Only the first rows are rendered, up to MAX_PIXELS."""
        wanted = {name_of(row): row for row in rows}
        if isinstance(self.generator, Missing):
            return dict.fromkeys(wanted, self.generator)
        found: dict[Name, np.ndarray | Missing] = dict.fromkeys(wanted, _too_many())
        most = max(1, MAX_PIXELS // self.generator.image_size**2)
        latents = self.latents.of(list(wanted.values())[:most])
        return found | _rendered(self.generator, latents)


def _too_many() -> Missing:
    return Missing(f"not rendered: the inversions of one page have at most {MAX_PIXELS / 1e6:.2g} million pixels")


def _rendered(generator: Generator, latents: Mapping[Name, np.ndarray | Missing]) -> dict[Name, np.ndarray | Missing]:
    """One image, uint8 [H,W,3], or reason per name."""
    shape = (generator.num_ws, generator.w_dim)
    found: dict[Name, np.ndarray | Missing] = {}
    fitting: dict[Name, np.ndarray] = {}
    for name, ws_LD in latents.items():
        if isinstance(ws_LD, Missing):
            found[name] = ws_LD
        elif ws_LD.shape != shape:
            found[name] = Missing(f"its stored latents are {ws_LD.shape}, and the generator takes {shape}")
        else:
            fitting[name] = ws_LD
    names = list(fitting)
    for part in (names[start : start + BATCH] for start in range(0, len(names), BATCH)):
        found |= zip(part, _render(generator, [fitting[name] for name in part]), strict=True)
    return found


@torch.no_grad()
def _render(generator: Generator, latents: Sequence[np.ndarray]) -> Sequence[np.ndarray | Missing]:
    """Images, uint8 [H,W,3], from latents [L,D]. An error is the reason for all of them."""
    try:
        ws_BLD = torch.from_numpy(np.stack(latents))
        return list(to_pixels(generator.render(generator.styles(ws_BLD))))
    except Exception as error:
        return [Missing.because(error)] * len(latents)
