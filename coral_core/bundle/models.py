"""Loading a bundle: the network class of each part, built with the sizes in its weight file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coral_core.bundle.catalog import read_bundle
from coral_core.bundle.weights import load_state, parse_config, read_header
from coral_core.clip import ClipSpace
from coral_core.nets.encoder import Encoder, EncoderConfig
from coral_core.nets.identity import Identity, IdentityConfig
from coral_core.nets.perceptual import Perceptual, PerceptualConfig
from coral_core.nets.segmenter import Segmenter, SegmenterConfig
from coral_core.nets.stylegan2 import Generator, GeneratorConfig

NETWORKS: Mapping[str, tuple[type, type]] = {
    "generator": (Generator, GeneratorConfig),
    "encoder": (Encoder, EncoderConfig),
    "clip": (ClipSpace, dict),
    "identity": (Identity, IdentityConfig),
    "segmenter": (Segmenter, SegmenterConfig),
    "perceptual": (Perceptual, PerceptualConfig),
}


@dataclass(frozen=True)
class Models:
    """The frozen networks of one bundle, in evaluation mode, on one device."""

    name: str
    digest: str  # of all parts
    digests: Mapping[str, str]  # part -> digest of its sizes and weights
    device: torch.device
    generator: Generator
    encoder: Encoder
    clip: ClipSpace
    identity: Identity
    segmenter: Segmenter
    perceptual: Perceptual
    folder: Path  # of the bundle's files
    inpainters: Mapping[str, nn.Module] = field(default_factory=dict)

    @property
    def image_size(self) -> int:
        """Pixels of the square images the generator makes."""
        return self.generator.image_size


def load_models(bundle: str, device: str = "cpu") -> Models:
    """All networks of a bundle, given by its catalogue name or its folder. ValueError as of read_bundle."""
    found = read_bundle(bundle)
    networks: dict[str, Any] = {part: load_network(found.path / f"{part}.safetensors", part) for part in NETWORKS}
    target = torch.device(device)
    if target.type == "cuda":
        torch.backends.cudnn.deterministic = True  # the same request gives the same bytes
    for network in networks.values():
        network.to(target)
    return Models(
        name=found.name, digest=found.digest, digests=found.digests, device=target, folder=found.path, **networks
    )


def load_network(path: Path, part: str) -> nn.Module:
    """One network with its weights, frozen, in evaluation mode. ValueError for the file of another part."""
    network_class, config_class = NETWORKS[part]
    header = read_header(path)
    if header.part != part:
        raise ValueError(f"{path} holds a {header.part}, not a {part}; give each part's file its own name")
    config = header.config
    network: nn.Module = network_class(config if config_class is dict else parse_config(config_class, config))
    load_state(path, network)
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
