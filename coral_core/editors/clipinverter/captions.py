"""Captions of a training source, embedded once, and the draws that a training makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from coral_core.clip import ClipSpace

BATCH = 512
"""Sentences embedded at a time."""


@dataclass(frozen=True)
class Captions:
    """N captions. One stream of random numbers, so that equal fits draw equal texts."""

    embedding_NE: Tensor  # of distinct sentences
    rows: Mapping[str, int]  # sentence -> row
    told: Sequence[int]  # the row of every caption of every image
    stream: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    @classmethod
    @torch.no_grad()
    def of(cls, clip: ClipSpace, captions: Sequence[Sequence[str]]) -> Captions:
        """Of the images' captions."""
        sentences = list(dict.fromkeys(text for texts in captions for text in texts))
        parts = [clip.encode_tokens(clip.tokens(sentences[i : i + BATCH])) for i in range(0, len(sentences), BATCH)]
        rows = {text: row for row, text in enumerate(sentences)}
        return cls(torch.cat(parts), rows, [rows[text] for texts in captions for text in texts])

    def drawn(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """One of each image's. [B,E]"""
        drawn = self.uniform(len(captions)).tolist()
        chosen = [texts[int(part * len(texts))] for texts, part in zip(captions, drawn, strict=True)]
        return self.embedding_NE[[self.rows[text] for text in chosen]]

    def others(self, count: int) -> Tensor:
        """Any image's: another one's, all but certainly, however small the batch is. [B,E]"""
        drawn = self.uniform(count).tolist()
        return self.embedding_NE[[self.told[int(part * len(self.told))] for part in drawn]]

    def uniform(self, count: int) -> Tensor:
        """Numbers in [0,1), on the embeddings' device. [B]"""
        return torch.rand(count, generator=self.stream, dtype=torch.float64).to(self.embedding_NE.device)
