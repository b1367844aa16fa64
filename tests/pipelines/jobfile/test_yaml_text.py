"""Job files are YAML 1.2, and text that we write has the same content in YAML 1.1."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines.jobfile.yaml_text import read_yaml, write_yaml

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("yes", "No", "NO", "on", "OFF", "y", "tRUE", "nULL")),
        *((each, each) for each in ("12:30:45", "1:0.5", "2020-01-01", "2001-12-14t21:59:43.10-05:00")),
        *((each, each) for each in ("01234", "-007", "00.5", "1_000", "0b11", "0o8", "=", "0x", "1e", ".")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, None) for word in ("null", "Null", "NULL", "~", "")),
        *(("0", 0), ("-0", 0), ("+12", 12), ("0o17", 15), ("0x1F", 31), ("'12'", "12"), ('"no"', "no")),
        *(("1.", 1.0), (".5", 0.5), ("-1e-3", -0.001), ("1E3", 1000.0), (".inf", math.inf), ("-.INF", -math.inf)),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    found = read_yaml(f"key: {text}")["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        "1e3",
        "0o17",
        "01234",
        "NO",
        "12:30:45",
        "1_000",
        "true",
        "",
        "~",
        "=",
        "2020-01-01",
        "<<",
        1e-5,
        1e20,
        True,
        None,
    ],
)
def test_written_text_is_read_unchanged_by_either_version(value: object) -> None:
    text = write_yaml({"key": [value], "name": value})
    assert read_yaml(text) == yaml.safe_load(text) == {"key": [value], "name": value}


def test_merges_override_and_are_no_duplicates() -> None:
    text = "x: &a {p: 1, q: 2}\ny: &b {<<: *a, q: 3}\nz: {<<: *b, p: 5}"
    assert read_yaml(text) == {"x": {"p": 1, "q": 2}, "y": {"p": 1, "q": 3}, "z": {"p": 5, "q": 3}}


@pytest.mark.parametrize(
    "text", ["a: 1\nb: {c: 1, d: 2, c: 3}", "- {c: 1, 'c': 2}", "? c\n: 1\n? c\n: 1", "{1: a, 1: b}"]
)
def test_duplicates_are_found_at_every_depth(text: str) -> None:
    with pytest.raises(ValueError, match=r"the key '[c1]' is given twice"):
        read_yaml(text)


@pytest.mark.parametrize(
    "text", ["a: [", "a: 1\n---\nb: 2", "[" * 5000, "a: " + "9" * 5000, "? [1]\n: 2", "a: !!python/x y"]
)
def test_invalid_text_is_an_error_of_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not YAML: .*$"):
        read_yaml(text)


def shipped() -> Iterator[str]:
    yield from (path.read_text() for path in (ROOT / "pipelines" / "jobs").glob("*.yaml"))
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        yield from re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)


def test_shipped_jobs_and_examples_are_the_same_in_either_version() -> None:
    texts = list(shipped())
    assert len(texts) > 10
    for text in texts:
        assert read_yaml(text) == yaml.safe_load(text)
