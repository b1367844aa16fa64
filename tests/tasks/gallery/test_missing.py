from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tasks.gallery import missing
from tasks.gallery.missing import Missing


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
    assert Missing.because(error) == Missing(says)


@pytest.mark.parametrize("path", sorted(Path(missing.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_no_union_has_a_text_for_a_value_that_is_not_there(path: Path) -> None:
    unions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.BinOp)]
    pairs = [(ast.unparse(node.left), ast.unparse(node.right)) for node in unions if isinstance(node.op, ast.BitOr)]
    assert not [pair for pair in pairs if "str" in pair and "None" not in pair]
