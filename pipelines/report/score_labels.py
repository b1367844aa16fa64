"""The scores that a page shows, and what their ends mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One column of the manifest."""

    column: str
    label: str
    says: str  # what it measures, for people
    digits: int  # behind the point
    top: str  # what its highest values are called
    bottom: str

    def text(self, value: float) -> str:
        """A value as it is printed."""
        return f"{value:.{self.digits}f}"


SCORES: Mapping[str, Score] = {
    score.column: score
    for score in (
        Score("direction", "direction", "how far the image moved the way the words did: cosine", 2, "best", "worst"),
        Score("identity", "identity", "likeness of the same face before and after: cosine", 3, "best", "worst"),
        Score("outside", "change off mask", "mean change where the mask is off, of a range of 2", 4, "worst", "best"),
        Score("area", "mask area", "share of the image under the mask", 2, "largest", "smallest"),
        Score("inversion_error", "inversion error", "mean error of the reconstruction, of 2", 3, "worst", "best"),
    )
}
"""In the order shown; the first is what pages begin with."""
