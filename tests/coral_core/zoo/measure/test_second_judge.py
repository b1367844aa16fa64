from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from coral_core.bundle.weights import save_weights
from coral_core.zoo.measure.judge import Judge, JudgeConfig
from coral_core.zoo.measure.second_judge import SecondJudge, SecondJudgeConfig, load_second_judge
from coral_core.zoo.portraits.attributes import WIDTHS
from coral_core.zoo.portraits.corpus import to_images
from coral_core.zoo.portraits.domain import LEXICON, SPLITS, sample

SMALL = SecondJudgeConfig(stem=8, middle=8, width=16)


@pytest.fixture
def portraits() -> torch.Tensor:
    return to_images(np.stack([sample(seed).image() for seed in SPLITS["dev"][:3]]))


def test_it_reads_every_attribute_of_the_lexicon(portraits: torch.Tensor) -> None:
    for read in SecondJudge(SMALL).eval().read(portraits):
        assert set(read) == set(LEXICON)
        assert all(value in LEXICON[name] for name, value in read.items())


def test_larger_images_are_resized_to_its_own_size(portraits: torch.Tensor) -> None:
    judge = SecondJudge(SMALL).eval()
    large_BCHW = F.interpolate(portraits, (128, 128), mode="bilinear")
    assert judge(large_BCHW).shape == judge(portraits).shape == (3, sum(WIDTHS))


def test_every_parameter_gets_a_gradient(portraits: torch.Tensor) -> None:
    judge = SecondJudge(SMALL)
    judge(portraits).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in judge.parameters())


def test_its_architecture_differs_from_that_of_the_first() -> None:
    first = {type(module).__name__ for module in Judge(JudgeConfig()).units}
    assert not first & {type(module).__name__ for module in SecondJudge(SMALL).body}


def test_a_stored_judge_reads_the_same(portraits: torch.Tensor, tmp_path: Path) -> None:
    judge = SecondJudge(SMALL).eval()
    path = tmp_path / "judge2.safetensors"
    save_weights(path, "judge2", judge, config=SMALL, recipe={}, metrics={})
    loaded = load_second_judge(path)
    torch.testing.assert_close(loaded(portraits), judge(portraits), atol=1e-2, rtol=1e-2)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
