"""A small real bundle: a random generator, and simple replacements of CLIP and identity for colour and layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.bundle.models import Models
from coral_core.inversion import take
from coral_core.nets.stylegan2 import Generator, GeneratorConfig
from coral_core.types import Inversion, Prompt

COLOURS = {"a photo": (0.1, 0.1, 0.1), "red": (1.0, -1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}


class ColourClip(nn.Module):
    """Texts are colours; the embedding of an image is its mean colour and a random projection of its layout. E = 8."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.layout = nn.Conv2d(3, 5, 4, stride=4)

    def image(self, image_BCHW: Tensor) -> Tensor:
        layout_B5 = torch.tanh(self.layout(image_BCHW)).mean((2, 3)).float()
        return F.normalize(torch.cat([image_BCHW.float().mean((2, 3)), 0.2 * layout_B5], dim=1), dim=1)

    def text(self, prompts: Sequence[str]) -> Tensor:
        return F.normalize(torch.tensor([(*COLOURS[prompt], 0, 0, 0, 0, 0) for prompt in prompts]), dim=1)

    def tokens(self, prompts: Sequence[str]) -> Sequence[str]:
        return prompts

    def encode_tokens(self, prompts: Sequence[str]) -> Tensor:
        return self.text(prompts)

    def direction(self, prompts: Sequence[Prompt]) -> Tensor:
        return F.normalize(self.text([p.target for p in prompts]) - self.text([p.source for p in prompts]), dim=1)


class LayoutIdentity(nn.Module):
    """A random projection of the 4x4 thumbnail. I = 6."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(48, 6)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return F.normalize(self.project(F.adaptive_avg_pool2d(image_BCHW, 4).flatten(1)).float(), dim=1)


class TapEncoder(nn.Module):
    """Three maps of random features, and latents computed from their means. Channels 4, 6, 8, sizes 8, 4, 2."""

    tap_channels = (4, 6, 8)

    def __init__(self, num_ws: int, w_dim: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(3, channels, 3, padding=1) for channels in self.tap_channels)
        self.head = nn.Linear(sum(self.tap_channels), num_ws * w_dim)
        self.shape = (num_ws, w_dim)

    def body(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        maps = [F.adaptive_avg_pool2d(image_BCHW, size) for size in (8, 4, 2)]
        return tuple(torch.tanh(project(x)) for project, x in zip(self.project, maps, strict=True))

    def heads(self, taps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        offsets_BLD = self.head(torch.cat([tap.float().mean((2, 3)) for tap in taps], dim=1)).view(-1, *self.shape)
        return offsets_BLD.mean(1, keepdim=True), offsets_BLD

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        taps = self.body(image_BCHW)
        base_B1D, offsets_BLD = self.heads(taps)
        return base_B1D + offsets_BLD, taps


class Pixels(nn.Module):
    """The features are the image and its thumbnail."""

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        return image_BCHW, F.avg_pool2d(image_BCHW, 4)


class Thirds(nn.Module):
    """Three vertical stripes as segments."""

    segments = ("left", "middle", "right")

    def forward(self, image_BCHW: Tensor) -> Tensor:
        width = image_BCHW.shape[-1]
        stripes_W = torch.arange(width) * len(self.segments) // width
        logits_KW = F.one_hot(stripes_W, len(self.segments)).T.float()
        return logits_KW[None, :, None, :].expand(len(image_BCHW), -1, image_BCHW.shape[-2], -1)


def tiny_generator(image_size: int, w_dim: int, width: int) -> Generator:
    channels = (width,) * (image_size.bit_length() - 2)
    config = GeneratorConfig(image_size=image_size, z_dim=8, w_dim=w_dim, mapping_layers=2, channels=channels)
    generator = Generator(config)
    with torch.no_grad():
        for conv in generator.convs:
            conv.noise_strength.fill_(0.1)
        for to_rgb in generator.to_rgbs:  # keep most pixels inside [-1,1], where gradients are
            to_rgb.conv.weight.mul_(0.15)
    return generator


@pytest.fixture
def make_models() -> Callable[..., Models]:
    def make(image_size: int = 32, w_dim: int = 12, width: int = 10) -> Models:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            generator = tiny_generator(image_size, w_dim, width)
            networks = {
                "generator": generator,
                "encoder": TapEncoder(generator.num_ws, w_dim),
                "clip": ColourClip(),
                "identity": LayoutIdentity(),
                "segmenter": Thirds(),
                "perceptual": Pixels(),
            }
        frozen = {name: network.eval().requires_grad_(False) for name, network in networks.items()}
        described = {"name": "tiny", "digest": "", "digests": {}, "folder": Path(), "device": torch.device("cpu")}
        return Models(**described, **frozen)  # type: ignore[arg-type]

    return make


@pytest.fixture
def models(make_models: Callable[..., Models]) -> Models:
    return make_models()


@pytest.fixture
def make_inversion() -> Callable[..., Inversion]:
    """Latents with offsets per layer, captions, and source images that differ from their inversions."""

    @torch.no_grad()
    def make(models: Models, count: int = 6, seed: int = 1) -> Inversion:
        draw = torch.Generator().manual_seed(seed)
        generator = models.generator
        ws_BLD = generator.map(torch.randn(count, generator.z_dim, generator=draw))
        ws_BLD = ws_BLD + 0.1 * torch.randn(ws_BLD.shape, generator=draw)
        recon_BCHW = generator.render(generator.styles(ws_BLD)).clamp(-1, 1)
        image_BCHW = (recon_BCHW + 0.1 * torch.randn(recon_BCHW.shape, generator=draw)).clamp(-1, 1)
        labels_BHW = models.segmenter(image_BCHW).argmax(1)
        keys = tuple(f"key-{i}" for i in range(count))
        captions = tuple(("red",) if i % 2 else ("blue", "a photo") for i in range(count))
        return Inversion(keys, image_BCHW, ws_BLD, recon_BCHW, labels_BHW, captions=captions)

    return make


@pytest.fixture
def inversion(models: Models, make_inversion: Callable[..., Inversion]) -> Inversion:
    return take(make_inversion(models), slice(0, 4))
