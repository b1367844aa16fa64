"""Why something is not there, in words that a page can show."""

from __future__ import annotations


def reason_of(error: Exception) -> str:
    """One line. A ValueError or OSError says it in words; of any other error the kind is part of the reason."""
    words = str(error)
    told = isinstance(error, ValueError | OSError) and words
    return (words if told else f"{type(error).__name__}: {words}").splitlines()[0]
