"""Contact sheets: rows of equally sized tiles as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GAP = 4
"""Pixels between tiles."""
BACKGROUND = 255


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], zoom: int = 1) -> np.ndarray:
    """Tiles uint8 [H,W,3] or, for masks, [H,W]; all rows have the same number of tiles. Returns uint8 [H',W',3].

    Errors: ValueError without tiles.
    """
    if not rows or not rows[0]:
        raise ValueError("a contact sheet needs at least one row with one tile")
    lines = [np.concatenate([_with_border(tile, zoom) for tile in row], axis=1) for row in rows]
    return np.concatenate(lines, axis=0)


def _with_border(tile: np.ndarray, zoom: int) -> np.ndarray:
    colour = tile if tile.ndim == 3 else np.repeat(tile[:, :, None], 3, axis=2)
    large = colour.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return np.pad(large, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=BACKGROUND)
