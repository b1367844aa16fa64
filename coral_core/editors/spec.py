"""The description of a method: its options, its default fit, the bundle parts it reads, and how it is built."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from coral_core.editors.base import Editor, FitScope
from coral_core.fit import FitConfig
from coral_core.types import Prompt

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

LARGEST = 1e30
"""Number that an option may be: networks compute in float32, which ends at 3e38."""

Config = TypeVar("Config")
JsonValue = object
EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a name", tuple: "a list of names"}


def _none(config: Any, prompt: Prompt) -> Iterable[str]:
    return ()


def _always(config: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class EditorSpec:
    """One row of EDITORS."""

    name: str  # as in a job file
    scope: FitScope  # what one fitted artifact is used for
    config: Any  # frozen options dataclass with this method's defaults
    fit: FitConfig  # this method's default fit
    fit_reads: tuple[str, ...]  # bundle parts a fit reads: their digests enter its id
    edit_reads: tuple[str, ...]  # bundle parts an edit reads
    make: Callable[..., Editor]  # (config, prompt, models[, base editor]) -> an editor that is not fitted
    edit_options: tuple[str, ...] = ()  # options that only edits read: another value needs no other fit
    captioned: bool = False  # learns from captioned images instead of samples of the generator
    sourceless: bool = False  # draws its samples itself, more than fit in memory as images
    takes_reference: bool = False  # can edit towards a reference image in place of a text
    combines_wishes: bool = False  # edits by each wish of a prompt (wishes.py) with these or its base's edits
    base: str = ""  # method whose fitted editor, with its default options, this one uses
    uses_base: Callable[[Any], bool] = _always  # (config) -> whether these options need the base
    more_texts: Callable[[Any, Prompt], Iterable[str]] = _none  # (config, prompt) -> what CLIP reads besides the prompt

    @property
    def is_fitted(self) -> bool:
        """Whether the method has an artifact of its own."""
        return self.scope in (FitScope.PROMPT, FitScope.DOMAIN)

    def resolve(self, options: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The options, completed with the defaults, as plain JSON values: their hash identifies the fit.

        Keys are the fields of the config, and "fit" for a mapping of the fields of the fit. Errors: ValueError for an
        unknown key or a value that is not allowed.
        """
        changes = dict(options)
        fit = changes.pop("fit", {})
        if not isinstance(fit, Mapping):
            raise ValueError(f"{self.name}: fit is {fit!r}; give a mapping such as {{steps: 200}}")
        config = override(self.config, changes, self.name, also=("fit",))
        if not self.is_fitted:
            if fit:
                raise ValueError(f"{self.name}: fit is {dict(fit)}; nothing is fitted ahead of the edits, leave it out")
            return {**_plain(config), "fit": {}}
        return {**_plain(config), "fit": _plain(override(self.fit, fit, f"{self.name}: fit"))}

    def fit_options(self, resolved: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The resolved options that a fit reads, for its id."""
        return {key: value for key, value in resolved.items() if key not in self.edit_options}

    def fit_config(self, resolved: Mapping[str, JsonValue]) -> FitConfig:
        """The configuration of the fit in resolved options."""
        fit = resolved["fit"]
        assert isinstance(fit, Mapping), "resolved options come from resolve()"
        return override(self.fit, fit, f"{self.name}: fit")

    def base_of(self, resolved: Mapping[str, JsonValue]) -> str:
        """The method whose fitted editor this one uses with these resolved options; empty if it uses none."""
        return self.base if self.base and self.uses_base(self._configured(resolved)) else ""

    def combines(self, resolved: Mapping[str, JsonValue]) -> bool:
        """Whether edits with these resolved options are by each wish of a prompt, not by its target as one text."""
        return self.combines_wishes and bool(not self.base or self.base_of(resolved))

    def texts(self, resolved: Mapping[str, JsonValue], prompt: Prompt) -> Iterable[str]:
        """What CLIP reads for edits with these resolved options, their scores and their fit."""
        return (prompt.target, prompt.source, *self.more_texts(self._configured(resolved), prompt))

    def build(
        self, resolved: Mapping[str, JsonValue], prompt: Prompt | None, models: Models, base: Editor | None = None
    ) -> Editor:
        """An editor on the models' device that is not fitted; its initial parameters depend on the fit's seed only.

        `prompt` is the prompt of the fit; None for a method whose scope is not PROMPT. `base` is the fitted editor of
        the method base_of(resolved). Errors: ValueError for a missing prompt, and for a missing or a needless base.
        """
        if self.scope is FitScope.PROMPT and prompt is None:
            raise ValueError(f"{self.name} is fitted per prompt; give the prompt")
        below = self.base_of(resolved)
        if below and base is None:
            raise ValueError(f"{self.name} builds upon a fitted {below}; give it as the base")
        if base is not None and not below:
            raise ValueError(f"{self.name} builds upon no other method with these options; leave the base out")
        config = self._configured(resolved)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.fit_config(resolved).seed)
            return self.make(config, prompt, models, *(() if base is None else (base,))).to(models.device)

    def _configured(self, resolved: Mapping[str, JsonValue]) -> Any:
        """The method's options, without those of its fit."""
        return override(self.config, {key: value for key, value in resolved.items() if key != "fit"}, self.name)


def override(default: Config, changes: Mapping[str, JsonValue], where: str, also: tuple[str, ...] = ()) -> Config:
    """A copy of a frozen options dataclass with some fields changed; each value must have the type of its default.

    Errors: ValueError for an unknown key (with the nearest of the fields and `also`) or a value of another type.
    """
    known = {field.name: getattr(default, field.name) for field in fields(default)}  # type: ignore[arg-type]
    for key in changes:
        if key not in known:
            raise ValueError(f"{where}: unknown option {key!r}{_nearest(key, (*known, *also))}")
    typed = {key: _typed(value, known[key], f"{where}: {key}") for key, value in changes.items()}
    try:
        return replace(default, **typed)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _nearest(key: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _typed(value: JsonValue, default: object, where: str) -> object:
    """`value` in the type of `default`. An int becomes a float where one is expected, so that 1 and 1.0 give one id."""
    if isinstance(default, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= LARGEST:  # NaN is not
            return float(value)
        raise ValueError(f"{where} is {value!r}; give a number from {-LARGEST:g} to {LARGEST:g}")
    if isinstance(default, int) and type(value) is int and abs(value) >= 2**63:
        raise ValueError(f"{where} is {value!r}; give a whole number of less than 64 bits")
    if isinstance(default, tuple):
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise ValueError(f"{where} is {value!r}; give {EXPECTED[type(default)]} such as {_json(default)}")


def _plain(config: Any) -> dict[str, JsonValue]:
    return {key: _json(value) for key, value in asdict(config).items()}


def _json(value: object) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value
