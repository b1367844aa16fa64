"""Frequency of each attribute value in a set of portraits, among the portraits that show the attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from coral_core.zoo.measure.ground_truth import Values, answer_of
from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES
from coral_core.zoo.portraits.domain import Scene, sample

Frequencies = Mapping[tuple[str, str], float]
"""(attribute, value) -> share of the portraits that show the attribute, 0 to 1."""


def visible_values(portraits: Iterable[Values]) -> Iterator[tuple[str, str]]:
    """The (attribute, value) pairs of each portrait that are visible in a scene with these values."""
    some: Scene = sample(0)
    for values in portraits:
        shown = answer_of(some, values).visible()
        yield from ((name, values[name]) for name in ATTRIBUTES if name in shown)


def frequencies(seen: Iterable[tuple[str, str]]) -> Frequencies:
    """Frequencies relative within each attribute, for all values of the lexicon."""
    counts = Counter(seen)
    totals = {name: sum(counts[name, value] for value in VALUES[a]) for a, name in enumerate(ATTRIBUTES)}
    return {
        (name, value): counts[name, value] / max(totals[name], 1)
        for a, name in enumerate(ATTRIBUTES)
        for value in VALUES[a]
    }


def ratios(made: Frequencies, domain: Frequencies, least: float = 1e-3) -> dict[str, float]:
    """Per attribute the largest factor, at least 1, between the two frequencies of a value.

    Frequencies below `least` count as `least`.
    """
    worst: dict[str, float] = {}
    for name, value in domain:
        found, wanted = max(made[name, value], least), max(domain[name, value], least)
        worst[name] = max(worst.get(name, 1.0), found / wanted, wanted / found)
    return worst
