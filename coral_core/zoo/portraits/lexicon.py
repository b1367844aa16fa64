"""The attributes, their values and wordings, and the sentences made from them."""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml


def _read() -> dict[str, dict[str, tuple[str, ...]]]:
    text = Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8")
    lexicon: dict[str, dict[str, list[str]]] = yaml.safe_load(text)
    return {name: {value: tuple(words) for value, words in values.items()} for name, values in lexicon.items()}


LEXICON: Mapping[str, Mapping[str, tuple[str, ...]]] = _read()
"""attribute -> value -> wordings; the first wording is the default one."""

FRAMES: tuple[tuple[str, float], ...] = (
    ("{}", 0.6),
    ("a photo of {}", 0.13),
    ("a portrait of {}", 0.13),
    ("a picture of {}", 0.07),
    ("the face of {}", 0.07),
)
NEUTRAL: tuple[str, ...] = ("a person", "a photo", "a photo of a person", "a face", "a portrait", "a picture",
                            "a portrait of a person", "someone", "a human face", "a picture of someone")  # fmt: skip
BACKGROUND_PREPOSITIONS: tuple[str, ...] = ("in front of", "on", "against")
WORN: frozenset[str] = frozenset({"glasses", "hat", "earrings", "clothes_color", "lipstick"})
"""Attributes whose values, except `none`, can follow "wearing"."""

COLOURED_HAIR: Mapping[str, str] = {
    "short": "short {} hair",
    "bob": "a {} bob",
    "long": "long {} hair",
    "curly": "curly {} hair",
    "mohawk": "a {} mohawk",
}
NOT_BEFORE_A_NOUN: frozenset[str] = frozenset({"asleep"})


@dataclass(frozen=True)
class Wordings:
    """The material of sentences: wordings of every value, and sentence frames with their weights."""

    lexicon: Mapping[str, Mapping[str, tuple[str, ...]]]
    frames: tuple[tuple[str, float], ...]

    @classmethod
    def training(cls) -> Wordings:
        """All wordings but the third of each value, and the first frames: for editors that learn from captions."""
        return cls(_select_wordings(lambda words: words[:2] + words[3:]), FRAMES[:TRAINING_FRAMES])

    @classmethod
    def held_out(cls) -> Wordings:
        """The wordings and frames that training() leaves out: such an editor has not seen them, but CLIP has."""
        return cls(_select_wordings(lambda words: words[2:3] or words), FRAMES[TRAINING_FRAMES:])


def _select_wordings(choose: Callable[[tuple[str, ...]], tuple[str, ...]]) -> dict[str, dict[str, tuple[str, ...]]]:
    return {name: {value: choose(words) for value, words in values.items()} for name, values in LEXICON.items()}


TRAINING_FRAMES = 3
ALL = Wordings(LEXICON, FRAMES)
NO_FACTS, ALL_FACTS = 0.06, 0.06
COUNTS: tuple[float, ...] = (0.3, 0.27, 0.2, 0.13, 0.05, 0.03, 0.02)
"""Probabilities that a caption that is neither empty nor complete mentions 1, 2, 3, ... facts."""


def check_attributes(attributes: Mapping[str, str]) -> None:
    """ValueError for an unknown attribute or value, with the known ones."""
    for name, value in attributes.items():
        if name not in LEXICON:
            raise ValueError(f"no attribute {name!r}{_nearest(name, LEXICON)}; the attributes are {', '.join(LEXICON)}")
        if value not in LEXICON[name]:
            known = LEXICON[name]
            raise ValueError(f"{name} cannot be {value!r}{_nearest(value, known)}; its values are {', '.join(known)}")


