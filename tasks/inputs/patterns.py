"""Input patterns as a shell has them: {000..003} and {a,b} braces; * ? [ ] globs, ** for any folders."""

from __future__ import annotations

import re

_GLOBS = re.compile(r"[*?[]")
_TOKENS: dict[str, str] = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
"""What each glob stands for; whatever else is found is itself."""
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def expand_braces(pattern: str) -> list[str]:
    """Shell-like: "a{00..02}" is a00 a01 a02, "{x,y}.tar" is x.tar y.tar; several braces multiply."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if numbers is None:
        choices = match[1].split(",")
    else:
        first, last, width = int(numbers[1]), int(numbers[2]), len(numbers[1])
        if last < first:
            raise ValueError(f"input {pattern!r}: the range {{{match[1]}}} runs backwards")
        choices = [f"{number:0{width}d}" for number in range(first, last + 1)]
    return [
        each for choice in choices for each in expand_braces(pattern[: match.start()] + choice + pattern[match.end() :])
    ]


def literal_head(pattern: str) -> str:
    """What every match begins with: the pattern up to its first glob, all of it without any."""
    return _GLOBS.split(pattern, maxsplit=1)[0]


def is_glob(pattern: str) -> bool:
    """Whether the pattern may match several names."""
    return bool(_GLOBS.search(pattern))


def matcher(glob: str) -> re.Pattern[str]:
    """Full-matches the keys that a glob names; only ** goes beyond a slash."""
    return re.compile("".join(_regex(token) for token in _TOKEN.findall(glob)), re.DOTALL)


def _regex(token: str) -> str:
    if token.startswith("[") and len(token) > 2:
        inside = token[1:-1].replace("\\", r"\\")
        return f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside}]"
    return _TOKENS.get(token, re.escape(token))
