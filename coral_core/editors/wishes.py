"""The wishes of a sentence: "a smiling person with red hair and a hat" asks for three changes.

The source text of the prompt, up to its first clause, is the subject ("a person"). A sentence with several wishes has
its words before the subject's noun (adjectives) and clauses after it, which begin with one of LEADS and list their
items with commas and "and". Each wish becomes a sentence of its own about the subject: "a person who is smiling", "a
person with red hair", "a person with a hat". A frame ("a photo of ...") is left out, and "someone" stands for any
subject. A sentence of another form, or with one wish, is one wish: itself, unchanged.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from coral_core.types import Prompt

LEADS = ("with", "wearing", "who is", "in front of", "on", "against")
"""The words that begin a clause."""
LISTS = ("with", "wearing", "who is")
"""The clauses whose items may be several."""
CLAUSE = re.compile(rf"\b(?:{'|'.join(LEADS)}) ")
SEPARATOR = re.compile(r", and |, | and ")


def wishes_of(prompt: Prompt) -> tuple[str, ...]:
    """The sentences of the single wishes, in their order; the target itself if it cannot be divided."""
    return split_wishes(prompt.target, prompt.source)


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
