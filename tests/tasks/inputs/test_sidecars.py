from __future__ import annotations

import json

import pytest

from tasks.inputs.sidecars import MAX_DEPTH, parse_caption, parse_json, to_text


def test_an_object_is_unchanged() -> None:
    found = {"a": 1, "b": [2.5, None, True], "c": {"d": "\u00e9"}}
    assert parse_json(json.dumps(found).encode()) == found
    assert parse_json("\ufeff{}".encode("utf-8")) == {} == parse_json("{}".encode("utf-16"))


@pytest.mark.parametrize("data", [b"[1]", b"null", b'"text"', b"3"])
def test_any_other_value_is_under_the_key_json(data: bytes) -> None:
    assert parse_json(data) == {"json": json.loads(data)}


@pytest.mark.parametrize("data", [b"", b"{oops", b"\xff\xfe\xff", b"[" * 100_000, b'{"a": 1} {"b": 2}'])
def test_invalid_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        parse_json(data)


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), str(2**64), "1" * 30, "1" * 5000])
def test_an_integer_beyond_64_bits_is_text(text: str) -> None:
    assert parse_json(f'{{"id": {text}, "ids": [1, {text}]}}'.encode()) == {"id": text, "ids": [1, text]}


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63)])
def test_an_integer_of_64_bits_is_a_number(number: int) -> None:
    assert parse_json(f'{{"id": {number}}}'.encode()) == {"id": number}


def test_too_deeply_nested_json_is_refused() -> None:
    parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(ValueError, match="nested"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="nested"):
        parse_json(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1))


def test_the_metadata_is_json_for_every_reader() -> None:
    found = parse_json(b'{"a": NaN, "b": -Infinity, "c": 1e999, "d": "\\ud83d", "e": 0.5}')
    text = to_text(found | parse_caption(b"caf\xe9 \n"))
    text.encode("utf-8")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    read = json.loads(text, parse_constant=refuse)
    assert read == {"a": "NaN", "b": "-Infinity", "c": "1e999", "d": "?", "e": 0.5, "caption": "caf\ufffd"}
