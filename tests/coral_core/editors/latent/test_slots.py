from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.editors.latent.slots import GlobalDirection, LevelMapper, level_rows
from coral_core.nets.stylegan2 import Generator, GeneratorConfig

ALL = ("coarse", "medium", "fine")


def rows(num_ws: int) -> list[range]:
    return [range(span.start, span.stop) for span in level_rows(num_ws, ALL).values()]


def test_levels_of_eighteen_rows_are_those_of_styleclip() -> None:
    assert rows(18) == [range(4), range(4, 8), range(8, 18)]


@pytest.mark.parametrize("num_ws", [2, 4, 6, 8, 10, 12, 14, 18])
def test_levels_cover_every_row_once_at_any_depth(num_ws: int) -> None:
    assert [row for span in rows(num_ws) for row in span] == list(range(num_ws))


def test_levels_are_resolutions() -> None:
    generator = Generator(GeneratorConfig(image_size=128, z_dim=4, w_dim=4, mapping_layers=1, channels=(4,) * 6))
    coarse, medium, fine = rows(generator.num_ws)
    # row i feeds convolution i, the last row only a toRGB
    assert max(generator.conv_sizes[row] for row in coarse if row != coarse[-1]) == 8
    assert {generator.conv_sizes[row] for row in medium} == {16, 32, 64}  # row 7 is shared with 64 px
    assert {generator.conv_sizes[row] for row in fine[:-1]} == {64, 128}


def test_an_unfitted_direction_is_zero_and_the_same_for_every_image() -> None:
    latent = GlobalDirection(6, 5)
    ws_BLD = torch.randn(3, 6, 5)
    assert not latent(ws_BLD).any()
    torch.nn.init.normal_(latent.direction_LD)
    assert torch.equal(latent(ws_BLD)[0], latent(ws_BLD)[2])
    assert list(latent.state_dict()) == ["direction_LD"]


@pytest.mark.parametrize("latent_class", [GlobalDirection, LevelMapper])
def test_rows_of_a_level_that_is_off_stay(latent_class: type[GlobalDirection | LevelMapper]) -> None:
    latent = latent_class(10, 5, ("medium",))
    for parameter in latent.parameters():
        torch.nn.init.normal_(parameter)
    moved_L = latent(torch.randn(2, 10, 5)).abs().amax((0, 2)) > 0
    assert moved_L.tolist() == [False] * 4 + [True] * 4 + [False] * 2


def test_the_mapper_is_the_published_formula() -> None:
    latent = LevelMapper(18, 16)
    for name, parameter in latent.named_parameters():
        torch.nn.init.normal_(parameter, std=100.0 if name.endswith("weight") else 10.0)
    ws_BLD = torch.randn(2, 18, 16)
    expected = [_published(latent, name, ws_BLD[:, span]) for name, span in level_rows(18, ALL).items()]
    torch.testing.assert_close(latent(ws_BLD), 0.1 * torch.cat(expected, dim=1), atol=1e-6, rtol=1e-5)


def test_a_row_of_the_mapper_depends_on_its_own_level_only() -> None:
    latent = LevelMapper(10, 8)
    ws_BLD = torch.randn(1, 10, 8, requires_grad=True)
    latent(ws_BLD)[:, 5].sum().backward()
    assert ws_BLD.grad is not None
    reached_L = ws_BLD.grad.abs().amax((0, 2)) > 0
    assert reached_L.tolist() == [False] * 4 + [True] * 4 + [False] * 2


def _published(latent: LevelMapper, level: str, rows_BRD: Tensor) -> Tensor:
    state = {key: value for key, value in latent.state_dict().items() if key.startswith(f"blocks.{level}.")}
    h = rows_BRD / torch.sqrt(rows_BRD.pow(2).mean(1, keepdim=True) + 1e-8)
    for layer in range(4):
        weight, bias = (state[f"blocks.{level}.{layer}.{part}"] for part in ("weight", "bias"))
        h = math.sqrt(2) * F.leaky_relu(h @ (weight * 0.01 / math.sqrt(h.shape[-1])).T + bias * 0.01, 0.2)
    return h
