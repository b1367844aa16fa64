"""The latent slot: latent edits in W+, in standard deviations of w.

Papers: CoralStyleCLIP (arXiv 2303.05031) for the global direction; StyleCLIP (arXiv 2103.17249, its public
mapper/latent_mappers.py) for the mapper. The interface of a slot is forward(ws_BLD) -> delta_BLD. The editor measures
the scale of w and applies it to delta (whitening.py).
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from coral_core.nets.layers import EqualLinear, pixel_norm

LEVELS = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, None)}
"""Rows of W+ per level. The resolution of a row does not depend on the depth of the generator (row 3 ends with the
toRGB of 8 px, row 7 with that of 32 px), so StyleCLIP's boundaries for 18 rows hold for every depth: coarse is 4 and
8 px, medium 16 and 32 px, fine the rest. A small generator does not have the finer levels."""

RESIDUAL_SCALE = 0.1
"""Factor of a mapper's output, as published."""


class GlobalDirection(nn.Module):
    """delta = D, the same for every image. D starts at zero: a direction that is not fitted edits nothing."""

    open_L1: Tensor

    def __init__(self, num_ws: int, w_dim: int, levels: Collection[str] = tuple(LEVELS)) -> None:
        super().__init__()
        self.direction_LD = nn.Parameter(torch.zeros(num_ws, w_dim))
        self.register_buffer("open_L1", open_rows(num_ws, levels), persistent=False)

    def start_at_zero(self) -> None:
        """Make the first output zero, which it is."""

    def forward(self, ws_BLD: Tensor) -> Tensor:
        return (self.direction_LD * self.open_L1).expand_as(ws_BLD)


class LevelMapper(nn.Module):
    """delta = 0.1 M(w), one block M per level; delta is zero in rows of levels that are switched off.

    Weights start random as published, so a mapper that is not fitted already changes images a little, unless
    start_at_zero() was called.
    """

    def __init__(self, num_ws: int, w_dim: int, levels: Collection[str] = tuple(LEVELS)) -> None:
        super().__init__()
        self.rows = level_rows(num_ws, levels)
        self.blocks = nn.ModuleDict({name: MapperBlock(w_dim) for name in self.rows})

    @torch.no_grad()
    def start_at_zero(self) -> None:
        """Make the first output zero: the weights of every block's last layer are zero and learn from there."""
        for block in self.blocks.values():
            assert isinstance(block, MapperBlock)
            last = block[-1]
            assert isinstance(last, EqualLinear)
            last.weight.zero_()
            last.bias.zero_()

    def forward(self, ws_BLD: Tensor) -> Tensor:
        delta_BLD = torch.zeros_like(ws_BLD)
        for name, rows in self.rows.items():
            delta_BLD[:, rows] = RESIDUAL_SCALE * self.blocks[name](ws_BLD[:, rows]).to(delta_BLD.dtype)
        return delta_BLD


class MapperBlock(nn.Sequential):
    """Pixel norm over the ROWS of a level (dim 1), then four equalised layers. [B, rows, D] -> [B, rows, D].

    The published code intends to normalise the channels but normalises dim 1, and its weights were trained that way.
    This is kept, because released mappers need it. The output of a row thus depends on the other rows of its level.
    """

    def __init__(self, w_dim: int) -> None:
        super().__init__(*(EqualLinear(w_dim, w_dim, lr_mul=0.01, activate=True) for _ in range(4)))

    def forward(self, rows_BRD: Tensor) -> Tensor:
        out_BRD: Tensor = super().forward(pixel_norm(rows_BRD, dim=1))
        return out_BRD


def level_rows(num_ws: int, levels: Collection[str]) -> dict[str, slice]:
    """The rows of each chosen level, cut to the number of rows; levels without rows are left out."""
    bounds = {name: slice(*LEVELS[name].indices(num_ws)[:2]) for name in LEVELS if name in levels}
    return {name: rows for name, rows in bounds.items() if rows.start < rows.stop}


def open_rows(num_ws: int, levels: Collection[str]) -> Tensor:
    """[L,1]: 1 for the rows of the chosen levels, 0 for the others."""
    open_L1 = torch.zeros(num_ws, 1)
    for rows in level_rows(num_ws, levels).values():
        open_L1[rows] = 1
    return open_L1
