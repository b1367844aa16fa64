from __future__ import annotations

import pytest

from tasks.gallery.missing import reason_of


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("give another\nand more"), "give another"),
        (FileNotFoundError("it is gone"), "it is gone"),
        (KeyError("inversion"), "KeyError: 'inversion'"),
        (RuntimeError("shapes differ"), "RuntimeError: shapes differ"),
        (ValueError(), "ValueError: "),
    ],
)
def test_what_is_said_for_people_is_said_as_it_is_and_the_rest_is_named(error: Exception, says: str) -> None:
    assert reason_of(error) == says
