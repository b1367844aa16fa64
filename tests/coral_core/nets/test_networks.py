"""Shapes, ranges and gradients of every small network, for several sizes."""

import pytest
import torch

from coral_core.nets.discriminator import Discriminator, DiscriminatorConfig
from coral_core.nets.encoder import Encoder, EncoderConfig
from coral_core.nets.identity import Identity, IdentityConfig
from coral_core.nets.perceptual import Perceptual, PerceptualConfig
from coral_core.nets.segmenter import Segmenter, SegmenterConfig


@pytest.mark.parametrize(("size", "num_ws"), [(64, 10), (128, 12)])
def test_encoder_taps_and_latents(size: int, num_ws: int) -> None:
    config = EncoderConfig(image_size=size, num_ws=num_ws, w_dim=20, widths=(4, 8, 12, 16), head_width=8)
    encoder = Encoder(config).eval()
    ws, taps = encoder(torch.randn(2, 3, size, size))
    assert ws.shape == (2, num_ws, 20)
    wanted = [(width, size // shrink, size // shrink) for width, shrink in ((8, 2), (12, 4), (16, 8))]
    assert [tuple(tap.shape[1:]) for tap in taps] == wanted


def test_encoder_heads_on_its_own_taps_give_its_own_latents() -> None:
    encoder = Encoder(EncoderConfig(w_dim=12, widths=(4, 8, 8, 8), head_width=8)).eval()
    encoder.w_avg.normal_()
    ws, taps = encoder(torch.randn(2, 3, 64, 64))
    base, offsets = encoder.heads(taps)
    assert torch.equal(ws, encoder.w_avg + base + offsets)


def test_discriminator_gives_one_logit_per_image_and_gradients_to_every_parameter() -> None:
    network = Discriminator(DiscriminatorConfig(image_size=16, channels=(8, 8, 4)))
    logits = network(torch.randn(4, 3, 16, 16))
    assert logits.shape == (4,)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_identity_embeddings_are_unit_vectors() -> None:
    network = Identity(IdentityConfig(widths=(4, 8), embedding=6)).eval()
    torch.testing.assert_close(network(torch.randn(3, 3, 32, 32)).norm(dim=1), torch.ones(3))


def test_perceptual_maps_have_unit_channel_vectors_per_pixel() -> None:
    maps = Perceptual(PerceptualConfig(widths=(4, 8))).eval()(torch.randn(2, 3, 16, 16))
    assert [tuple(m.shape) for m in maps] == [(2, 4, 16, 16), (2, 8, 8, 8)]
    for m in maps:
        torch.testing.assert_close(m.norm(dim=1), torch.ones_like(m[:, 0]), atol=1e-3, rtol=0)


def test_segmenter_gives_logits_at_image_size() -> None:
    network = Segmenter(SegmenterConfig(segments=("a", "b", "c"), widths=(4, 8, 8))).eval()
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 3, 32, 32)
