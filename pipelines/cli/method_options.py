"""Options of a method on the command line, as name=value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from coral_core.editors import spec
from coral_core.fit import FitConfig
from pipelines.jobfile.yaml_text import read_yaml

FIT = frozenset(field.name for field in fields(FitConfig))


def parse_options(given: Sequence[str], method: str) -> dict[str, object]:
    """As a job file has them: values are YAML, and those of the fit lie under `fit`. ValueError for what is none.

    A name that method and fit both have is the method's.
    """
    own = {field.name for field in fields(spec(method).config)}
    found: dict[str, object] = {}
    of_fit: dict[str, object] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise ValueError(f"{each!r} is no option; give name=value, such as steps=200")
        if name == "fit":
            raise ValueError(f"{each!r}: give the options of the fit by their own names, such as steps=200")
        try:
            (of_fit if name in FIT - own else found)[name] = read_yaml(value)
        except ValueError as error:
            raise ValueError(f"{each!r}: {value!r} {error}") from None
    return {**found, "fit": of_fit} if of_fit else found
