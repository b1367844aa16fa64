"""Sentences mention exactly their facts, in different and grammatical forms."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from coral_core.zoo.portraits.lexicon import LEXICON, NEUTRAL, check_attributes, choose_facts, make_sentence


def sentences(facts: dict[str, str], count: int = 400) -> set[str]:
    return {make_sentence(facts, random.Random(i)) for i in range(count)}


def test_the_lexicon_has_seventeen_attributes_with_words_for_every_value() -> None:
    assert len(LEXICON) == 17
    assert all(words for values in LEXICON.values() for words in values.values())


def test_all_wordings_of_a_value_are_used() -> None:
    assert {
        "a person with a smile",
        "a person who is smiling",
        "a smiling person",
        "a person with a cheerful grin",
    } <= (sentences({"mouth": "smile"}))
    assert {"a person with sunglasses", "a person wearing shades"} <= sentences({"glasses": "sunglasses"})


def test_backgrounds_follow_a_preposition() -> None:
    said = sentences({"background": "pink"})
    assert {"a person in front of a pink wall", "a person on a pink background"} <= said


def test_a_hat_has_its_colour() -> None:
    said = sentences({"hat": "cap", "hat_color": "red"})
    assert {"a person with a red baseball cap", "a person wearing a red cap with a visor"} <= said
    assert all("red" in text and "cap" in text for text in said)
    assert all("hat" in text for text in sentences({"hat_color": "blue"}))


def test_the_value_none_does_not_follow_wearing() -> None:
    for name in ("hat", "glasses", "earrings", "lipstick"):
        assert not any("wearing no" in text or "wearing bare" in text for text in sentences({name: "none"}))


def test_several_facts_make_one_sentence() -> None:
    facts = {"mouth": "smile", "hair_color": "gray", "beard": "moustache"}
    said = sentences(facts, 3_000)
    assert "a smiling person with gray hair and a moustache" in said
    assert len(said) > 300
    everything = {name: next(iter(values)) for name, values in LEXICON.items()} | {"hat": "beanie"}
    text = make_sentence(everything, random.Random(0))
    assert "person" in text or "someone" in text
    assert text.count(" who is ") <= 1 and text.replace("not wearing", "").count(" wearing ") <= 1


def test_articles_are_correct() -> None:
    for values in LEXICON.items():
        for value in values[1]:
            for text in sentences({values[0]: value}, 60):
                assert " a orange" not in f" {text}" and " a oval" not in f" {text}" and "is is" not in text
                assert "  " not in text and text == text.strip()


def test_no_facts_make_a_neutral_sentence() -> None:
    assert sentences({}) == set(NEUTRAL)


def test_subsets_are_mostly_small_sometimes_empty_sometimes_everything() -> None:
    visible = {name: next(iter(values)) for name, values in LEXICON.items()}
    rng = random.Random(0)
    sizes = Counter(len(choose_facts(visible, rng)) for _ in range(3_000))
    assert sum(sizes[n] for n in (1, 2, 3, 4)) > 0.7 * 3_000
    assert sizes[0] > 60 and sizes[len(visible)] > 60
    mentioned = Counter(name for _ in range(3_000) for name in choose_facts(visible, rng))
    assert min(mentioned.values()) > 0.7 * max(mentioned.values())


def test_unknown_facts_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'hair_color'"):
        make_sentence({"hair_colour": "red"}, random.Random(0))
    with pytest.raises(ValueError, match="values are none, gold"):
        check_attributes({"earrings": "silver"})
