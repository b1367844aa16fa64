"""StyleGAN2 generator with the blended render that all editors use.

Papers: Karras et al. 2020 (arXiv 1912.04958) for the network; CoralStyleCLIP (arXiv 2303.05031) for the blending:
    f*_l = m_l * Phi_l(f*_{l-1}, edited style) + (1 - m_l) * Phi_l(f*_{l-1}, original style),
both branches computed from the features that are already blended.

Deviations and choices:
- toRGB is blended by the mask of the convolution before it. The paper does not specify this; with the edited style
  everywhere (as in the only public re-implementation) masks of zeros would not return the original image.
- Styles scale the activations and demodulation scales the outputs. This equals modulating the weights, and the whole
  batch uses one convolution.
- Noise is a fixed buffer: the same latent always gives the same pixels.

Letters in names: see coral_core.types. Layer l counts convolutions only; styles count convolutions and toRGBs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.layers import EqualLinear, pixel_norm
from coral_core.ops.bias_act import bias_act
from coral_core.ops.upfirdn2d import blur_after_transpose, upsample2x
from coral_core.types import Masks, Styles


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of a generator; they determine all shapes of its weights."""

    image_size: int = 64  # output pixels, a power of two
    z_dim: int = 128  # width of the Gaussian input
    w_dim: int = 192  # width of the intermediate latent
    mapping_layers: int = 8  # fully connected layers between z and w
    channels: tuple[int, ...] = (192, 192, 128, 64, 32)  # feature maps at 4, 8, ... image_size pixels

    def __post_init__(self) -> None:
        if 4 * 2 ** (len(self.channels) - 1) != self.image_size:
            raise ValueError(
                f"{len(self.channels)} channel counts describe {4 * 2 ** (len(self.channels) - 1)} px, "
                f"image_size is {self.image_size}; give one count per resolution 4, 8, ... image_size"
            )


class Mapping(nn.Module):
    """f: z -> w. Pixel norm, then fully connected layers with learning-rate multiplier 0.01."""

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        widths = [z_dim] + [w_dim] * layers
        self.layers = nn.Sequential(*(EqualLinear(a, b, lr_mul=0.01, activate=True) for a, b in pairwise(widths)))

    def forward(self, z_BZ: Tensor) -> Tensor:
        out: Tensor = self.layers(pixel_norm(z_BZ))
        return out


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style [B, in], optionally demodulated to unit variance."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, up: bool, demodulate: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.up, self.demodulate, self.padding = up, demodulate, kernel_size // 2

    def forward(self, x_BCHW: Tensor, style_BC: Tensor) -> Tensor:
        weight = self.weight * self.scale
        x_BCHW = x_BCHW * style_BC[:, :, None, None]
        if self.up:
            x_BCHW = blur_after_transpose(F.conv_transpose2d(x_BCHW, weight.transpose(0, 1), stride=2))
        else:
            x_BCHW = F.conv2d(x_BCHW, weight, padding=self.padding)
        if not self.demodulate:
            return x_BCHW
        energy_BO = style_BC.float().square() @ weight.float().square().sum((2, 3)).T
        return x_BCHW * torch.rsqrt(energy_BO + 1e-8)[:, :, None, None].to(x_BCHW.dtype)


