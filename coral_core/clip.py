"""CLIP as a space: images and texts in, unit vectors and directions out. open_clip is imported here, on use, only.

Owns preprocessing: images come in [-1,1] at any size, are resized (bilinear, anti-aliased) and normalised here, as
the network was trained; the un-normalised shortcut of the published StyleCLIP code is not reproduced.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.ops.resize import resize
from coral_core.types import Prompt

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
ENDS = 2
"""Tokens of the context that say where a sentence begins and ends."""
SHOWN = 40
"""Characters of a long text in an error."""


class ClipSpace(nn.Module):
    """Unit vectors [B,E] of images and texts.

    `config` holds embed_dim, vision_cfg and text_cfg as open_clip's CLIP class takes them, and the byte-pair merges of
    the tokenizer, one "left right" per entry.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        from open_clip.model import CLIP

        self.config = dict(config)
        text_cfg = dict(config["text_cfg"])
        self.tokenizer = make_tokenizer(config["merges"], text_cfg["context_length"])
        text_cfg["vocab_size"] = self.tokenizer.vocab_size
        self.network = CLIP(config["embed_dim"], dict(config["vision_cfg"]), text_cfg)
        self.input_size: int = config["vision_cfg"]["image_size"]
        self.width: int = config["embed_dim"]
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self._texts: dict[str, Tensor] = {}

    def image(self, image_BCHW: Tensor) -> Tensor:
        """[B,3,H,W] in [-1,1] -> e_BE, differentiable."""
        if image_BCHW.shape[2:] != (self.input_size, self.input_size):
            image_BCHW = resize(image_BCHW, self.input_size)
        pixels = ((image_BCHW.clamp(-1, 1) + 1) / 2 - self.mean) / self.std
        return F.normalize(
            self.network.encode_image(pixels.contiguous(memory_format=torch.channels_last)).float(), dim=1
        )

    def text(self, prompts: Sequence[str]) -> Tensor:
        """Sentences -> e_BE without gradient, in full precision; every sentence is encoded once and alone, so that its
        bits do not depend on what else was asked."""
        for text in dict.fromkeys(prompts):
            if text not in self._texts:
                with torch.no_grad(), torch.autocast(self.mean.device.type, enabled=False):
                    self._texts[text] = self.encode_tokens(self.tokens([text]))[0]
        return torch.stack([self._texts[text] for text in prompts])

    def forget_texts(self) -> None:
        """Drop remembered sentences; training calls it after the network changed."""
        self._texts.clear()

    def direction(self, prompts: Sequence[Prompt]) -> Tensor:
        """normalise(text(target) - text(source)), d_BE; equal texts give a zero vector."""
        return F.normalize(self.text([p.target for p in prompts]) - self.text([p.source for p in prompts]), dim=1)

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Token ids [B, context]; sentences longer than the context are cut, which check_length foresees."""
        ids: Tensor = self.tokenizer(list(prompts))
        return ids.to(self.mean.device)

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Token ids -> e_BE, differentiable (training uses it)."""
        return F.normalize(self.network.encode_text(tokens).float(), dim=1)


def check_length(texts: Iterable[str], config: Mapping[str, Any]) -> None:
    """ValueError for a text that a CLIP of this config would not read to its end, which says where it would stop.

    Loads no weights, and the tokenizer only for what may be too long: a token has at least one character of plain text.
    """
    room = config["text_cfg"]["context_length"] - ENDS
    doubtful = [text for text in texts if not text.isascii() or "&" in text or len("".join(text.split())) > room]
    if not doubtful:
        return
    tokenizer = make_tokenizer(config["merges"], config["text_cfg"]["context_length"])
    for text in doubtful:
        tokens = tokenizer.encode(text)
        if len(tokens) > room:
            read = tokenizer.decode(tokens[:room]).strip()
            raise ValueError(
                f"the text {_beginning(text)!r} has {len(tokens)} tokens, and the bundle's CLIP reads {room} of them, "
                f"up to '...{read[-SHOWN:]}'; say it in fewer words"
            )


def _beginning(text: str) -> str:
    """The beginning of a text that is long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def make_tokenizer(merges: Sequence[str], context_length: int) -> Any:
    """open_clip's byte-pair tokenizer over our own merges, through its file option."""
    from open_clip.tokenizer import SimpleTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "merges.txt.gz"
        path.write_bytes(gzip.compress("\n".join(["#version: coral", *merges]).encode()))
        return SimpleTokenizer(bpe_path=str(path), context_length=context_length)
