"""Captions of a training source: their CLIP embeddings, the targets among them, and random choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from coral_core.clip import ClipSpace
from coral_core.editors.wishes import MOST_WISHES, split_wishes

BATCH = 512
"""Number of sentences embedded at a time."""


@dataclass(frozen=True)
class Captions:
    """The captions of a source, N of them distinct, and those of them that are targets of training edits.

    Choices use a random generator of their own, so fits repeat.
    """

    embedding_NE: Tensor  # of distinct sentences
    rows: Mapping[str, int]  # sentence -> row
    targets: Sequence[str]  # those of every image, as often as they occur
    rng: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    @classmethod
    @torch.no_grad()
    def of(cls, clip: ClipSpace, captions: Sequence[Sequence[str]], targets: Sequence[str] | None = None) -> Captions:
        """Embed the captions of all images, each distinct sentence once. Without `targets`, every caption is one."""
        every = [text for texts in captions for text in texts]
        sentences = list(dict.fromkeys(every))
        parts = [clip.encode_tokens(clip.tokens(sentences[i : i + BATCH])) for i in range(0, len(sentences), BATCH)]
        rows = {text: row for row, text in enumerate(sentences)}
        return cls(torch.cat(parts), rows, every if targets is None else targets)

    def embeddings(self, texts: Sequence[str]) -> Tensor:
        """The embedding of each caption. [B,E]"""
        return self.embedding_NE[[self.rows[text] for text in texts]]

    def draw_own(self, captions: Sequence[Sequence[str]]) -> list[str]:
        """One random target of each image; empty for an image without one."""
        parts = self.uniform(len(captions)).tolist()
        able = [[text for text in texts if text in self._known] for texts in captions]
        return [texts[int(part * len(texts))] if texts else "" for texts, part in zip(able, parts, strict=True)]

    def draw_any(self, count: int) -> list[str]:
        """`count` random targets of the whole source, most likely those of other images."""
        return [self.targets[int(part * len(self.targets))] for part in self.uniform(count).tolist()]

    def uniform(self, count: int) -> Tensor:
        """Random numbers in [0,1), on the embeddings' device. [count]"""
        return torch.rand(count, generator=self.rng, dtype=torch.float64).to(self.embedding_NE.device)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.targets)


def frequent_targets(captions: Sequence[Sequence[str]], subject: str, most: int) -> list[str]:
    """The captions that consist of the `most` most frequent wishes about `subject`, as often as they occur.

    Captions of more than MOST_WISHES wishes are left out. Of equally frequent wishes, those said first are taken.
    """
    every = [(text, split_wishes(text, subject)) for texts in captions for text in texts]
    able = [(text, wishes) for text, wishes in every if len(wishes) <= MOST_WISHES]
    counts = Counter(wish for _, wishes in able for wish in wishes)
    frequent = {wish for wish, _ in counts.most_common(most)}
    return [text for text, wishes in able if frequent.issuperset(wishes)]
