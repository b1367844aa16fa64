"""The oracles: their pairs and their regression on random networks, and what they reach with the shipped networks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import pytest
import torch

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.models import Models, load_models
from coral_core.types import Prompt
from coral_core.zoo.measure.ground_truth import answer_of, is_case
from coral_core.zoo.portraits.domain import SPLITS
from pipelines.bench import oracles
from pipelines.bench.cases import SceneSelection, cases_of, select_scenes
from pipelines.bench.judges import load_judges
from pipelines.bench.oracles import ORACLES, Oracles, Pairs, make_pairs, training_scenes
from pipelines.bench.outcome import BASELINES, figures_of, outcome_of
from pipelines.bench.records import Figures
from tasks.images.tensors import tensor_of

GREEN, ANGRY = {"background": "green"}, {"mouth": "frown", "brows": "angry"}
EDITS = {"green": GREEN, "angry": ANGRY}

Found = Mapping[tuple[str, str], Figures]
"""(row, edit) -> figures"""


def test_the_regression_finds_an_affine_map_and_the_direction_is_the_mean() -> None:
    torch.manual_seed(0)
    w_ND, matrix_DD, offset_D = torch.randn(40, 6) * 3 + 5, torch.randn(6, 6), torch.randn(6)
    pairs = Pairs(w_ND, w_ND @ matrix_DD + offset_D)
    new_BD = torch.randn(8, 6) * 3 + 5
    torch.testing.assert_close(pairs.affine(new_BD, weight=1e-9), new_BD @ matrix_DD + offset_D, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(pairs.affine(new_BD, weight=1e9), pairs.direction().expand(8, 6))
    torch.testing.assert_close(pairs.direction(), pairs.delta_ND.mean(0))


def test_fewer_pairs_than_channels_have_a_finite_map() -> None:
    few = Pairs(torch.randn(3, 6), torch.randn(3, 6))
    assert few.affine(torch.randn(5, 6)).isfinite().all()


def test_pairs_are_cases_of_the_training_range_always_the_same() -> None:
    first = list(islice(training_scenes(ANGRY, 64), 6))
    assert [scene.seed for scene in first] == [scene.seed for scene in islice(training_scenes(ANGRY, 64), 6)]
    assert all(scene.seed in SPLITS["train"] and is_case(scene, ANGRY) for scene in first)
    assert len({scene.seed for scene in first}) == 6


def test_a_pair_is_a_latent_and_its_way_to_the_latent_of_the_answer(models: Models) -> None:
    scenes = list(islice(training_scenes(GREEN, 64), 3))
    pairs = make_pairs(models, scenes, GREEN)
    with torch.no_grad():
        answers = models.encoder(tensor_of([answer_of(scene, GREEN).image(64) for scene in scenes]))[0].mean(1)
    torch.testing.assert_close(pairs.w_ND + pairs.delta_ND, answers, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def shipped() -> Models:
    return load_models("portraits")


@pytest.fixture(scope="module")
def found(shipped: Models) -> Found:
    """All rows that are no methods, with fewer pairs than in the benchmark."""
    judges = load_judges(BUNDLES["portraits"], shipped.device)
    scenes, inversion = select_scenes(shipped, SceneSelection(scenes=10))
    figures = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracles, "PAIRS", 20)
        known = Oracles(shipped)
        for edit, wants in EDITS.items():
            cases = cases_of(scenes, inversion, wants)
            assert cases is not None
            for row in (*BASELINES, *ORACLES):
                raw = BASELINES[row](cases) if row in BASELINES else known.edit(row, cases)
                figures[row, edit] = figures_of(outcome_of(raw, cases, Prompt("t"), shipped), cases, judges, None)
    return figures


@pytest.mark.parametrize("edit", EDITS)
def test_the_exact_answer_is_right_and_no_ghost(found: Found, edit: str) -> None:
    answer = found["answer", edit]
    assert answer["right"] == 1 and answer["ghost"] == 0 and answer["mask_claimed"] == 1
    assert answer["right_share"] == pytest.approx(1, abs=0.08)  # the segmenter errs at borders
    assert (answer["oracle_mask_iou"] or 0) > 0.8


@pytest.mark.parametrize("edit", EDITS)
def test_the_unedited_inversion_is_less_right_than_any_oracle(found: Found, edit: str) -> None:
    nothing = found["inversion", edit]
    assert all((nothing["right_share"] or 0) < (found[row, edit]["right_share"] or 0) for row in ORACLES)
    assert (nothing["ghost"] or 0) < 0.15
    assert nothing["oracle_mask_recall"] == nothing["oracle_mask_iou"] == 0
    assert (nothing["mask_claimed"] or 0) > 1


@pytest.mark.parametrize("edit", EDITS)
def test_the_more_an_oracle_knows_the_more_is_right(found: Found, edit: str) -> None:
    shares = [found[row, edit]["right_share"] or 0 for row in ("inversion", *ORACLES, "answer")]
    assert shares == sorted(shares)
    assert (found["oracle", edit]["right"] or 0) >= 0.8
    for row in ORACLES:
        assert found[row, edit]["mask_iou"] == 1 and found[row, edit]["keep_source"] == 60


def test_one_direction_cannot_recolour_every_background(found: Found) -> None:
    affine, direction = found["oracle-affine", "green"], found["oracle-direction", "green"]
    assert (affine["right_share"] or 0) > 0.8 > 0.65 > (direction["right_share"] or 1)
    assert (affine["ghost"] or 1) < 0.5 < (direction["ghost"] or 0)  # it moves most of them half of the way


def test_pairs_are_made_once_per_edit(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "PAIRS", 2)
    known = Oracles(models)
    first = known.pairs(ANGRY)
    assert len(first.w_ND) == 2
    assert known.pairs(dict(reversed(ANGRY.items()))) is first
    assert known.pairs(GREEN) is not first


def test_an_unknown_oracle_is_answered_with_the_known(models: Models) -> None:
    cases = cases_of(*select_scenes(models, SceneSelection(scenes=3)), GREEN)
    assert cases is not None
    with pytest.raises(ValueError, match="oracle-affine"):
        Oracles(models).edit("oracle-linear", cases)
