"""A value that could not be read or made, as a type of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """In place of a value: why there is none, in one line that a page can show."""

    reason: str

    @classmethod
    def because(cls, error: Exception) -> Missing:
        """The first line of the message of a ValueError or OSError; of any other error the class name as well."""
        message = str(error)
        complete = isinstance(error, ValueError | OSError) and message
        return cls((message if complete else f"{type(error).__name__}: {message}").splitlines()[0])
