"""Braces and globs have the same meaning for keys in a bucket and for files."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from tasks.inputs.patterns import expand_braces, is_glob, literal_head, matcher

NAMES = [
    "a.tar",
    "b.tar",
    "ab.tar",
    "a-1.tar",
    "d/a.tar",
    "d/e/a.tar",
    "d/e/f/b.tar",
    "a.tar.gz",
    "x+y.tar",
    "d/[x].tar",
    ".h.tar",
    "d/.h/a.tar",
    "d/e/.h.tar",
    "d/^.tar",
]


def test_braces_expand_as_in_a_shell() -> None:
    assert expand_braces("a{08..10}.tar") == ["a08.tar", "a09.tar", "a10.tar"]
    assert expand_braces("{x,y}{0..1}") == ["x0", "x1", "y0", "y1"]
    assert expand_braces("s3://b/{00000..00099}.tar")[-1] == "s3://b/00099.tar"
    assert expand_braces("plain") == ["plain"]
    assert expand_braces("${HOME}/{x}/{a,b}") == ["${HOME}/{x}/a", "${HOME}/{x}/b"]
    with pytest.raises(ValueError, match="descending"):
        expand_braces("x{3..1}")


def test_braces_that_expand_to_too_many_names_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1000000 names; use a glob"):
        expand_braces("{0..99999999999}")
    with pytest.raises(ValueError, match="more than 1000000 names; use a glob"):
        expand_braces("{0..99999}{0..99999}")


@pytest.mark.parametrize(
    "pattern",
    [
        "*.tar",
        "?.tar",
        "**/*.tar",
        "d/**",
        "d/*/a.tar",
        "[ab].tar",
        "[!a].tar",
        "[a-b]*",
        "x+y.tar",
        "d/[[]x].tar",
        "*",
        "**",
        ".*",
        "d/.h/*",
        "d/**/.h*",
        "**/.h/*.tar",
        "d/[.^]*",
        "?h.tar",
    ],
)
def test_globs_match_keys_as_they_match_files(tmp_path: Path, pattern: str) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207  this is what is used for files
    files = [each for each in found if (tmp_path / each).is_file()]
    assert sorted(files) == sorted(name for name in NAMES if matcher(pattern).fullmatch(name))
    every = glob.glob(pattern, root_dir=tmp_path, recursive=True, include_hidden=True)  # noqa: PTH207
    files = [each for each in every if (tmp_path / each).is_file()]
    assert files or pattern == "?h.tar"
    assert sorted(files) == sorted(name for name in NAMES if matcher(pattern, hidden=True).fullmatch(name))


def test_an_invalid_glob_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"input '\[z-a\]\.tar' is not a valid glob"):
        matcher("[z-a].tar")


def test_every_match_begins_with_the_literal_head() -> None:
    assert [literal_head(each) for each in ("a/b-*.tar", "a/[bc]", "?", "plain.tar")] == ["a/b-", "a/", "", "plain.tar"]
    assert [is_glob(each) for each in ("a/b-*.tar", "a/[bc]", "?", "plain.tar")] == [True, True, True, False]
