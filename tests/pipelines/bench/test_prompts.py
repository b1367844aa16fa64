from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.bench.prompts import KINDS, SHIPPED, read_prompts

GOOD = '- {id: red-hair, kind: recolour, source: "a person", target: "red hair", wants: {hair_color: red}}\n'


def test_the_shipped_files_are_good_and_share_no_sentence() -> None:
    dev, test = read_prompts("dev"), read_prompts("test")
    assert (len(dev), len(test)) == (8, 32)
    assert {prompt.kind for prompt in test} == set(KINDS)
    assert not {prompt.target for prompt in dev} & {prompt.target for prompt in test}
    assert read_prompts(str(SHIPPED["dev"])) == dev


def test_a_users_file_is_read(tmp_path: Path) -> None:
    (path := tmp_path / "mine.yaml").write_text(GOOD)
    (prompt,) = read_prompts(str(path))
    assert (prompt.prompt.target, prompt.prompt.source, prompt.wants) == ("red hair", "a person", {"hair_color": "red"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("target", "targt"), "prompt 1: .*'targt'; did you mean 'target'"),
        (GOOD.replace("hair_color: red", "hair_color: rd"), "did you mean 'red'"),
        (GOOD.replace("recolour", "repaint"), "prompt 1.kind: .*'recolour'"),
        (GOOD.replace("red-hair", "../red"), "is no id"),
        (GOOD + GOOD, "occur more than once"),
        ("[]", "no prompt"),
        ("7", "valid tuple"),
    ],
)
def test_a_bad_file_is_answered_with_its_place_and_what_is_allowed(tmp_path: Path, text: str, says: str) -> None:
    (path := tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_prompts(str(path))


def test_a_missing_file_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of dev, .*test"):
        read_prompts(str(tmp_path / "nothing.yaml"))