def choose_facts(visible: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """A random subset of the visible attributes, mostly one to four, in the order of the lexicon."""
    kind = rng.random()
    if kind < NO_FACTS:
        return {}
    if kind < NO_FACTS + ALL_FACTS:
        return dict(visible)
    count = rng.choices(range(1, len(COUNTS) + 1), COUNTS)[0]
    chosen = set(rng.sample(list(visible), min(count, len(visible))))
    return {name: value for name, value in visible.items() if name in chosen}


def make_sentence(facts: Mapping[str, str], rng: random.Random, wordings: Wordings = ALL) -> str:
    """A sentence that mentions exactly these facts (attribute -> value). ValueError for unknown names."""
    check_attributes(facts)
    if not facts:
        return rng.choice(NEUTRAL)
    phrases = _phrases(facts, rng, wordings)
    rng.shuffle(phrases)
    place = ""
    if "background" in facts:
        place = f" {rng.choice(BACKGROUND_PREPOSITIONS)} {_wording('background', facts, rng, wordings)}"
    frames, weights = zip(*wordings.frames, strict=True)
    frame = rng.choices(frames, weights)[0]
    return frame.format(_subject(phrases, rng) + place)


def _phrases(facts: Mapping[str, str], rng: random.Random, wordings: Wordings) -> list[tuple[str, bool]]:
    """One (wording, can follow "wearing") per fact or combined pair of facts, without the background."""
    left = {name: value for name, value in facts.items() if name != "background"}
    phrases: list[tuple[str, bool]] = []
    if "hat_color" in left:
        hat = left.pop("hat", "none")
        noun = rng.choice(wordings.lexicon["hat"][hat]) if hat != "none" else "a hat"
        phrases.append((_coloured(noun, left.pop("hat_color")), True))
    if "hair_color" in left and left.get("hair_style") in COLOURED_HAIR and rng.random() < 0.5:
        form = COLOURED_HAIR[left.pop("hair_style")]
        phrases.append((form.format(left.pop("hair_color")), False))
    for name, value in left.items():
        phrases.append((_wording(name, left, rng, wordings), name in WORN and value != "none"))
    return phrases


def _subject(phrases: Sequence[tuple[str, bool]], rng: random.Random) -> str:
    """The phrases in grammatical order: "a smiling person with ... wearing ... who is ..."."""
    adjectives: list[str] = []
    having: list[str] = []
    wearing: list[str] = []
    being: list[str] = []
    wear = rng.random() < 0.35
    for words, worn in phrases:
        predicate = words.removeprefix("is ")
        if words == predicate:
            (wearing if worn and wear else having).append(words)
        elif not adjectives and _precedes_noun(predicate) and rng.random() < 0.5:
            adjectives.append(predicate)
        else:
            being.append(predicate)
    clauses = [("with", having), ("wearing", wearing), ("who is", being)]
    if rng.random() < 0.25:
        clauses = [clauses[-1], *clauses[:-1]]
    return " ".join([_noun(adjectives, rng), *(f"{lead} {_listed(words)}" for lead, words in clauses if words)])


def _noun(adjectives: Sequence[str], rng: random.Random) -> str:
    """The noun of the subject: "someone", "a person", or "a smiling person" with the one adjective."""
    if adjectives:
        return f"{_article(adjectives[0])} {adjectives[0]} person"
    return "someone" if rng.random() < 0.15 else "a person"


def _wording(name: str, facts: Mapping[str, str], rng: random.Random, words: Wordings) -> str:
    """The first wording of the value in 40 % of the cases, otherwise a random one of all its wordings."""
    known = words.lexicon[name][facts[name]]
    return known[0] if rng.random() < 0.4 else rng.choice(known)


def _coloured(noun: str, colour: str) -> str:
    """The noun with its colour: "a beanie", "red" -> "a red beanie"."""
    return f"{_article(colour)} {colour} {noun.split(' ', 1)[1]}"


def _precedes_noun(predicate: str) -> bool:
    return " " not in predicate and predicate not in NOT_BEFORE_A_NOUN


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _listed(words: Sequence[str]) -> str:
    """Words joined as an English list: "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
