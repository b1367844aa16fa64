"""Training wordings, from which an editor learns, and held-out wordings, with which it is tested."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping

from coral_core.zoo.portraits.lexicon import ALL, FRAMES, LEXICON, Wordings, choose_facts, make_sentence

TRAINING, HELD_OUT = Wordings.training(), Wordings.held_out()
VALUES = [(name, value) for name, values in LEXICON.items() for value in values]
ROOMY = [(name, value) for name, value in VALUES if len(LEXICON[name][value]) >= 3]


def captions(count: int, wordings: Wordings) -> Iterator[tuple[Mapping[str, str], str]]:
    """Random facts and a sentence about each set of them."""
    for seed in range(count):
        rng = random.Random(seed)
        visible = {name: rng.choice(list(values)) for name, values in LEXICON.items()}
        facts = choose_facts(visible, rng)
        yield facts, make_sentence(facts, rng, wordings)


def stem(wording: str) -> str:
    """The wording without its first word ("is", "a", "an"), which depends on the position in a sentence."""
    return re.sub(r"^(is|an?) ", "", wording)


def said(wording: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(stem(wording))}\b", text) is not None


def leaked(name: str, value: str, text: str) -> bool:
    """Whether the text has the held-out wording of a value, except as part of a training wording ("a bald head")."""
    (kept,) = HELD_OUT.lexicon[name][value]
    for wording in TRAINING.lexicon[name][value]:
        if said(kept, wording):
            text = text.replace(stem(wording), "")
    return said(kept, text)


def test_training_and_held_out_wordings_are_disjoint() -> None:
    for name, value in ROOMY:
        training, held_out = TRAINING.lexicon[name][value], HELD_OUT.lexicon[name][value]
        assert training
        assert held_out
        assert not set(training) & set(held_out)
        assert sorted(training + held_out) == sorted(LEXICON[name][value])


def test_held_out_wordings_of_one_value_are_no_training_wordings_of_another() -> None:
    training = {wording for name, value in VALUES for wording in TRAINING.lexicon[name][value]}
    assert not training & {wording for name, value in ROOMY for wording in HELD_OUT.lexicon[name][value]}


def test_every_value_has_training_and_held_out_wordings() -> None:
    assert {name for name, value in VALUES if (name, value) not in ROOMY} == {"hat_color"}
    for name, value in VALUES:
        assert TRAINING.lexicon[name][value][0] == LEXICON[name][value][0]  # the default wording is a training wording
        if (name, value) not in ROOMY:
            assert TRAINING.lexicon[name][value] == HELD_OUT.lexicon[name][value] == LEXICON[name][value]


def test_every_frame_is_in_one_of_the_two_sets() -> None:
    assert TRAINING.frames
    assert HELD_OUT.frames
    assert not set(TRAINING.frames) & set(HELD_OUT.frames)
    assert (*TRAINING.frames, *HELD_OUT.frames) == FRAMES == ALL.frames


def test_training_sentences_have_no_held_out_wordings() -> None:
    starts = tuple(frame.split("{}")[0] for frame, _ in HELD_OUT.frames)
    heard = set()
    for facts, text in captions(4000, TRAINING):
        wrong = [fact for fact in facts.items() if fact in ROOMY and leaked(*fact, text)]
        assert not wrong, f"{text!r} says {wrong}"
        assert not facts or not text.startswith(starts), text
        heard |= set(facts.items())
    assert heard == set(VALUES)


def test_all_training_wordings_are_used_and_no_sentence_is_held_out() -> None:
    for name, value in ROOMY:
        training = {make_sentence({name: value}, random.Random(seed), TRAINING) for seed in range(150)}
        held_out = {make_sentence({name: value}, random.Random(seed), HELD_OUT) for seed in range(150)}
        assert all(any(said(wording, text) for text in training) for wording in TRAINING.lexicon[name][value])
        assert not any(leaked(name, value, text) for text in training)
        assert all(leaked(name, value, text) for text in held_out)
        assert not training & held_out


def test_a_hat_with_a_colour_takes_its_noun_from_the_same_wordings() -> None:
    facts = {"hat": "beanie", "hat_color": "red"}
    heard = {wordings: " ".join(make_sentence(facts, random.Random(i), w) for i in range(99))
             for wordings, w in (("training", TRAINING), ("held_out", HELD_OUT))}  # fmt: skip
    assert "red wool hat" in heard["held_out"]
    assert "red wool hat" not in heard["training"]
    assert "red beanie" in heard["training"]
    assert "red beanie" not in heard["held_out"]


def test_captions_of_all_wordings_are_those_of_the_shipped_networks() -> None:
    """CLIP was trained on these captions, so they must not change."""
    texts = [text for _, text in captions(500, ALL)]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == "c0120c8e0430e1e7"
    for seed, (facts, text) in enumerate(captions(500, ALL)):
        rng = random.Random(seed)
        assert facts == choose_facts({name: rng.choice(list(values)) for name, values in LEXICON.items()}, rng)
        assert make_sentence(facts, rng) == text
