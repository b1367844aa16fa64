"""Success and unchanged attributes, for rendered scenes and a judge that gives the true values."""

from __future__ import annotations

import numpy as np
import pytest

from coral_core.zoo.measure.ground_truth import (
    CHANGE_THRESHOLD,
    MIN_PIXELS,
    answer_of,
    is_case,
    lacks,
    preserved_attributes,
    succeeded,
    success_rate,
    true_region,
    unchanged,
    unchanged_rate,
)
from coral_core.zoo.portraits.domain import LEXICON, SPLITS, sample

SCENES = [sample(seed) for seed in SPLITS["dev"][:40]]
EDITS = (
    {"hair_color": "red"},
    {"glasses": "sunglasses"},
    {"hat": "beanie"},
    {"beard": "none"},
    {"mouth": "smile", "hair_color": "gray", "beard": "moustache"},
)


@pytest.mark.parametrize("wants", EDITS)
def test_the_exact_answer_succeeds_and_changes_no_preserved_attribute(wants: dict[str, str]) -> None:
    scenes = [scene for scene in SCENES if is_case(scene, wants)]
    truth = [answer_of(scene, wants).attributes for scene in scenes]
    assert success_rate(truth, wants) == 1.0
    assert unchanged_rate(truth, scenes, wants) == 1.0


@pytest.mark.parametrize("wants", EDITS)
def test_a_case_lacks_a_wanted_value_and_shows_its_answer(wants: dict[str, str]) -> None:
    cases = [scene for scene in SCENES if is_case(scene, wants)]
    assert 0 < len(cases) < len(SCENES)
    for scene in SCENES:
        answer = answer_of(scene, wants)
        differs = true_region(scene.image(), answer.image()).sum() >= MIN_PIXELS
        assert (scene in cases) == (lacks(scene, wants) and differs and set(wants) <= answer.visible())
    for scene in cases:
        assert not succeeded(scene.attributes, wants)
        assert unchanged(scene.attributes, scene, wants) == 1.0


def test_an_edit_of_hidden_hair_is_no_case() -> None:
    bald = SCENES[0].edited("hat", "none").edited("hair_style", "bald").edited("hair_color", "blue")
    assert lacks(bald, {"hair_color": "red"})
    assert not is_case(bald, {"hair_color": "red"})


def test_an_answer_that_hides_what_was_asked_for_is_no_case() -> None:
    hatted = SCENES[0].edited("hat", "beanie").edited("hair_style", "long")
    bald = {"hair_style": "bald"}
    assert true_region(hatted.image(), answer_of(hatted, bald).image()).sum() >= MIN_PIXELS
    assert not is_case(hatted, bald)
    assert is_case(hatted.edited("hat", "none"), bald)


def test_preserved_attributes_are_visible_before_and_after_and_not_asked_for() -> None:
    scene = (
        SCENES[0].edited("hat", "none").edited("hair_style", "long").edited("glasses", "none").edited("eyes", "open")
    )
    shaded = preserved_attributes(scene, {"glasses": "sunglasses"})
    assert "glasses" not in shaded and "eye_color" not in shaded and "hat_color" not in shaded
    assert {"mouth", "hair_color", "background"} <= set(shaded)
    assert "hat_color" not in preserved_attributes(scene, {"hat": "cap"})


def test_unchanged_is_the_share_of_preserved_attributes_with_their_value() -> None:
    scene, wants = SCENES[0].edited("glasses", "none"), {"glasses": "round"}
    names = preserved_attributes(scene, wants)
    other = next(value for value in LEXICON["mouth"] if value != scene.attributes["mouth"])
    read = answer_of(scene, wants).edited("mouth", other).attributes
    assert unchanged(read, scene, wants) == pytest.approx(1 - 1 / len(names))


def test_success_needs_every_wanted_value() -> None:
    wants = {"mouth": "smile", "beard": "full"}
    assert succeeded(wants, wants)
    assert not succeeded({"mouth": "smile", "beard": "none"}, wants)
    assert success_rate([wants, {"mouth": "frown", "beard": "full"}], wants) == 0.5


def test_the_true_region_is_where_any_channel_differs_by_more_than_the_threshold() -> None:
    source = np.full((4, 4, 3), 100, np.uint8)
    answer = source.copy()
    answer[0, 0, 1] += CHANGE_THRESHOLD
    answer[1, 1, 2] -= CHANGE_THRESHOLD + 1
    answer[2, 2] = 255
    assert np.argwhere(true_region(source, answer)).tolist() == [[1, 1], [2, 2]]
    assert true_region(source[None], answer[None]).shape == (1, 4, 4)


def test_an_average_without_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="no scene is a case"):
        success_rate([], {"mouth": "smile"})
