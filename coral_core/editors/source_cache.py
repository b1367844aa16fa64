"""Results for the unedited images of a fit, computed once per sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from coral_core.inversion import take
from coral_core.types import Inversion


class SourceCache:
    """Caches the rows of a function of inversions by sample key, so that each sample is computed once in a fit.

    Make a new one for another source, whose samples may have the same keys. No gradient flows into the rows.
    """

    def __init__(self, function: Callable[[Inversion], Tensor]) -> None:
        self.function = function
        self._rows: dict[str, Tensor] = {}

    @classmethod
    def of_images(cls, network: Callable[[Tensor], Tensor]) -> SourceCache:
        """The cache of a network's rows, float32, for the reconstructions of the samples."""
        return cls(lambda part: network(part.recon_BCHW).float())

    @torch.no_grad()
    def __call__(self, batch: Inversion) -> Tensor:
        new = [index for index, key in enumerate(batch.keys) if key not in self._rows]
        if new:
            rows = self.function(take(batch, torch.tensor(new)))
            self._rows.update(zip((batch.keys[index] for index in new), rows, strict=True))
        return torch.stack([self._rows[key] for key in batch.keys])
