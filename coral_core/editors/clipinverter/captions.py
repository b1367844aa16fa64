"""Captions of a training source: their CLIP embeddings, and random choices among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from coral_core.clip import ClipSpace

BATCH = 512
"""Number of sentences embedded at a time."""


@dataclass(frozen=True)
class Captions:
    """The captions of a source, N of them distinct. Choices use a random generator of their own, so fits repeat."""

    embedding_NE: Tensor  # of distinct sentences
    rows: Mapping[str, int]  # sentence -> row
    caption_rows: Sequence[int]  # the row of every caption of every image
    rng: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    @classmethod
    @torch.no_grad()
    def of(cls, clip: ClipSpace, captions: Sequence[Sequence[str]]) -> Captions:
        """Embed the captions of all images, each distinct sentence once."""
        sentences = list(dict.fromkeys(text for texts in captions for text in texts))
        parts = [clip.encode_tokens(clip.tokens(sentences[i : i + BATCH])) for i in range(0, len(sentences), BATCH)]
        rows = {text: row for row, text in enumerate(sentences)}
        return cls(torch.cat(parts), rows, [rows[text] for texts in captions for text in texts])

    def draw_own(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings of one random caption of each image. [B,E]"""
        draw_own = self.uniform(len(captions)).tolist()
        chosen = [texts[int(part * len(texts))] for texts, part in zip(captions, draw_own, strict=True)]
        return self.embedding_NE[[self.rows[text] for text in chosen]]

    def draw_any(self, count: int) -> Tensor:
        """Embeddings of `count` random captions of the whole source, most likely those of other images. [count,E]"""
        draw_own = self.uniform(count).tolist()
        return self.embedding_NE[[self.caption_rows[int(part * len(self.caption_rows))] for part in draw_own]]

    def uniform(self, count: int) -> Tensor:
        """Random numbers in [0,1), on the embeddings' device. [count]"""
        return torch.rand(count, generator=self.rng, dtype=torch.float64).to(self.embedding_NE.device)
