"""The scores that a page shows, and the names of their highest and lowest values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One column of the manifest."""

    column: str
    label: str
    description: str  # what it measures
    digits: int  # decimals
    top: str  # name of its highest values
    bottom: str  # name of its lowest values

    def text(self, value: float) -> str:
        """The value as text, with `digits` decimals."""
        return f"{value:.{self.digits}f}"


SCORES: Mapping[str, Score] = {
    score.column: score
    for score in (
        Score("direction", "direction", "cosine of image change and text change in CLIP", 2, "best", "worst"),
        Score("identity", "identity", "cosine of the identity embeddings before and after", 3, "best", "worst"),
        Score("outside", "change off mask", "mean absolute change off the mask, images in [-1, 1]", 4, "worst", "best"),
        Score("area", "mask area", "share of the image under the mask", 2, "largest", "smallest"),
        Score("inversion_error", "inversion error", "mean absolute error, images in [-1, 1]", 3, "worst", "best"),
    )
}
"""In the order of the page; samples are first ordered by the first score."""
