from __future__ import annotations

import torch

from coral_core.bundle.models import Models
from coral_core.editors.regions.segments import CLUSTERS, ClusterSelection, SegmentSelection
from coral_core.types import Inversion


def test_equal_choices_give_one_value_everywhere_since_segments_partition_the_image(
    models: Models, inversion: Inversion
) -> None:
    region = SegmentSelection.of(models)
    torch.nn.init.constant_(region.choice_KL, 1.5)
    masks = region(inversion, models.generator)
    assert masks is not None
    for mask_B1HW, size in zip(masks, models.generator.conv_sizes, strict=True):
        assert mask_B1HW.shape == (4, 1, size, size)
        torch.testing.assert_close(mask_B1HW, torch.full_like(mask_B1HW, torch.sigmoid(torch.tensor(1.5)).item()))


def test_a_selected_segment_is_masked_in_its_layer_only(models: Models, inversion: Inversion) -> None:
    region = SegmentSelection.of(models)
    torch.nn.init.constant_(region.choice_KL, -20.0)
    layer = len(models.generator.conv_sizes) - 1
    with torch.no_grad():
        region.choice_KL[1, layer] = 20.0
        *others, mask_B1HW = region(inversion, models.generator) or ()
    assert torch.equal(mask_B1HW[:, 0] > 0.5, inversion.labels_BHW == 1)
    assert all(other.max() < 1e-6 for other in others)


def test_a_coarse_layer_takes_the_share_of_the_segment(models: Models, inversion: Inversion) -> None:
    region = SegmentSelection.of(models)
    torch.nn.init.constant_(region.choice_KL, -20.0)
    with torch.no_grad():
        region.choice_KL[0, 0] = 20.0
        mask_B1HW = (region(inversion, models.generator) or ())[0]
    share_B = (inversion.labels_BHW == 0).float().mean((1, 2))
    torch.testing.assert_close(mask_B1HW.mean((1, 2, 3)), share_B, rtol=1e-4, atol=1e-4)


def test_clusters_need_no_labels_and_separate_features_of_the_generator(models: Models, inversion: Inversion) -> None:
    region = ClusterSelection.of(models)
    region.prepare(inversion, models.generator)
    labels_BHW = region.labels(inversion, models.generator)
    counts_K = labels_BHW.flatten().bincount(minlength=CLUSTERS)
    assert (counts_K > 0).sum() > CLUSTERS // 2
    points_BHWC = (region._features(inversion.ws_BLD, models.generator) - region.mean_C) / region.std_C
    within = (points_BHWC - region.centres_KC[labels_BHW]).square().mean()
    assert within < 0.6 * points_BHWC.var()


def test_clusters_are_repeatable(models: Models, inversion: Inversion) -> None:
    first, second = ClusterSelection.of(models), ClusterSelection.of(models)
    first.prepare(inversion, models.generator)
    torch.manual_seed(77)
    second.prepare(inversion, models.generator)
    assert torch.equal(first.centres_KC, second.centres_KC)


def test_clusters_are_the_same_under_autocast(models: Models, inversion: Inversion) -> None:
    region = ClusterSelection.of(models)
    region.prepare(inversion, models.generator)
    with torch.autocast("cpu", torch.bfloat16):
        inside = region.labels(inversion, models.generator)
    assert torch.equal(inside, region.labels(inversion, models.generator))
