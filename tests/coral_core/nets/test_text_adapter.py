"""The text-conditioned networks compared with the formulas of the paper in tensor code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.text_adapter import ClipAdapter, ClipRemapper, LayerFactors, TapModulation

TEXT = 7


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def shaken(network: nn.Module, by: float = 0.5) -> nn.Module:
    """Add noise to all parameters, so that each has an effect: norms start as the identity, biases are small."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=draw))
    return network


def modulation(channels: int) -> TapModulation:
    network = shaken(TapModulation(channels, TEXT))
    assert isinstance(network, TapModulation)
    return network


def restated(state: dict[str, Tensor], groups: int, tap_BCHW: Tensor, t_BE: Tensor) -> Tensor:
    """One tap, computed as in the paper's code from the weights by name."""
    B, C, H, W = tap_BCHW.shape
    x = tap_BCHW / (tap_BCHW.square().mean(1, keepdim=True) + 1e-8).sqrt()
    padded = F.pad(x, (1, 1, 1, 1))
    x = torch.zeros(B, C, H, W)
    for down in range(3):
        for across in range(3):
            window_BCHW = padded[:, :, down : down + H, across : across + W]
            x = x + torch.einsum("bchw,oc->bohw", window_BCHW, state["conv.weight"][:, :, down, across])
    grouped = x.reshape(B, groups, -1)
    centred = grouped - grouped.mean(2, keepdim=True)
    x = (centred / (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()).view(B, C, H, W)
    x = x * state["norm.weight"].view(1, C, 1, 1) + state["norm.bias"].view(1, C, 1, 1)
    gamma, beta = (mlp(state, name, t_BE)[:, :, None, None] for name in ("gamma", "beta"))
    x = x * (1 + gamma.exp()) + beta
    return torch.where(x > 0, x, 0.01 * x)


def mlp(state: dict[str, Tensor], name: str, t_BE: Tensor) -> Tensor:
    """Linear, layer norm, leaky ReLU, linear."""
    h = t_BE @ state[f"{name}.0.weight"].T + state[f"{name}.0.bias"]
    h = h - h.mean(1, keepdim=True)
    h = h / (h.square().mean(1, keepdim=True) + 1e-5).sqrt()
    h = h * state[f"{name}.1.weight"] + state[f"{name}.1.bias"]
    h = torch.where(h > 0, h, 0.01 * h)
    return h @ state[f"{name}.3.weight"].T + state[f"{name}.3.bias"]


@pytest.mark.parametrize(("channels", "groups"), [(5, 1), (6, 2), (32, 32), (48, 16)])
def test_a_modulated_tap_is_the_published_formula(channels: int, groups: int) -> None:
    network = modulation(channels)
    tap_BCHW, t_BE = torch.randn(3, channels, 5, 4), torch.randn(3, TEXT)
    state = network.state_dict()
    assert {name.split(".")[0] for name in state} == {"conv", "norm", "gamma", "beta"}
    assert "conv.bias" not in state
    expected = restated(state, groups, tap_BCHW, t_BE)
    found = network(network.normalised(tap_BCHW), t_BE)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.min() < 0 < expected.max()


def test_the_normalised_taps_do_not_depend_on_the_text() -> None:
    adapter = ClipAdapter((4, 6, 8), TEXT)
    shaken(adapter)
    convolved: list[int] = []
    for module in adapter.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, args, out: convolved.append(len(out)))
    taps = tuple(torch.randn(2, channels, size, size) for channels, size in ((4, 8), (6, 4), (8, 2)))
    normalised = adapter.normalised(taps)
    before = [tap.clone() for tap in normalised]
    edits = [adapter(normalised, t_BE) for t_BE in torch.randn(5, 2, TEXT)]
    assert convolved == [2, 2, 2]
    assert all(torch.equal(tap, kept) for tap, kept in zip(normalised, before, strict=True))
    assert all([tap.shape for tap in edit] == [tap.shape for tap in taps] for edit in edits)
    assert not torch.allclose(edits[0][0], edits[1][0])


