from __future__ import annotations

import math
import operator
from dataclasses import replace

import numpy as np
import pytest

from tasks.spec.gates import BOUNDS, GATED_SCORES, Gates

RNG = np.random.default_rng(0)
MANY = 500


def random_scores() -> dict[str, np.ndarray]:
    """Scores of many images; one in twenty is NaN."""
    scores = {name: RNG.uniform(0, 1, MANY).astype(np.float32) for name in GATED_SCORES}
    for values in scores.values():
        values[RNG.uniform(size=MANY) < 0.05] = np.nan
    return scores


def random_gates() -> Gates:
    """Some gates at some thresholds."""
    thresholds = {gate: float(RNG.uniform(0, 0.5 if gate.startswith("min") else 1)) for gate in BOUNDS}
    return Gates(**{gate: value for gate, value in thresholds.items() if RNG.uniform() < 0.6 and gate != "max_area"})


def rows_of(scores: dict[str, np.ndarray]) -> list[dict[str, float]]:
    return [{name: float(values[row]) for name, values in scores.items()} for row in range(MANY)]


def test_without_gates_every_image_passes() -> None:
    assert set(Gates().verdicts(random_scores())) == {""}
    assert Gates().verdict({}) == ""


def test_the_verdict_is_the_first_gate_that_fails() -> None:
    for _ in range(5):
        gates, scores = random_gates(), random_scores()
        verdicts = gates.verdicts(scores)
        for row, verdict in zip(rows_of(scores), verdicts, strict=True):
            failing = [
                gate
                for gate, threshold in gates.active.items()
                if not (operator.le if BOUNDS[gate].upper else operator.ge)(row[BOUNDS[gate].score], threshold)
            ]
            assert verdict == (failing[0] if failing else "") == gates.verdict(row)


@pytest.mark.parametrize("value", [None, math.nan])
@pytest.mark.parametrize("gate", BOUNDS)
def test_a_missing_or_nan_score_passes_no_gate_that_reads_it(gate: str, value: float | None) -> None:
    bound = BOUNDS[gate]
    lenient = Gates(**{gate: bound.high if bound.upper else bound.low})
    good = dict.fromkeys(GATED_SCORES, 0.5)
    assert lenient.verdict(good) == ""
    assert lenient.verdict({**good, bound.score: value}) == gate
    others = {name: value for name in GATED_SCORES if name != bound.score}
    assert lenient.verdict({**good, **others}) == ""


def test_a_stored_score_equal_to_the_threshold_passes() -> None:
    for number in range(1000):
        threshold = number / 1000
        stored = {name: np.array([threshold], np.float32) for name in GATED_SCORES}
        both = Gates(min_direction=threshold, max_outside=threshold, min_area=threshold, max_area=threshold)
        assert list(both.verdicts(stored)) == [""]


def test_a_stricter_gate_rejects_all_that_the_looser_one_did() -> None:
    for _ in range(20):
        scores, gates, gate = random_scores(), random_gates(), str(RNG.choice(list(BOUNDS)))
        loose, tight = sorted(RNG.uniform(0.5 if gate == "max_area" else 0, 0.5, 2), reverse=BOUNDS[gate].upper)
        before, after = (replace(gates, **{gate: value}).verdicts(scores) != "" for value in (loose, tight))
        assert (after | ~before).all()


def test_the_reason_says_what_was_compared() -> None:
    gates = Gates(min_direction=0.1, max_outside=0.5)
    scores = {"direction": np.array([0.03, np.nan], np.float32), "outside": np.array([0.50000006, 0], np.float32)}
    assert gates.reason("min_direction", scores, 0) == "direction 0.03 < min_direction 0.1"
    assert gates.reason("max_outside", scores, 0) == "outside 0.50000006 > max_outside 0.5"
    assert gates.reason("min_direction", scores, 1) == "direction is no number, and min_direction needs one"


@pytest.mark.parametrize(
    ("thresholds", "says"),
    [
        ({"min_direction": 2.0}, "min_direction is 2.0; give a number from -1 to 1, or null"),
        ({"max_outside": -0.1}, "max_outside is -0.1; give a number from 0 to 2"),
        ({"min_identity": math.nan}, "min_identity is nan"),
        ({"max_inversion_error": math.inf}, "max_inversion_error is inf"),
        ({"min_area": 0.5, "max_area": 0.4}, "nothing would pass both"),
    ],
)
def test_thresholds_outside_the_range_of_the_score_are_refused(thresholds: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError) as raised:
        Gates(**thresholds)
    assert says in str(raised.value)
