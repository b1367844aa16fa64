import numpy as np
import torch

from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES, CorpusBatch, scene_arrays, to_images
from coral_core.zoo.portraits.domain import Caption, sample
from coral_core.zoo.recipes.language import draw_captions, multi_positive, truth_matrix

SCENES = [sample(seed) for seed in range(24)]


def batch() -> CorpusBatch:
    images, labels, values, visible = scene_arrays(SCENES, 16)
    return CorpusBatch(
        to_images(images), torch.from_numpy(labels).long(), torch.from_numpy(values).long(), torch.from_numpy(visible)
    )


def test_the_truth_matrix_says_which_captions_are_true_of_which_scenes() -> None:
    texts, facts = draw_captions(batch(), np.random.default_rng(0), len(SCENES))
    truth = truth_matrix(batch(), facts)
    for column, (text, row) in enumerate(zip(texts, facts.tolist(), strict=True)):
        mentioned = {ATTRIBUTES[a]: VALUES[a][v] for a, v in enumerate(row) if v >= 0}
        wanted = [Caption(text, mentioned).true_of(scene) for scene in SCENES]
        assert truth[:, column].tolist() == wanted
        assert truth[column, column]


def test_the_loss_falls_when_true_pairs_rise_and_when_false_pairs_fall() -> None:
    torch.manual_seed(0)
    truth = torch.rand(6, 6) < 0.4
    truth |= torch.eye(6, dtype=torch.bool)
    scores = torch.randn(6, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(multi_positive(scores, truth), scores)
    assert (slope[truth] < 0).all()
    assert (slope[~truth] > 0).all()


def test_one_positive_per_row_is_the_usual_contrastive_loss() -> None:
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    usual = torch.nn.functional.cross_entropy(scores, torch.arange(5))
    torch.testing.assert_close(multi_positive(scores, torch.eye(5, dtype=torch.bool)), usual)


def test_captions_true_of_every_image_have_zero_loss() -> None:
    scores = torch.randn(3, 2, requires_grad=True)
    loss = multi_positive(scores, torch.ones(3, 2, dtype=torch.bool))
    (slope,) = torch.autograd.grad(loss, scores)
    assert loss.item() == 0 and slope.abs().sum() == 0


def test_captions_repeat_for_the_same_random_seed() -> None:
    first = draw_captions(batch(), np.random.default_rng(3), 5)
    again = draw_captions(batch(), np.random.default_rng(3), 5)
    assert first[0] == again[0] and torch.equal(first[1], again[1])
