"""Fits of a pilot: a few steps on few samples, whose differences tell what the whole takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coral_core.editors import spec
from tasks.spec.requests import FitRequest, canonical_json

FEW_STEPS, MORE_STEPS = 2, 10
FEW_BATCHES, MORE_BATCHES = 2, 8
"""Of the short fits whose differences tell what a step, and what a sample of the source, takes."""

Seconds = Mapping[tuple[str, str], float]
"""(wave, key of the work) -> how long the work took."""


@dataclass(frozen=True)
class ShortFits:
    """The fits that stand for all of one kind, whose prompts alone differ."""

    warm_up: FitRequest
    least: FitRequest
    longer: FitRequest  # more steps
    wider: FitRequest  # more samples in the source

    @classmethod
    def of(cls, fit: FitRequest) -> ShortFits:
        """Short versions of a fit."""
        if spec(fit.method).captioned and not fit.captions:
            return cls(fit, fit, fit, fit)  # the bundle ships what would be fitted
        if fit.captions:  # all of them, every time: steps are what can be made fewer
            least = _changed(fit, steps=FEW_STEPS)
            return cls(least, least, _changed(fit, steps=MORE_STEPS), least)
        few, more = (batches * _option(fit, "batch_size") for batches in (FEW_BATCHES, MORE_BATCHES))
        return cls(
            warm_up=_changed(fit, steps=1, source_samples=few),
            least=_changed(fit, steps=FEW_STEPS, source_samples=few),
            longer=_changed(fit, steps=MORE_STEPS, source_samples=few),
            wider=_changed(fit, steps=FEW_STEPS, source_samples=more),
        )

    def whole(self, fit: FitRequest, seconds: Seconds) -> float:
        """Seconds of a fit of this kind with all its steps and samples."""
        least = seconds["fit", self.least.id]
        found = least
        for name, other in (("steps", self.longer), ("source_samples", self.wider)):
            if other is self.least:
                continue
            slope = max(0.0, seconds["fit", other.id] - least) / (_option(other, name) - _option(self.least, name))
            found += slope * (_option(fit, name) - _option(self.least, name))
        return max(0.0, found)

    def all(self) -> tuple[FitRequest, ...]:
        """In the order in which they are to be done."""
        return (self.warm_up, self.least, self.longer, self.wider)


def kind_of(fit: FitRequest) -> str:
    """One for all fits whose prompts alone differ."""
    return canonical_json({"method": fit.method, "options": fit.options})


def _option(fit: FitRequest, name: str) -> int:
    options = fit.options["fit"]
    assert isinstance(options, Mapping), "a plan's options are resolved"
    return int(options[name])


def _changed(fit: FitRequest, **changes: int) -> FitRequest:
    """The fit with some of the numbers of its loop changed."""
    options = fit.options["fit"]
    assert isinstance(options, Mapping), "a plan's options are resolved"
    return replace(fit, options={**fit.options, "fit": {**options, **changes}})
