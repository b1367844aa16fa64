"""Short fits of a pilot, with few steps and few samples, from which the time of a whole fit is extrapolated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.spec.requests import FitRequest, canonical_json

FEW_STEPS, MORE_STEPS = 2, 10
FEW_BATCHES, MORE_BATCHES = 2, 8
"""Steps and source batches of the short fits; their differences give the seconds per step and per source sample."""

WorkSeconds = Mapping[tuple[str, str], float]
"""(wave, key of the work) -> measured seconds."""


@dataclass(frozen=True)
class PilotFits:
    """The short fits that represent all fits of one kind."""

    warm_up: FitRequest
    baseline: FitRequest
    more_steps: FitRequest
    more_samples: FitRequest  # in the source

    @classmethod
    def of(cls, fit: FitRequest) -> PilotFits:
        """Short versions of a fit."""
        if fit.shipped:
            return cls(fit, fit, fit, fit)  # the bundle contains this fit
        if fit.captions:  # every fit reads all captions; only its steps can be reduced
            baseline = _changed(fit, steps=FEW_STEPS)
            return cls(baseline, baseline, _changed(fit, steps=MORE_STEPS), baseline)
        few, more = (batches * _option(fit, "batch_size") for batches in (FEW_BATCHES, MORE_BATCHES))
        return cls(
            warm_up=_changed(fit, steps=1, source_samples=few),
            baseline=_changed(fit, steps=FEW_STEPS, source_samples=few),
            more_steps=_changed(fit, steps=MORE_STEPS, source_samples=few),
            more_samples=_changed(fit, steps=FEW_STEPS, source_samples=more),
        )

    def whole(self, fit: FitRequest, seconds: WorkSeconds) -> float:
        """Seconds of a fit of this kind with all its steps and samples, linear in both."""
        baseline = seconds["fit", self.baseline.id]
        found = baseline
        for name, other in (("steps", self.more_steps), ("source_samples", self.more_samples)):
            if other is self.baseline:
                continue
            added = _option(other, name) - _option(self.baseline, name)
            slope = max(0.0, seconds["fit", other.id] - baseline) / added
            found += slope * (_option(fit, name) - _option(self.baseline, name))
        return max(0.0, found)

    def all(self) -> tuple[FitRequest, ...]:
        """In the order in which they must be done."""
        return (self.warm_up, self.baseline, self.more_steps, self.more_samples)


def kind_of(fit: FitRequest) -> str:
    """The same text for all fits that differ in nothing but their prompt."""
    return canonical_json({"method": fit.method, "options": fit.options})


def _option(fit: FitRequest, name: str) -> int:
    options = fit.options["fit"]
    assert isinstance(options, Mapping), "a plan's options are resolved"
    return int(options[name])


def _changed(fit: FitRequest, **changes: int) -> FitRequest:
    """The fit with other values of some options of its training loop."""
    options = fit.options["fit"]
    assert isinstance(options, Mapping), "a plan's options are resolved"
    return replace(fit, options={**fit.options, "fit": {**options, **changes}})
