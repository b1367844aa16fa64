import math

import pytest
import torch

from coral_core.ops.bias_act import bias_act


def test_values_by_hand() -> None:
    x = torch.tensor([[[[1.0]], [[-3.0]]]])
    out = bias_act(x, torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(out.flatten(), torch.tensor([2.0, -0.4]) * math.sqrt(2))


@pytest.mark.parametrize(("shape", "dim"), [((2, 3, 4, 4), 1), ((2, 5, 3), 2), ((2, 3), 1)])
def test_the_bias_belongs_to_the_named_dimension(shape: tuple[int, ...], dim: int) -> None:
    out = bias_act(torch.zeros(shape), torch.tensor([1.0, 2.0, 3.0]), dim=dim)
    moved = out.movedim(dim, -1).reshape(-1, 3)
    torch.testing.assert_close(moved, torch.tensor([1.0, 2.0, 3.0]).mul(math.sqrt(2)).expand_as(moved))
