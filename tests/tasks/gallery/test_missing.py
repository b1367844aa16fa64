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
def test_messages_for_users_are_kept_and_other_errors_have_their_class_name(error: Exception, says: str) -> None:
    assert Missing.because(error) == Missing(says)


@pytest.mark.parametrize("path", sorted(Path(missing.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_no_union_uses_a_text_for_a_missing_value(path: Path) -> None:
    unions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.BinOp)]
    pairs = [(ast.unparse(node.left), ast.unparse(node.right)) for node in unions if isinstance(node.op, ast.BitOr)]
    assert not [pair for pair in pairs if "str" in pair and "None" not in pair]
