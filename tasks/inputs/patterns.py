"""Input patterns as in a shell: {000..003} and {a,b} braces; * ? [ ] globs, ** for any folders.

A glob matches no hidden name, which is one with a part that begins with a dot, unless the pattern has that dot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

MAX_NAMES = 1_000_000
"""Most names that the braces of one pattern may expand to."""
_GLOBS = re.compile(r"[*?[]")
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_VISIBLE = r"(?!\.)"
"""At the beginning of a part of a name: it is not hidden."""


def expand_braces(pattern: str) -> list[str]:
    """As in a shell: "a{00..02}" is a00 a01 a02, "{x,y}.tar" is x.tar y.tar; all combinations; {x} is unchanged."""
    if math.prod(_count(match) for match in _BRACES.finditer(pattern)) > MAX_NAMES:
        raise ValueError(f"input {pattern!r}: its braces expand to more than {MAX_NAMES} names; use a glob")
    return list(_expanded(pattern, pattern))


def literal_head(pattern: str) -> str:
    """The beginning of every match: the pattern up to its first wildcard, or the whole pattern without one."""
    return _GLOBS.split(pattern, maxsplit=1)[0]


def is_glob(pattern: str) -> bool:
    """Whether the pattern may match several names."""
    return bool(_GLOBS.search(pattern))


def matcher(glob: str, hidden: bool = False) -> re.Pattern[str]:
    """Its fullmatch() accepts the keys that a glob names; only ** matches a slash. With `hidden`, hidden names too."""
    visible, parts, before = "" if hidden else _VISIBLE, [], "/"
    for token in _TOKEN.findall(glob):
        parts.append(_regex(token, visible, begins=before.endswith("/")))
        before = token
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"input {glob!r} is not a valid glob: {error}") from None


def _expanded(pattern: str, whole: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    for choice in _choices(match, whole):
        yield from _expanded(pattern[: match.start()] + choice + pattern[match.end() :], whole)


def _count(match: re.Match[str]) -> int:
    """The number of choices of a pair of braces; 1 for a descending range."""
    return match[3].count(",") + 1 if match[3] is not None else max(1, int(match[2]) - int(match[1]) + 1)


def _choices(match: re.Match[str], whole: str) -> Iterator[str]:
    """The choices of one pair of braces."""
    if match[3] is not None:
        yield from match[3].split(",")
        return
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    if last < first:
        raise ValueError(f"input {whole!r}: the range {match[0]} is descending; give the smaller number first")
    yield from (f"{number:0{width}d}" for number in range(first, last + 1))


def _regex(token: str, visible: str, begins: bool) -> str:
    """The regular expression of a token; `visible` is required where a part of the name begins, `begins` if here."""
    here = visible if begins else ""
    if token.startswith("[") and len(token) > 2:
        negated = token.startswith("[!")
        inside = re.sub(r"([\\^&~|\[])", r"\\\1", token[1 + negated : -1])
        return f"{here}(?!/)[{'^' * negated}{inside}]"
    beyond = f"{here}[^/]*(?:/{visible}[^/]*)*"
    wildcards = {"**/": f"(?:{beyond}/)?", "**": beyond, "*": f"{here}[^/]*", "?": f"{here}[^/]"}
    return wildcards.get(token, re.escape(token))
