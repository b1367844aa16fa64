from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from coral_core.bundle.weights import save_weights
from coral_core.zoo.measure.judge import Judge, JudgeConfig
from coral_core.zoo.measure.second_judge import SecondJudge, SecondJudgeConfig
from coral_core.zoo.random_bundle import write_random_bundle
from tests.processes import Coral


@pytest.fixture(scope="session")
def coral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coral]:
    running = Coral(tmp_path_factory.mktemp("prefect"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def judged_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random networks with two random judges."""
    folder = write_random_bundle(tmp_path_factory.mktemp("judged"))
    torch.manual_seed(0)
    first, second = JudgeConfig(widths=(4, 4, 4, 4)), SecondJudgeConfig(stem=4, middle=4, width=8)
    for part, network, config in (("judge", Judge(first), first), ("judge2", SecondJudge(second), second)):
        save_weights(folder / f"{part}.safetensors", part, network, config=config, recipe={}, metrics={})
    return folder
