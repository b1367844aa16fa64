"""The wishes of a sentence: "a smiling person with red hair and a hat" asks for three changes.

The source text of the prompt, up to its first clause, is the subject ("a person"). A sentence with several wishes has
its words before the subject's noun (adjectives) and clauses after it, which begin with one of LEADS and list their
items with commas and "and". Each wish becomes a sentence of its own about the subject: "a person who is smiling", "a
person with red hair", "a person with a hat". A frame ("a photo of ...") is left out, and "someone" stands for any
subject. A sentence of another form, or with one wish, is one wish: itself, unchanged.

A prompt that says its wishes itself (Prompt.wishes) is not divided.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from coral_core.types import Prompt

LEADS = ("with", "wearing", "who is not wearing", "who is wearing", "who is", "in front of", "on", "against")
"""The words that begin a clause, longer ones before those that they begin with."""
LISTS = ("with", "wearing", "who is not wearing", "who is wearing", "who is")
"""The clauses whose items may be several."""
CLAUSE = re.compile(rf"\b(?:{'|'.join(LEADS)}) ")
SEPARATOR = re.compile(r", and |, | and ")
MOST_WISHES = 8
"""Wishes that a prompt may say itself."""


def wishes_of(prompt: Prompt) -> tuple[str, ...]:
    """The sentences of the single wishes: the prompt's own, or else those of its target by the rule.

    They have no order. The target itself if the rule cannot divide it.
    """
    return prompt.wishes or split_wishes(prompt.target, prompt.source)


def check_wishes(wishes: Sequence[str]) -> None:
    """ValueError for wishes without words, for two that CLIP reads as the same text, and for more than MOST_WISHES."""
    if len(wishes) > MOST_WISHES:
        raise ValueError(f"{len(wishes)} wishes; give at most {MOST_WISHES}")
    read: dict[str, str] = {}
    for wish in wishes:
        if not (text := as_read(wish)):
            raise ValueError(f"the wish {wish!r} says nothing; give a sentence such as 'a person with red hair'")
        if text in read:
            raise ValueError(f"the wishes {read[text]!r} and {wish!r} say the same; leave one out")
        read[text] = wish


def as_read(text: str) -> str:
    """The text as CLIP's tokenizer reads it: without capital letters, any white space as one space."""
    return " ".join(text.lower().split())


def join_wishes(wishes: Sequence[str]) -> str:
    """One sentence for all wishes, whatever their order.

    Wishes about the same subject, each with a clause, become one subject with all clauses, in the order of LEADS;
    others are listed. The rule divides the sentence into the wishes again if each has a single clause without "and".

    >>> join_wishes(["a person with red hair", "a person who is smiling", "a person with a hat"])
    'a person with a hat and red hair who is smiling'
    >>> join_wishes(["a smiling person", "a person with red hair"])
    'a person with red hair and a smiling person'
    """
    wishes = sorted(wishes)
    starts = [CLAUSE.search(wish) for wish in wishes]
    about = {start.string[: start.start()].strip() for start in starts if start is not None}
    if len(wishes) == 1 or None in starts or len(about) != 1:
        return _listed(wishes)
    clauses = [_lead(start.string[start.start() :]) for start in starts if start is not None]
    said = list(about)
    for lead in LEADS:
        bodies = [body for each, body in clauses if each == lead]
        said += [f"{lead} {body}" for body in ([_listed(bodies)] if lead in LISTS and bodies else bodies)]
    return " ".join(said)


def _listed(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


@lru_cache(maxsize=1024)
def split_wishes(target: str, source: str) -> tuple[str, ...]:
    """The wishes of `target` about the subject `source`.

    >>> split_wishes("a smiling person with red hair and a hat", "a person")
    ('a person who is smiling', 'a person with red hair', 'a person with a hat')
    """
    about = CLAUSE.split(" ".join(source.split()))[0].strip()
    noun = about.rpartition(" ")[2]
    subject = rf"(?:(?:an?|the) ((?:\w+ )*){re.escape(noun)}|someone)"
    found = re.fullmatch(rf"(?:(?:an?|the) \w+ of )?{subject}((?: .*)?)", " ".join(target.split()))
    if found is None:
        return (target,)
    adjectives, rest = (found[1] or "").split(), found[2].strip()
    items = [("who is", adjective) for adjective in adjectives]
    starts = [match.start() for match in CLAUSE.finditer(rest) if not _describes_worn(rest, match)]
    if rest and starts[:1] != [0]:
        return (target,)
    for start, end in pairwise([*starts, len(rest)]):
        lead, body = _lead(rest[start:end].strip())
        body = body.removesuffix(" and").removesuffix(",")
        items += [(lead, item) for item in (SEPARATOR.split(body) if lead in LISTS else [body])]
    if len(items) < 2:
        return (target,)
    return tuple(f"{about} {lead} {item}" for lead, item in items)


def _describes_worn(rest: str, clause: re.Match[str]) -> bool:
    """Whether a with-clause belongs to what is worn: "wearing a cap with a visor"."""
    return clause[0] == "with " and "wearing " in rest[: clause.start()]


def _lead(clause: str) -> tuple[str, str]:
    """A clause as (its first words, its body)."""
    lead = next(lead for lead in LEADS if clause.startswith(f"{lead} "))
    return lead, clause.removeprefix(f"{lead} ")
