"""Codes z of scenes are standard normal, and the set layers decode the side of every edge between two values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from coral_core.nets.stylegan2 import Mapping
from coral_core.zoo.portraits.domain import LEXICON, SPLITS, sample
from coral_core.zoo.recipes.latent_code import EDGE_LAYERS, code_numbers, inner_edges, set_edges

NUMBERS = np.stack([sample(seed).numbers() for seed in SPLITS["dev"][:2000]])
EDGES = sum(len(values) - 1 for values in LEXICON.values())
SIDES = EDGES + 1  # the light comes from one of two sides


def codes(z_dim: int = 128) -> Tensor:
    return code_numbers(NUMBERS, z_dim, np.random.default_rng(0))


def test_the_numbers_of_scenes_are_uniform_and_independent() -> None:
    points = NUMBERS[..., 0] + (NUMBERS[..., 1] - NUMBERS[..., 0]) * np.random.default_rng(0).random(NUMBERS.shape[:2])
    quarters = np.stack([(points < share).mean(0) for share in (0.25, 0.5, 0.75)])
    assert np.abs(quarters - np.array([[0.25], [0.5], [0.75]])).max() < 0.05
    correlations = np.corrcoef(points.T) - np.eye(points.shape[1])
    assert np.abs(correlations).max() < 0.1


def test_the_interval_of_a_value_is_as_long_as_its_probability() -> None:
    hat = list(LEXICON).index("hat")
    intervals = {sample(seed).attributes["hat"]: tuple(sample(seed).numbers()[hat]) for seed in range(60)}
    assert intervals["none"] == (0.0, 0.55)
    assert sorted(start for start, _ in intervals.values())[1:] == sorted(end for _, end in intervals.values())[:-1]


def test_codes_are_normal_and_have_the_length_of_pixel_norm() -> None:
    z = codes()
    torch.testing.assert_close(z.square().sum(1), torch.full((len(z),), 128.0))
    assert z.mean(0).abs().max() < 0.1 and (z.std(0) - 1).abs().max() < 0.1


def test_a_z_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match=r"z_dim is 100; a scene is drawn from 56 numbers and needs twice as many"):
        codes(100)


def test_weights_that_float16_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a slope of 40 from 512 inputs is more than float16 holds"):
        set_edges(Mapping(512, 192, 8), NUMBERS)


def test_layers_give_the_side_of_every_edge_and_pass_on_continuous_numbers() -> None:
    mapping = Mapping(128, 192, EDGE_LAYERS + 1)
    set_edges(mapping, NUMBERS)
    mapping.load_state_dict({key: value.half().float() for key, value in mapping.state_dict().items()})  # as stored
    z = codes()
    outputs = mapping.layers[:EDGE_LAYERS](z)
    columns = [k for k in range(NUMBERS.shape[1]) for _ in inner_edges(NUMBERS[:, k])]
    edges = torch.tensor([e for k in range(NUMBERS.shape[1]) for e in inner_edges(NUMBERS[:, k])])
    beyond = torch.special.ndtr(z[:, columns]) > edges
    sides = outputs[:, :SIDES] / math.sqrt(2)
    assert len(columns) == SIDES
    wrong = (sides - beyond.float()).abs() > 0.01
    assert wrong.float().mean() < 0.003  # those on a slope
    continuous = [k for k in range(NUMBERS.shape[1]) if k not in columns]
    passed = outputs[:, SIDES : SIDES + len(continuous)]
    fit = torch.stack([torch.corrcoef(torch.stack([passed[:, i], z[:, k]]))[0, 1] for i, k in enumerate(continuous)])
    assert fit.min() > 0.9999
    assert outputs[:, SIDES + len(continuous) :].abs().max() == 0


def test_set_layers_are_not_trained_and_the_others_are() -> None:
    mapping = Mapping(128, 192, EDGE_LAYERS + 2)
    set_edges(mapping, NUMBERS)
    trained = [all(p.requires_grad for p in layer.parameters()) for layer in mapping.layers]
    assert trained == [False] * EDGE_LAYERS + [True] * 2


@pytest.mark.parametrize(("width", "layers"), [(192, EDGE_LAYERS), (100, 8)])
def test_a_mapping_that_is_too_narrow_for_the_edges_is_refused(width: int, layers: int) -> None:
    with pytest.raises(ValueError, match=rf"{layers} layers of {width} units; .* need more than 3 layers of \d+"):
        set_edges(Mapping(128, width, layers), NUMBERS)
