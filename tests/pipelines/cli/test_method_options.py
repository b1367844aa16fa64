"""Options of a method as a command line has them."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from coral_core.editors import EDITORS
from coral_core.fit import FitConfig
from pipelines.cli.method_options import parse_options

METHOD = "clipinverter"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("area=1.5", 1.5),
        ("area=-2", -2),
        ("area=true", True),
        ("area=channels", "channels"),
        ("area='1.5'", "1.5"),
        ("area=[a, b]", ["a", "b"]),
        ("area={a: 1}", {"a": 1}),
        ("area=a=b", "a=b"),
        ("area=", None),
        ("area=null", None),
    ],
)
def test_values_are_yaml(given: str, value: object) -> None:
    found = parse_options([given], METHOD)
    assert found == {"area": value}
    assert type(found["area"]) is type(value)


def test_options_of_the_fit_are_under_the_key_fit() -> None:
    found = parse_options(["steps=200", "perceptual=0.3", "batch_size=16", "precision=float32"], METHOD)
    assert found == {"perceptual": 0.3, "fit": {"steps": 200, "batch_size": 16, "precision": "float32"}}
    names = [field.name for field in fields(FitConfig)]
    assert parse_options([f"{name}=1" for name in names], METHOD) == {"fit": dict.fromkeys(names, 1)}


@pytest.mark.parametrize("method", EDITORS)
def test_every_option_of_every_method_can_be_given(method: str) -> None:
    defaults = EDITORS[method].resolve({})
    fit = defaults["fit"]
    assert isinstance(fit, dict)
    own = {name: value for name, value in defaults.items() if name != "fit"}
    given = [f"{name}={json.dumps(value)}" for name, value in {**fit, **own}.items()]
    assert EDITORS[method].resolve(parse_options(given, method)) == defaults


def test_parsed_options_resolve_like_those_of_a_job() -> None:
    found = EDITORS["clipinverter"].resolve(parse_options(["guess=2", "steps=7"], METHOD))
    assert found["guess"] == 2.0 and isinstance(found["fit"], dict) and found["fit"]["steps"] == 7
    with pytest.raises(ValueError, match="unknown option 'stpes'"):
        EDITORS["clipinverter"].resolve(parse_options(["stpes=7"], METHOD))


def test_without_options_nothing_changes() -> None:
    assert parse_options([], METHOD) == {}


def test_if_an_option_is_given_twice_the_last_counts() -> None:
    assert parse_options(["area=1", "area=2", "steps=3", "steps=4"], METHOD) == {"area": 2, "fit": {"steps": 4}}


@pytest.mark.parametrize("given", ["area", "=1", "", "steps:3"])
def test_text_that_is_no_option_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no option; give name=value, such as steps=200"):
        parse_options(["area=1", given], METHOD)


@pytest.mark.parametrize("given", ["area=[1", "area={", "area=a: b: c", "area=\t", "area=*a"])
def test_a_value_that_is_no_yaml_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is not YAML"):
        parse_options([given], METHOD)
