"""A bundle of untrained networks of any size, to run the pipeline with."""

from __future__ import annotations

from pathlib import Path

import torch

from coral_core.bundle.weights import save_weights
from coral_core.clip import ClipSpace
from coral_core.nets.encoder import Encoder, EncoderConfig
from coral_core.nets.identity import Identity, IdentityConfig
from coral_core.nets.perceptual import Perceptual, PerceptualConfig
from coral_core.nets.segmenter import Segmenter, SegmenterConfig
from coral_core.nets.stylegan2 import Generator, GeneratorConfig

CLIP_CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8, "head_width": 64},
    "text_cfg": {"context_length": 128, "width": 32, "heads": 2, "layers": 1},
    "merges": ["t h", "th e</w>", "a n"],
}


def write_random_bundle(
    path: Path, *, image_size: int = 64, w_dim: int = 24, z_dim: int = 16, width: int = 16, seed: int = 0
) -> Path:
    """Write every part with seeded random weights. Returns the folder, which is a bundle for `load_models`."""
    torch.manual_seed(seed)
    blocks = image_size.bit_length() - 2
    generator = GeneratorConfig(
        image_size=image_size, z_dim=z_dim, w_dim=w_dim, mapping_layers=2, channels=(width,) * blocks
    )
    encoder = EncoderConfig(image_size=image_size, num_ws=2 * blocks, w_dim=w_dim, widths=(8, 8, 16, 16), head_width=8)
    identity = IdentityConfig(widths=(8, 8, 16), embedding=16)
    segmenter = SegmenterConfig(segments=("background", "face", "hair"), widths=(8, 16))
    perceptual = PerceptualConfig(widths=(8, 16))
    networks = {
        "generator": (Generator(generator), generator),
        "encoder": (Encoder(encoder), encoder),
        "clip": (ClipSpace(CLIP_CONFIG), CLIP_CONFIG),
        "identity": (Identity(identity), identity),
        "segmenter": (Segmenter(segmenter), segmenter),
        "perceptual": (Perceptual(perceptual), perceptual),
    }
    for part, (network, config) in networks.items():
        recipe = {"seed": seed, "steps": 0}
        save_weights(path / f"{part}.safetensors", part, network, config=config, recipe=recipe, metrics={})
    return path
