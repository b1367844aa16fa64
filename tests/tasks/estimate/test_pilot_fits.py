from __future__ import annotations

from typing import Any

import pytest

from tasks.estimate.pilot_fits import MORE_BATCHES, MORE_STEPS, PilotFits
from tasks.spec.requests import FitRequest


def fit_of(steps: int = 300, source_samples: int = 512) -> FitRequest:
    options = {"area": 0.1, "fit": {"steps": steps, "batch_size": 8, "source_samples": source_samples}}
    return FitRequest(method="styleclip-mapper", options=options, target="red hair", source="a person", digests={})


@pytest.mark.parametrize("steps", [1, 2, 300, 20_000])
@pytest.mark.parametrize("source_samples", [8, 16, 64, 512])
def test_a_fit_is_extrapolated_in_steps_and_samples(steps: int, source_samples: int) -> None:
    def takes(fit: FitRequest) -> float:
        options: Any = fit.options["fit"]
        return 3.0 + 0.25 * options["steps"] + 0.125 * options["source_samples"]

    fit = fit_of(steps, source_samples)
    own = PilotFits.of(fit)
    assert max(takes(each) for each in own.all()) <= 3.0 + 0.25 * MORE_STEPS + 0.125 * MORE_BATCHES * 8
    seconds = {("fit", each.id): takes(each) for each in own.all()}
    assert own.whole(fit, seconds) == pytest.approx(takes(fit))


def test_noise_makes_no_fit_faster_than_its_ownest() -> None:
    fit = fit_of()
    own = PilotFits.of(fit)
    seconds = {("fit", own.baseline.id): 2.0, ("fit", own.more_steps.id): 1.5, ("fit", own.more_samples.id): 1.9}
    assert own.whole(fit, seconds) == 2.0
