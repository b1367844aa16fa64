"""`coral bench models` on random networks: every documented figure is there, with any value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from coral_core.bundle.models import load_models
from coral_core.types import Prompt
from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES
from coral_core.zoo.portraits.domain import SPLITS, sample
from pipelines.bench.cases import SceneSelection, select_scenes
from pipelines.bench.latent_search import guided, latent_std, refined
from pipelines.bench.network_quality import NETWORKS, ModelsConfig, lines, measure_models, summary
from pipelines.bench.visible_spread import frequencies, ratios, visible_values

PROMISED = {
    ("bundle", "megabytes"),
    ("bundle", "load_seconds"),
    ("judge", "accuracy_mean"),
    ("judge", "accuracy_worst"),
    ("judge2", "accuracy_mean"),
    ("judge2", "accuracy_worst"),
    ("clip", "zero_shot_mean"),
    ("clip", "zero_shot_worst"),
    ("clip", "retrieval_256"),
    ("clip", "guidance_mean"),
    ("clip", "guidance_worst"),
    ("generator", "frequency_ratio_worst"),
    ("generator", "precision"),
    ("generator", "recall"),
    ("encoder", "psnr"),
    ("encoder", "psnr_refined"),
    ("encoder", "kept_mean"),
    ("encoder", "kept_worst"),
    ("segmenter", "mean_iou"),
    ("identity", "verification_auc"),
}


@pytest.fixture(scope="module")
def networks(judged_bundle: Path) -> Any:
    return load_models(str(judged_bundle))


def test_every_network_has_its_named_numbers(judged_bundle: Path, tmp_path: Path) -> None:
    small = {"scenes": 6, "samples": 8, "persons": 2, "refined": 2, "guided": 4, "guided_cases": 1}
    small |= {"refine_steps": 2, "guide_steps": 2}
    found = measure_models(ModelsConfig(bundle=str(judged_bundle), folder=tmp_path, **small))  # type: ignore[arg-type]
    assert list(found) == list(NETWORKS)
    assert {(network, figure) for network, figure, _ in lines(found)} == PROMISED
    json.dumps(found, allow_nan=False)
    assert found["segmenter"]["mean_iou"] is None  # the random segmenter has other segments
    assert all(figures[name] is not None for figures in found.values() for name in figures if name != "mean_iou")


def test_refining_moves_towards_the_source_and_guidance_towards_the_text(networks: Any) -> None:
    _, inversion = select_scenes(networks, SceneSelection(scenes=3))
    std_D = latent_std(inversion)
    error = (inversion.recon_BCHW - inversion.image_BCHW).square().mean()
    assert (refined(networks, inversion, std_D, steps=10) - inversion.image_BCHW).square().mean() < error
    moved = guided(networks, inversion, Prompt("red hair"), std_D, steps=10)
    with torch.no_grad():
        text = networks.clip.text(["red hair"]).T
        assert (networks.clip.image(moved) @ text).mean() > (networks.clip.image(inversion.recon_BCHW) @ text).mean()


def test_the_domain_has_the_frequencies_of_the_domain() -> None:
    first, second = (
        frequencies(visible_values(sample(seed).attributes for seed in SPLITS["dev"][start : start + 4000]))
        for start in (0, 4000)
    )
    assert max(ratios(first, second).values()) < 1.35
    for a, name in enumerate(ATTRIBUTES):
        assert math.isclose(sum(first[name, value] for value in VALUES[a]), 1.0)


def test_a_value_that_never_occurs_is_far_from_the_domain() -> None:
    domain = frequencies(visible_values(sample(seed).attributes for seed in range(2000)))
    bald = frequencies(visible_values(sample(seed).edited("hair_style", "bald").attributes for seed in range(2000)))
    found = ratios(bald, domain)
    assert found["hair_style"] > 100
    assert found["background"] == 1.0
    assert ratios(domain, bald)["hair_style"] == found["hair_style"]


def test_a_summary_names_mean_worst_and_parts() -> None:
    expected = {"kept_mean": 0.75, "kept_worst": 0.5, "kept:hat": 1.0, "kept:eyes": 0.5}
    assert summary("kept", {"hat": 1.0, "eyes": 0.5}) == expected
    assert summary("kept", {}) == {"kept_mean": None, "kept_worst": None}
