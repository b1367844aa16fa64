"""Weight files: what they say, and which values they hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coral_core.bundle.weights import read_header, save_weights, stored_as


def test_weights_keep_recipe_and_metrics_beside_the_sizes(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    path = tmp_path / "linear.safetensors"
    save_weights(path, "linear", network, config={"width": 2}, recipe={"steps": 7}, metrics={"psnr": 1.5})
    header = read_header(path)
    assert (header.part, header.config, header.recipe, header.metrics) == (
        "linear",
        {"width": 2},
        {"steps": 7},
        {"psnr": 1.5},
    )
    assert load_file(path)["weight"].dtype == torch.float16


def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_header(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("value", [65_536.0, -1e30])
def test_a_value_that_overflows_is_refused_by_the_tensors_name_and_float32_holds_it(
    tmp_path: Path, value: float
) -> None:
    network = torch.nn.Linear(2, 2)
    network.weight.data[0, 1] = value
    path = tmp_path / "linear.safetensors"

    def save(**dtype: torch.dtype) -> None:
        save_weights(path, "linear", network, config={}, recipe={}, metrics={}, **dtype)

    with pytest.raises(ValueError, match=r"at most 65504: write it with dtype=torch\.float32") as raised:
        save()
    assert f"tensor 'weight' has a value of magnitude {abs(value):.6g}; " in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    save(dtype=torch.float32)
    assert torch.equal(load_file(path)["weight"], network.weight)


def test_what_is_stored_is_what_float16_rounds_to(tmp_path: Path) -> None:
    values = torch.tensor([65_504.0, 65_519.0, -65_504.0, 1e-9, float("inf"), float("nan")])
    found = stored_as(torch.float16, "x", values)
    assert found[:4].tolist() == [65_504.0, 65_504.0, -65_504.0, 0.0]
    assert found[4].isinf() and found[5].isnan()  # what is not finite before is no overflow
    whole = torch.tensor([70_000])
    assert torch.equal(stored_as(torch.int64, "count", whole), whole)
    with pytest.raises(ValueError, match="'count' has a value of magnitude 70000"):
        stored_as(torch.float16, "count", whole)
