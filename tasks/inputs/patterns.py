"""Input patterns as a shell has them: {000..003} and {a,b} braces; * ? [ ] globs, ** for any folders.

A glob matches no hidden name, which is one with a part that begins with a dot, unless the pattern has that dot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

MOST_NAMES = 1_000_000
"""That the braces of one pattern may stand for."""
_GLOBS = re.compile(r"[*?[]")
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_VISIBLE = r"(?!\.)"
"""Where a part begins: that it is not hidden."""


def expand_braces(pattern: str) -> list[str]:
    """Shell-like: "a{00..02}" is a00 a01 a02, "{x,y}.tar" is x.tar y.tar; several braces multiply; {x} is itself."""
    if math.prod(_count(match) for match in _BRACES.finditer(pattern)) > MOST_NAMES:
        raise ValueError(f"input {pattern!r}: its braces stand for more than {MOST_NAMES} names; use a glob")
    return list(_expanded(pattern, pattern))


def literal_head(pattern: str) -> str:
    """What every match begins with: the pattern up to its first glob, all of it without any."""
    return _GLOBS.split(pattern, maxsplit=1)[0]


def is_glob(pattern: str) -> bool:
    """Whether the pattern may match several names."""
    return bool(_GLOBS.search(pattern))


def matcher(glob: str, hidden: bool = False) -> re.Pattern[str]:
    """Full-matches the keys that a glob names; only ** goes beyond a slash. With `hidden`, hidden names too."""
    visible, parts, before = "" if hidden else _VISIBLE, [], "/"
    for token in _TOKEN.findall(glob):
        parts.append(_regex(token, visible, begins=before.endswith("/")))
        before = token
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"input {glob!r} is no glob: {error}") from None


def _expanded(pattern: str, whole: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in _choices(match, whole):
        yield from _expanded(pattern[: match.start()] + choice + pattern[match.end() :], whole)


def _count(match: re.Match[str]) -> int:
    """How many choices a pair of braces has; 1 for a range that runs backwards."""
    return match[3].count(",") + 1 if match[3] is not None else max(1, int(match[2]) - int(match[1]) + 1)


def _choices(match: re.Match[str], whole: str) -> Iterator[str]:
    """What one pair of braces stands for."""
    if match[3] is not None:
        yield from match[3].split(",")
        return
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    if last < first:
        raise ValueError(f"input {whole!r}: the range {match[0]} runs backwards")
    yield from (f"{number:0{width}d}" for number in range(first, last + 1))


def _regex(token: str, visible: str, begins: bool) -> str:
    """What a glob's token matches; `visible` has to hold where a part of the name begins, as with this token or not."""
    here = visible if begins else ""
    if token.startswith("[") and len(token) > 2:
        negated = token.startswith("[!")
        inside = re.sub(r"([\\^&~|\[])", r"\\\1", token[1 + negated : -1])
        return f"{here}(?!/)[{'^' * negated}{inside}]"
    beyond = f"{here}[^/]*(?:/{visible}[^/]*)*"
    wildcards = {"**/": f"(?:{beyond}/)?", "**": beyond, "*": f"{here}[^/]*", "?": f"{here}[^/]"}
    return wildcards.get(token, re.escape(token))