class StyledConv(nn.Module):
    """Phi_l: modulated 3x3 convolution, fixed noise, bias, leaky ReLU."""

    noise: Tensor

    def __init__(self, w_dim: int, in_channels: int, out_channels: int, size: int, *, up: bool) -> None:
        super().__init__()
        self.affine = EqualLinear(w_dim, in_channels, bias=1.0)
        self.conv = ModulatedConv(in_channels, out_channels, 3, up=up, demodulate=True)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, size, size))

    def forward(self, x_BCHW: Tensor, style_BC: Tensor) -> Tensor:
        x_BCHW = self.conv(x_BCHW, style_BC)
        return bias_act(x_BCHW + (self.noise * self.noise_strength).to(x_BCHW.dtype), self.bias)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, not demodulated, no activation."""

    def __init__(self, w_dim: int, in_channels: int) -> None:
        super().__init__()
        self.affine = EqualLinear(w_dim, in_channels, bias=1.0)
        self.conv = ModulatedConv(in_channels, 3, 1, up=False, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x_BCHW: Tensor, style_BC: Tensor) -> Tensor:
        rgb_B3HW: Tensor = self.conv(x_BCHW, style_BC).float()
        return rgb_B3HW + self.bias.view(1, 3, 1, 1)


class Generator(nn.Module):
    """z -> w -> styles -> image. Images are [B,3,R,R], trained for values in [-1,1], not clamped."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.image_size, self.z_dim, self.w_dim = config.image_size, config.z_dim, config.w_dim
        self.mapping = Mapping(config.z_dim, config.w_dim, config.mapping_layers)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.const = nn.Parameter(torch.randn(1, config.channels[0], 4, 4))
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        before = config.channels[0]
        for block, channels in enumerate(config.channels):
            size = 4 * 2**block
            if block > 0:
                self.convs.append(StyledConv(config.w_dim, before, channels, size, up=True))
            self.convs.append(StyledConv(config.w_dim, channels, channels, size, up=False))
            self.to_rgbs.append(ToRGB(config.w_dim, channels))
            before = channels
        self.conv_channels = tuple(c for b, c in enumerate(config.channels) for _ in range(1 if b == 0 else 2))
        self.conv_sizes = tuple(4 * 2**b for b in range(len(config.channels)) for _ in range(1 if b == 0 else 2))
        self.num_ws = 2 * len(config.channels)
        self.conv_style_indices = tuple(
            index for index, (layer, _) in enumerate(self._synthesis_order()) if isinstance(layer, StyledConv)
        )

    def map(self, z_BZ: Tensor, truncation: float = 1.0) -> Tensor:
        """[B,Z] standard normals -> ws_BLD: w_avg + truncation * (f(z) - w_avg), the same w for all layers."""
        w_BD = self.w_avg + truncation * (self.mapping(z_BZ) - self.w_avg)
        return w_BD[:, None].expand(-1, self.num_ws, -1)

    def styles(self, ws_BLD: Tensor) -> Styles:
        """The affine transform of w for every layer in synthesis order: conv, rgb, (conv, conv, rgb) per resolution.

        Errors: ValueError for ws of another shape than [B, num_ws, w_dim].
        """
        if ws_BLD.ndim != 3 or ws_BLD.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"ws of shape {tuple(ws_BLD.shape)}; this generator wants [B, {self.num_ws}, {self.w_dim}]"
            )
        return tuple(layer.affine(ws_BLD[:, index]) for layer, index in self._synthesis_order())

    def render(
        self,
        styles: Styles,
        edited: Styles | None = None,
        masks: Masks | None = None,
        features: list[Tensor] | None = None,
    ) -> Tensor:
        """The image [B,3,R,R]. Without `edited` that of `styles`; without `masks` that of `edited`; with both, every
        layer blends the two by its mask. The output of each convolution is appended to `features`, when given.

        Errors: ValueError for masks without edited styles, or another number of masks than convolutions.

        >>> image = generator.render(generator.styles(ws))                                     # doctest: +SKIP
        """
        if masks is not None and (edited is None or len(masks) != len(self.convs)):
            raise ValueError(f"masks need edited styles and one mask per convolution ({len(self.convs)})")
        x = self.const.expand(len(styles[0]), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        rgb: Tensor | None = None
        conv_index = -1
        for index, (layer, _) in enumerate(self._synthesis_order()):
            is_conv = isinstance(layer, StyledConv)
            conv_index += is_conv
            edit = None if edited is None else edited[index]
            mask = None if masks is None else masks[conv_index]
            out = _blend(layer, x, styles[index], edit, mask)
            if not is_conv:
                rgb = out if rgb is None else upsample2x(rgb) + out
                continue
            x = out
            if features is not None:
                features.append(x)
        assert rgb is not None
        return rgb

    def _synthesis_order(self) -> list[tuple[StyledConv | ToRGB, int]]:
        """(layer, w index) in synthesis order; a toRGB shares its w with the next block's first convolution."""
        order: list[tuple[StyledConv | ToRGB, int]] = []
        for index, conv in enumerate(self.convs):
            order.append((conv, index))  # type: ignore[arg-type]
            if index % 2 == 0:
                order.append((self.to_rgbs[index // 2], index + 1))  # type: ignore[arg-type]
        return order


def _blend(layer: StyledConv | ToRGB, x: Tensor, style: Tensor, edited: Tensor | None, mask: Tensor | None) -> Tensor:
    """One layer, blended. The branches run one after the other and not as one batch, so that each gives the same bits
    as a render without blending."""
    if edited is None or mask is None:
        out: Tensor = layer(x, style if edited is None else edited)
        return out
    plain, changed = layer(x, style), layer(x, edited)
    return torch.lerp(plain, changed, mask.to(plain.dtype))
