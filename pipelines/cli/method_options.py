"""Options of a method on the command line, as name=value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from coral_core.editors import spec
from coral_core.fit import FitConfig
from pipelines.jobfile.yaml_text import read_yaml

FIT = frozenset(field.name for field in fields(FitConfig))


def parse_options(given: Sequence[str], method: str) -> dict[str, object]:
    """The options in the form of a job file: values are YAML, and options of the fit are under the key `fit`.

    A name that both the method and its fit have is an option of the method. If a name is given twice, the last counts.
    Errors: ValueError for a text that is not name=value with a YAML value.
    """
    own = {field.name for field in fields(spec(method).config)}
    method_options: dict[str, object] = {}
    fit_options: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{text!r} is no option; give name=value, such as steps=200")
        if name == "fit":
            raise ValueError(f"{text!r}: give the options of the fit by their own names, such as steps=200")
        try:
            (fit_options if name in FIT - own else method_options)[name] = read_yaml(value)
        except ValueError as error:
            raise ValueError(f"{text!r}: {value!r} {error}") from None
    return {**method_options, "fit": fit_options} if fit_options else method_options
