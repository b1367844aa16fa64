"""How many images of an edit gates reject: the gates in force, and gates suggested from the stored scores.

The suggestion: every gate rejects the same number of images at the worse end of its own score, and this number is the
largest with which all gates together still keep the requested share. All scores have the same weight. A score that is
equal for all images, such as the area of an editor without regions, gets no gate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from manifests.query import HAS_IMAGE, Ask, asking, sql_literal
from manifests.stores.store import Store
from tasks.publish.published_rows import scores_of
from tasks.spec.gates import BOUNDS, GATED_SCORES, Bound, Gates
from tasks.spec.publish_rules import PublishRules

DIGITS = 4
"""Significant digits of a suggested threshold. It is rounded to the side that rejects fewer images."""

Scores = Mapping[str, np.ndarray]
"""Column -> float32 [N], for all GATED_SCORES; NaN for an image without the score."""


@dataclass(frozen=True)
class GatesEffect:
    """The gates of one edit, and the images that they reject."""

    edit: str  # edit_id
    images: int  # ok or rejected
    gates: Gates
    alone: Mapping[str, int]  # gate -> images it rejects, without regard to other gates
    first: Mapping[str, int]  # gate -> images for which it is the first to reject, as the manifest counts them

    @property
    def rejected(self) -> int:
        """Number of images that at least one gate rejects."""
        return sum(self.first.values())

    @classmethod
    def of(cls, edit: str, gates: Gates, scores: Scores) -> GatesEffect:
        """Apply the gates to the images."""
        failing, first = gates.failing(scores), Counter(gates.verdicts(scores))
        return cls(
            edit=edit,
            images=len(scores[GATED_SCORES[0]]),
            gates=gates,
            alone={gate: int(fails.sum()) for gate, fails in failing.items()},
            first={gate: first[gate] for gate in failing},
        )


def gates_in_force(store: Store) -> Iterator[GatesEffect]:
    """The gates that the rows were published with, per edit; once for each different set of gates of an edit."""
    with asking(store) as ask:
        for row in ask(f"SELECT edit, rules FROM manifest WHERE {HAS_IMAGE} GROUP BY ALL ORDER BY ALL").to_pylist():
            own = f"edit = {sql_literal(row['edit'])} AND rules = {sql_literal(row['rules'])}"
            yield GatesEffect.of(row["edit"], PublishRules.read(row["rules"]).gates, _scores(ask, own))


def suggested_gates(store: Store, keep: float) -> Iterator[GatesEffect]:
    """Per edit, the gates that keep the share `keep`, above 0 and at most 1, of its images."""
    with asking(store) as ask:
        for row in ask(f"SELECT DISTINCT edit FROM manifest WHERE {HAS_IMAGE} ORDER BY edit").to_pylist():
            scores = _scores(ask, f"edit = {sql_literal(row['edit'])}")
            yield GatesEffect.of(row["edit"], suggest(scores, keep), scores)


def _scores(ask: Ask, condition: str) -> Scores:
    """The scores of the edited images for which the condition holds."""
    return scores_of(ask(f"SELECT {', '.join(GATED_SCORES)} FROM manifest WHERE {HAS_IMAGE} AND {condition}"))


def suggest(scores: Scores, keep: float) -> Gates:
    """Gates that keep at least the share `keep` of the images with finite scores. ValueError unless 0 < keep <= 1."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep is {keep}; give the share of images to keep, above 0 and at most 1")
    merits = {gate: _merit(bound, scores) for gate, bound in BOUNDS.items()}
    orders = {gate: np.sort(merit[np.isfinite(merit)]) for gate, merit in merits.items()}
    orders = {gate: order for gate, order in orders.items() if len(order) and order[0] < order[-1]}
    if not orders:
        return Gates()
    ranks = [
        np.where(np.isfinite(merits[gate]), np.searchsorted(order, merits[gate], side="right") - 1, -1)
        for gate, order in orders.items()
    ]
    worst = np.sort(np.min(ranks, axis=0))  # rank of each image: gates that reject at most this many images keep it
    cut = max(0, worst[len(worst) - math.ceil(keep * len(worst) - 1e-9)])
    return Gates(**{gate: _threshold(BOUNDS[gate], float(order[cut])) for gate, order in orders.items()})


def _merit(bound: Bound, scores: Scores) -> np.ndarray:
    """The score with such a sign that larger is better. float64 [N]."""
    values = scores[bound.score].astype(np.float64)
    return -values if bound.upper else values


def _threshold(bound: Bound, merit: float) -> float:
    """The threshold for a merit, rounded to the side that rejects less, and clipped to the range of the gate."""
    value = -merit if bound.upper else merit
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1) if value else 1.0
    lenient = math.ceil(value / step) if bound.upper else math.floor(value / step)
    return min(max(float(f"{lenient * step:.{DIGITS}g}"), bound.low), bound.high)