def test_a_text_changes_its_own_sample_only() -> None:
    network = modulation(6)
    tap_BCHW, t_BE = torch.randn(3, 6, 4, 4), torch.randn(3, TEXT)
    together = network(network.normalised(tap_BCHW), t_BE)
    alone = [network(network.normalised(tap_BCHW[i : i + 1]), t_BE[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)


def test_the_exponential_is_computed_in_float32_under_autocast() -> None:
    network = modulation(8)
    last = network.gamma[3]
    assert isinstance(last, nn.Linear)
    nn.init.constant_(last.bias, 40.0)  # exp 40 is 2e17; bfloat16 would round 40 by up to an eighth, so exp by 13 %
    tap_BCHW, t_BE = torch.randn(3, 8, 4, 4), 1e4 * torch.randn(3, TEXT)
    read: list[torch.dtype] = []
    for part in (network.gamma, network.beta):
        for layer in part:
            layer.register_forward_hook(lambda module, args, out: read.append(out.dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network.conv(tap_BCHW).dtype == torch.bfloat16
        normalised = network.normalised(tap_BCHW)
        half = network(normalised, t_BE)
    assert read == [torch.float32] * 8
    assert half.isfinite().all()
    assert half.abs().max() > 1e15
    with torch.no_grad():
        whole = network(normalised.float(), t_BE)
    torch.testing.assert_close(half.float(), whole, rtol=0.02, atol=1e-3 * float(whole.abs().max()))


@pytest.mark.parametrize("num_ws", [6, 10])
def test_the_remapper_gives_zero_for_the_first_and_the_last_layer(num_ws: int) -> None:
    remapper = ClipRemapper(num_ws, 9, TEXT)
    shaken(remapper)
    p_BLD = remapper(torch.randn(3, TEXT))
    assert p_BLD.shape == (3, num_ws, 9)
    assert not p_BLD[:, [0, -1]].any()
    assert p_BLD[:, 1:-1].abs().amax((0, 2)).min() > 0.1
    rows_LD = p_BLD[0, 1:-1]
    assert (torch.cdist(rows_LD, rows_LD) + torch.eye(num_ws - 2)).min() > 0.1  # every layer has a network of its own


def test_each_layer_has_its_own_network() -> None:
    remapper, t_BE = ClipRemapper(6, 9, TEXT), torch.randn(2, TEXT)
    for layer, network in enumerate(remapper.layers, start=1):
        before = remapper(t_BE)
        shaken(network)
        moved_L = (remapper(t_BE) - before).abs().amax((0, 2)) > 0
        assert moved_L.nonzero().flatten().tolist() == [layer]


def test_blend_weights_are_nine_tenths_of_lambda_and_zero_for_the_first_convolution() -> None:
    remapper = ClipRemapper(10, 9, TEXT)  # 9 convolutions, the last w-layer feeding a toRGB alone
    assert remapper.lambdas.shape == (8,)
    torch.testing.assert_close(remapper.blend_weights(), torch.tensor([0.0] + [0.045] * 8))
    with torch.no_grad():
        remapper.lambdas.copy_(torch.linspace(0.1, 0.8, 8))
    torch.testing.assert_close(remapper.blend_weights(), 0.9 * torch.linspace(0.0, 0.8, 9))


def test_factors_of_layers_are_one_until_they_are_learned_and_depend_on_the_text() -> None:
    factors, text_BKE = LayerFactors(TEXT, 10), torch.randn(3, 2, TEXT)
    assert torch.equal(factors(text_BKE), torch.ones(3, 2, 10))
    shaken(factors)
    found_BKL = factors(text_BKE)
    assert (torch.cdist(found_BKL.flatten(0, 1), found_BKL.flatten(0, 1)) + torch.eye(6)).min() > 0.1
