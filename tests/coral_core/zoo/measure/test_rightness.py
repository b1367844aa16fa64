"""Right pixels and ghosts, for outputs that are made from rendered scenes, with their exact segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pytest

from coral_core.zoo.measure.ground_truth import answer_of, is_case
from coral_core.zoo.measure.rightness import (
    ENOUGH,
    ExactAnswers,
    exact_answers,
    ghost_shares,
    right_pixels,
    right_rate,
    right_shares,
)
from coral_core.zoo.portraits.domain import LEXICON, SEGMENTS, SPLITS, Scene, sample
from coral_core.zoo.portraits.palette import ATTRIBUTE_COLOURS

SIZE = 64
SCENES = [sample(seed) for seed in SPLITS["dev"][:20]]
EDITS = (
    {"hair_color": "red"},
    {"hat": "beanie"},
    {"hat": "none"},
    {"earrings": "none"},
    {"brows": "angry"},
    {"eyes": "open"},
    {"mouth": "smile", "beard": "none"},
)


@cache
def _cases(wants: tuple[tuple[str, str], ...]) -> ExactAnswers:
    found = [scene for scene in SCENES if is_case(scene, dict(wants), SIZE)][:5]
    assert len(found) >= 3
    return exact_answers(found, dict(wants), SIZE)


def cases_of(wants: Mapping[str, str]) -> ExactAnswers:
    return _cases(tuple(wants.items()))


def drawn(scenes: Sequence[Scene]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*(scene.render(SIZE) for scene in scenes), strict=True)
    return np.stack(images), np.stack(labels)


def right_in_another_colour(exact: ExactAnswers, family: str) -> float:
    """The share of the coloured segment that is right when the answers are drawn with the colour most unlike theirs."""
    attribute, colours = ATTRIBUTE_COLOURS[family]

    def most_unlike(value: str) -> str:
        return max(colours, key=lambda other: float(np.abs(np.subtract(colours[other], colours[value])).sum()))

    answers = [answer_of(scene, exact.wants) for scene in exact.scenes]
    others = [answer.edited(attribute, most_unlike(answer.attributes[attribute])) for answer in answers]
    coloured_NHW = exact.regions_NHW & (exact.answer_labels_NHW == SEGMENTS.index(family))
    return float(right_pixels(*drawn(others), exact)[coloured_NHW].mean())


@pytest.mark.parametrize("wants", EDITS)
def test_the_exact_answer_is_right_everywhere_and_no_ghost(wants: dict[str, str]) -> None:
    exact = cases_of(wants)
    assert right_shares(exact.answers_NHWC, exact.answer_labels_NHW, exact).min() == 1
    assert ghost_shares(exact.answers_NHWC, exact).max() == 0


@pytest.mark.parametrize("wants", [{"hair_color": "red"}, {"hat": "beanie"}])
def test_the_unedited_source_is_wrong_where_the_change_is_large(wants: dict[str, str]) -> None:
    exact = cases_of(wants)
    assert right_shares(*drawn(exact.scenes), exact).max() < 0.5
    assert right_rate(right_shares(*drawn(exact.scenes), exact)) == 0


@pytest.mark.parametrize("wants", EDITS)
def test_the_source_is_no_ghost(wants: dict[str, str]) -> None:
    exact = cases_of(wants)
    assert ghost_shares(exact.sources_NHWC, exact).max() == 0


@pytest.mark.parametrize("wants", EDITS)
def test_half_of_source_and_half_of_answer_is_all_ghosts(wants: dict[str, str]) -> None:
    exact = cases_of(wants)
    blend_NHWC = ((exact.sources_NHWC.astype(int) + exact.answers_NHWC) // 2).astype(np.uint8)
    assert ghost_shares(blend_NHWC, exact).min() == 1


def test_a_colour_off_the_line_is_no_ghost() -> None:
    exact = cases_of({"hair_color": "red"})
    middle_NHWC = (exact.sources_NHWC.astype(int) + exact.answers_NHWC) // 2
    line_NHWC = exact.answers_NHWC.astype(int) - exact.sources_NHWC
    across_NHWC = np.cross(line_NHWC, np.roll(line_NHWC, 1, 3))
    across_NHWC = across_NHWC / np.maximum(np.linalg.norm(across_NHWC, axis=3, keepdims=True), 1e-9)
    far_NHWC = middle_NHWC + 0.5 * np.linalg.norm(line_NHWC, axis=3, keepdims=True) * across_NHWC
    assert ghost_shares(far_NHWC, exact).max() < 0.1


@pytest.mark.parametrize("wants", [{"glasses": "round"}, {"mouth": "smile"}, {"brows": "angry"}])
def test_a_shift_of_one_pixel_is_right_and_one_of_three_is_not(wants: dict[str, str]) -> None:
    exact = cases_of(wants)

    def rate(pixels: int) -> float:
        moved = (np.roll(values, pixels, axis=1) for values in (exact.answers_NHWC, exact.answer_labels_NHW))
        return right_rate(right_shares(*moved, exact))

    assert rate(1) == 1
    assert rate(3) == 0


def test_the_right_colour_in_another_segment_is_wrong() -> None:
    exact = cases_of({"hat": "beanie"})
    hat, hair = SEGMENTS.index("hat"), SEGMENTS.index("hair")
    hairy = np.where(exact.answer_labels_NHW == hat, hair, exact.answer_labels_NHW)
    assert right_rate(right_shares(exact.answers_NHWC, hairy, exact)) == 0


def test_the_colour_of_an_added_hat_is_free_unless_the_edit_names_it() -> None:
    bare = [scene.edited("hat", "none") for scene in SCENES[:6]]
    free = exact_answers(bare, {"hat": "beanie"}, SIZE)
    named = exact_answers(bare, {"hat": "beanie", "hat_color": "red"}, SIZE)
    assert right_in_another_colour(free, "hat") == 1
    assert right_in_another_colour(named, "hat") < 0.5


def test_the_colour_of_a_hat_that_the_source_shows_is_not_free() -> None:
    hatted = exact_answers([scene.edited("hat", "top_hat") for scene in SCENES[:6]], {"hat": "beanie"}, SIZE)
    assert not hatted.waived_NHW.any()
    assert right_in_another_colour(hatted, "hat") < 0.5


def test_the_colour_of_hair_under_a_hat_is_free_only_where_the_source_shows_none() -> None:
    def without_hat(style: str) -> ExactAnswers:
        hatted = [scene.edited("hat", "cap").edited("hair_style", style) for scene in SCENES[:6]]
        return exact_answers(hatted, {"hat": "none"}, SIZE)

    hidden, shown = without_hat("mohawk"), without_hat("long")
    assert right_in_another_colour(hidden, "hair") == 1
    assert not shown.waived_NHW.any()
    assert right_in_another_colour(shown, "hair") < 0.5


def test_the_colour_of_eyes_that_open_is_free() -> None:
    closed = [scene.edited("glasses", "none").edited("eyes", "closed") for scene in SCENES[:6]]
    exact = exact_answers(closed, {"eyes": "open"}, SIZE)
    irises_NHW = exact.waived_NHW & exact.regions_NHW
    assert irises_NHW.any((1, 2)).all()
    for colour in LEXICON["eye_color"]:
        opened = drawn([answer_of(scene, exact.wants).edited("eye_color", colour) for scene in closed])
        assert right_pixels(*opened, exact)[irises_NHW].mean() > 0.95


def test_a_case_is_right_from_its_threshold_on() -> None:
    assert right_rate(np.array([ENOUGH, ENOUGH - 1e-6, 1.0, 0.0])) == 0.5


@pytest.mark.parametrize("arguments", [([], {"hat": "none"}), (SCENES[:1], {"hat": "crown"})])
def test_no_scene_and_unknown_values_are_refused(arguments: tuple[list[Scene], dict[str, str]]) -> None:
    with pytest.raises(ValueError):
        exact_answers(*arguments, SIZE)
