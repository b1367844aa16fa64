"""Told and untold wordings: what an editor learns from, and what is kept back to ask it for."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping

from coral_core.zoo.portraits.lexicon import ALL, FRAMES, LEXICON, Wordings, choose_facts, say

TOLD, UNTOLD = Wordings.told(), Wordings.untold()
VALUES = [(name, value) for name, values in LEXICON.items() for value in values]
ROOMY = [(name, value) for name, value in VALUES if len(LEXICON[name][value]) >= 3]


def captions(count: int, wordings: Wordings) -> Iterator[tuple[Mapping[str, str], str]]:
    """Facts as of random images, and what is said of them."""
    for seed in range(count):
        rng = random.Random(seed)
        visible = {name: rng.choice(list(values)) for name, values in LEXICON.items()}
        facts = choose_facts(visible, rng)
        yield facts, say(facts, rng, wordings)


def stem(wording: str) -> str:
    """Without the words before it that change with its place in a sentence."""
    return re.sub(r"^(is|an?) ", "", wording)


def said(wording: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(stem(wording))}\b", text) is not None


def leaked(name: str, value: str, text: str) -> bool:
    """Whether the text has what is kept back of a value, and not only as a part of what is told: "a bald head"."""
    (kept,) = UNTOLD.lexicon[name][value]
    for wording in TOLD.lexicon[name][value]:
        if said(kept, wording):
            text = text.replace(stem(wording), "")
    return said(kept, text)


def test_no_wording_is_both_told_and_untold() -> None:
    for name, value in ROOMY:
        told, untold = TOLD.lexicon[name][value], UNTOLD.lexicon[name][value]
        assert told
        assert untold
        assert not set(told) & set(untold)
        assert sorted(told + untold) == sorted(LEXICON[name][value])


def test_what_is_kept_back_of_one_value_is_not_told_of_another() -> None:
    told = {wording for name, value in VALUES for wording in TOLD.lexicon[name][value]}
    assert not told & {wording for name, value in ROOMY for wording in UNTOLD.lexicon[name][value]}


def test_every_value_can_be_said_either_way() -> None:
    assert {name for name, value in VALUES if (name, value) not in ROOMY} == {"hat_color"}
    for name, value in VALUES:
        assert TOLD.lexicon[name][value][0] == LEXICON[name][value][0]  # the plain one is told
        if (name, value) not in ROOMY:
            assert TOLD.lexicon[name][value] == UNTOLD.lexicon[name][value] == LEXICON[name][value]


def test_frames_are_split_without_remainder() -> None:
    assert TOLD.frames
    assert UNTOLD.frames
    assert not set(TOLD.frames) & set(UNTOLD.frames)
    assert (*TOLD.frames, *UNTOLD.frames) == FRAMES == ALL.frames


def test_nothing_untold_is_told() -> None:
    starts = tuple(frame.split("{}")[0] for frame, _ in UNTOLD.frames)
    heard = set()
    for facts, text in captions(4000, TOLD):
        wrong = [fact for fact in facts.items() if fact in ROOMY and leaked(*fact, text)]
        assert not wrong, f"{text!r} says {wrong}"
        assert not facts or not text.startswith(starts), text
        heard |= set(facts.items())
    assert heard == set(VALUES)


def test_of_one_fact_all_told_wordings_are_said_and_no_sentence_is_an_untold_one() -> None:
    for name, value in ROOMY:
        told = {say({name: value}, random.Random(seed), TOLD) for seed in range(150)}
        untold = {say({name: value}, random.Random(seed), UNTOLD) for seed in range(150)}
        assert all(any(said(wording, text) for text in told) for wording in TOLD.lexicon[name][value])
        assert not any(leaked(name, value, text) for text in told)
        assert all(leaked(name, value, text) for text in untold)
        assert not told & untold


def test_a_hat_with_a_colour_takes_its_noun_from_the_same_wordings() -> None:
    facts = {"hat": "beanie", "hat_color": "red"}
    heard = {wordings: " ".join(say(facts, random.Random(i), w) for i in range(99))
             for wordings, w in (("told", TOLD), ("untold", UNTOLD))}  # fmt: skip
    assert "red wool hat" in heard["untold"]
    assert "red wool hat" not in heard["told"]
    assert "red beanie" in heard["told"]
    assert "red beanie" not in heard["untold"]


def test_captions_of_all_wordings_are_those_of_the_shipped_networks() -> None:
    """CLIP was trained on them: what this recipe says has not changed since."""
    texts = [text for _, text in captions(500, ALL)]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == "c0120c8e0430e1e7"
    for seed, (facts, text) in enumerate(captions(500, ALL)):
        rng = random.Random(seed)
        assert facts == choose_facts({name: rng.choice(list(values)) for name, values in LEXICON.items()}, rng)
        assert say(facts, rng) == text
