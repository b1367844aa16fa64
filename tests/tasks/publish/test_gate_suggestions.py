from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.publish.gate_suggestions import GatesEffect, gates_in_force, suggest, suggested_gates
from tasks.publish.publish import publish_edits
from tasks.spec.gates import BOUNDS, GATED_SCORES, Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, small_plan

RNG = np.random.default_rng(1)


def random_scores(images: int, digits: int = 9) -> dict[str, np.ndarray]:
    """Correlated scores of images; they have few digits, so that many are equal."""
    quality = RNG.normal(size=images)
    return {
        name: np.clip(0.5 + 0.1 * quality + 0.1 * RNG.normal(size=images), 0, 1).round(digits).astype(np.float32)
        for name in GATED_SCORES
    }


def kept(gates: Gates, scores: dict[str, np.ndarray]) -> int:
    return int((gates.verdicts(scores) == "").sum())


@pytest.mark.parametrize("digits", [9, 2])
@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99, 1.0])
def test_a_suggestion_keeps_the_share_that_was_asked_for(keep: float, digits: int) -> None:
    for images in (10, 333, 1000):
        scores = random_scores(images, digits)
        assert kept(suggest(scores, keep), scores) >= keep * images


@pytest.mark.parametrize("digits", [9, 2])
@pytest.mark.parametrize("keep", [0.5, 0.8, 0.95])
def test_as_much_is_cut_as_can_be(keep: float, digits: int) -> None:
    """Compared with a search over every number of images, without rounding of thresholds."""
    scores = random_scores(80, digits)

    def cutting(count: int) -> Gates:
        ends = {gate: np.sort(scores[bound.score])[:: -1 if bound.upper else 1] for gate, bound in BOUNDS.items()}
        return Gates(**{gate: float(values[count]) for gate, values in ends.items()})

    best = max((count for count in range(40) if kept(cutting(count), scores) >= keep * 80), default=0)
    found = suggest(scores, keep).active
    for gate, threshold in cutting(best).active.items():
        slack = threshold - found[gate] if gate.startswith("min") else found[gate] - threshold
        assert -1e-7 < slack <= 1.1e-3 * threshold


def test_every_gate_cuts_equally_many() -> None:
    scores = random_scores(2000)
    alone = GatesEffect.of("edit", suggest(scores, 0.8), scores).alone
    assert alone.keys() == BOUNDS.keys() and max(alone.values()) - min(alone.values()) <= 5


def test_a_score_that_tells_nothing_gets_no_gate() -> None:
    scores = {**random_scores(50), "area": np.ones(50, np.float32), "outside": np.full(50, np.nan, np.float32)}
    assert suggest(scores, 0.9).active.keys() == BOUNDS.keys() - {"min_area", "max_area", "max_outside"}
    constant = {name: np.ones(5, np.float32) for name in GATED_SCORES}
    assert suggest(constant, 0.5) == Gates()


def test_images_without_a_score_are_the_first_to_go() -> None:
    scores = random_scores(100)
    scores["direction"][:20] = np.nan
    assert kept(suggest(scores, 0.8), scores) == 80 == kept(suggest(scores, 0.99), scores)


@pytest.mark.parametrize("keep", [0, -1, 1.5, float("nan")])
def test_a_share_is_a_share(keep: float) -> None:
    with pytest.raises(ValueError, match="give the share of images to keep"):
        suggest(random_scores(5), keep)


@pytest.fixture
def output(tmp_path: Path) -> tuple[Any, Store]:
    """Two edits, one of them published with gates."""
    plan = small_plan(tmp_path, rules={"red": PublishRules(gates=Gates(min_direction=0.4, max_area=0.8))})
    commit_all(plan, samples=100)
    store = open_store(plan.output)
    publish_edits(store, plan, committed(store))
    return plan, store


def test_what_is_in_force_is_what_the_manifest_says(output: tuple[Any, Store]) -> None:
    _, store = output
    effects = {each.edit.split("-")[0]: each for each in gates_in_force(store)}
    rows = query(store, "SELECT gate FROM manifest WHERE gate IS NOT NULL").to_pylist()
    assert effects["red"].gates == Gates(min_direction=0.4, max_area=0.8) and effects["smile"].gates == Gates()
    assert effects["red"].first == Counter(row["gate"] for row in rows)
    assert effects["red"].images == effects["smile"].images == 2 * 86
    assert (effects["red"].rejected, effects["smile"].rejected) == (len(rows), 0)
    assert max(effects["red"].alone.values()) <= len(rows) < sum(effects["red"].alone.values())


def test_publishing_by_a_suggestion_rejects_what_it_said(output: tuple[Any, Store]) -> None:
    plan, store = output
    effects = list(suggested_gates(store, 0.7))
    rules = {each.edit.split("-")[0]: PublishRules(gates=each.gates) for each in effects}
    publish_edits(store, replace(plan, publish=rules), committed(store))
    sql = "SELECT edit, count(*) AS n FROM manifest WHERE status = 'rejected' GROUP BY edit ORDER BY edit"
    rejected = {row["edit"]: row["n"] for row in query(store, sql).to_pylist()}
    assert rejected == {each.edit: each.rejected for each in effects}
    assert list(suggested_gates(store, 0.7)) == effects
