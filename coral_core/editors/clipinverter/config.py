"""The options of CLIPInverter."""

from __future__ import annotations

from dataclasses import dataclass

STARTS = ("transport", "regression")
"""The edits to which CLIPInverter's residual can be added."""


@dataclass(frozen=True, kw_only=True)
class ClipInverterConfig:
    """Loss weights of both stages, and the strengths of both residuals in an edit of strength 1.

    The weights are for start transport, whose edit is to be kept. Those that were used for start regression, which has
    to make the edit: directional 4, clip 3, perceptual 0.3, l2 1, norm 0.1, cycle 1.
    """

    start: str = "transport"  # the edit without a residual: transport's of each sample, or by regression of w on CLIP
    directional: float = 0.5  # hinge of cos(edit - source image, target - neutral text) below directional_enough
    directional_enough: float = 0.5  # cosine of the exact right change; 1: no bound
    clip: float = 0.5  # hinge of cos(edit, target text) below clip_enough
    clip_enough: float = 0.3  # cosine of an image and a text that is true of it; 1: no bound
    identity: float = 0.1  # 1 - cos of identity embeddings
    perceptual: float = 0.5  # distance of deep features
    l2: float = 20.0  # mean square of pixels, images in [-1,1]
    norm: float = 0.0  # root mean square of w^ - w_avg
    cycle: float = 0.0  # all terms of the cycle edit
    adversarial: float = 0.0  # discriminator between w^ and the w of images
    neutral: str = ""  # neutral text that directions start from, and subject of the captions (wishes.py); empty: none
    own_captions: bool = False  # in training, directions start from a caption of the image instead
    wishes: int = 256  # different wishes in training, the most frequent; start transport stores 0.2 to 2.5 MB for each
    difference: float = 0.18  # change of a pixel, 0 to 2, from which on training keeps the edit of start transport
    scale: float = 0.1  # factor of the style heads' output for adapted taps
    guess: float = 1.75  # factor of the regression of w on CLIP embeddings; of start regression only
    remapper_clip: float = 0.5  # both CLIP terms in the second stage, relative to their weights in the first
    remapper_identity: float = 0.15
    remapper_perceptual: float = 0.3
    remapper_l2: float = 0.3
    adapter_rate: float = 3e-3  # Adam's learning rates
    remapper_rate: float = 1e-3
    gain_rate: float = 2e-2  # of the residual's factors, which are zero at first; of start transport only
    residual: float = 1.0  # strength of w^ - w in an edit
    remapping: float = 1.0  # strength of the remapper in an edit

    def __post_init__(self) -> None:
        wrong = [f"{name} = {value}" for name, value in vars(self).items() if not isinstance(value, str) and value < 0]
        if wrong:
            raise ValueError(f"weights, rates and strengths cannot be negative: {', '.join(wrong)}")
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r}; give one of {', '.join(STARTS)}")
        if self.wishes < 1:
            raise ValueError(f"wishes is {self.wishes}; give 1 or more")
