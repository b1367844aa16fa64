"""Gates: thresholds on stored scores, by which publishing accepts or rejects edited images.

Gates change no commit and no data: for another threshold it is enough to publish again, without a new edit. A score is
compared in float32, the precision it is stored in: a stored 0.1 passes a threshold of 0.1. A score that is missing or
NaN passes no gate that reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Bound:
    """The score that one gate reads, and the side of the threshold that passes. The threshold itself passes."""

    score: str  # column of the manifest
    upper: bool  # the threshold is the largest value that passes; otherwise the smallest
    low: float  # lowest and highest threshold; beyond them a gate would accept all images or none
    high: float

    def passes(self, values: np.ndarray, threshold: float) -> np.ndarray:
        """Bool per value; false for NaN."""
        values, limit = values.astype(np.float32, copy=False), np.float32(threshold)
        return values <= limit if self.upper else values >= limit

    def reason(self, gate: str, threshold: float, value: float) -> str:
        """Why a value does not pass, as text."""
        if math.isnan(value):
            return f"{self.score} is no number, and {gate} needs one"
        return f"{self.score} {np.float32(value)!s} {'>' if self.upper else '<'} {gate} {np.float32(threshold)!s}"


BOUNDS: Mapping[str, Bound] = {
    "min_direction": Bound("direction", upper=False, low=-1, high=1),
    "min_identity": Bound("identity", upper=False, low=-1, high=1),
    "max_outside": Bound("outside", upper=True, low=0, high=2),
    "max_inversion_error": Bound("inversion_error", upper=True, low=0, high=2),
    "min_area": Bound("area", upper=False, low=0, high=1),
    "max_area": Bound("area", upper=True, low=0, high=1),
}
"""Every gate, in the order in which they are applied; the first that fails rejects the row."""

GATED_SCORES = tuple(dict.fromkeys(bound.score for bound in BOUNDS.values()))
"""The columns that gates read."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """The thresholds of one edit; None where a gate is off."""

    min_direction: float | None = None  # CLIP cosine of the change in image and in text, -1 to 1
    min_identity: float | None = None  # cosine of the identity embeddings before and after, -1 to 1
    max_outside: float | None = None  # mean absolute change off the mask, images in [-1, 1]: 0 to 2
    max_inversion_error: float | None = None  # mean absolute error of the inversion, 0 to 2
    min_area: float | None = None  # share of the image under the mask, 0 to 1
    max_area: float | None = None

    def __post_init__(self) -> None:
        for name, threshold in self.active.items():
            bound = BOUNDS[name]
            if not bound.low <= threshold <= bound.high:  # NaN too
                raise ValueError(f"{name} is {threshold}; give a number from {bound.low:g} to {bound.high:g}, or null")
        if self.min_area is not None and self.max_area is not None and self.min_area > self.max_area:
            raise ValueError(f"min_area {self.min_area} is above max_area {self.max_area}: nothing would pass both")

    @property
    def active(self) -> dict[str, float]:
        """Gate -> threshold, without those that are off, in the order in which they are applied."""
        return {name: threshold for name, threshold in asdict(self).items() if threshold is not None}

    def failing(self, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Gate -> bool per row, true where the row fails that gate. `scores`: column -> [N]."""
        return {
            name: ~BOUNDS[name].passes(scores[BOUNDS[name].score], threshold) for name, threshold in self.active.items()
        }

    def verdicts(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Per row the first gate that fails, "" if none does. `scores`: column -> [N], of all GATED_SCORES."""
        found = np.full(len(scores[GATED_SCORES[0]]), "", dtype=object)
        for name, fails in self.failing(scores).items():
            found[fails & (found == "")] = name
        return found

    def verdict(self, row: Mapping[str, object]) -> str:
        """The first gate that one row of the manifest fails, "" if it passes all of them."""
        scores = {score: np.array([row.get(score)], np.float32) for score in GATED_SCORES}  # None becomes NaN
        return str(self.verdicts(scores)[0])

    def reason(self, gate: str, scores: Mapping[str, np.ndarray], row: int) -> str:
        """Why `gate` rejects a row of `scores`, as text: "direction 0.03 < min_direction 0.1"."""
        bound = BOUNDS[gate]
        return bound.reason(gate, self.active[gate], float(scores[bound.score][row]))
