"""What a fit needs again and again of its unedited images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from coral_core.inversion import take
from coral_core.types import Inversion


class SourceRows:
    """A function's rows for unedited samples, each computed once in a fit, however often its sample is drawn."""

    def __init__(self, function: Callable[[Inversion], Tensor]) -> None:
        self.function = function
        self._rows: dict[str, Tensor] = {}

    @classmethod
    def image(cls, network: Callable[[Tensor], Tensor]) -> SourceRows:
        """A network's rows, in full precision, for the inversions' images."""
        return cls(lambda part: network(part.recon_BCHW).float())

    @torch.no_grad()
    def __call__(self, batch: Inversion) -> Tensor:
        new = [index for index, key in enumerate(batch.keys) if key not in self._rows]
        if new:
            rows = self.function(take(batch, torch.tensor(new)))
            self._rows.update(zip((batch.keys[index] for index in new), rows, strict=True))
        return torch.stack([self._rows[key] for key in batch.keys])
