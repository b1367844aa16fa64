"""A byte-pair vocabulary learned from captions (Sennrich et al. 2016), in the format of open_clip's tokenizer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise


def learn_merges(sentences: Iterable[str], most: int = 2048) -> list[str]:
    """The merges of the most frequent pairs of symbols, until every word is one symbol or there are `most` merges.

    Ties are broken alphabetically, so that the same sentences always give the same vocabulary.
    """
    counts = Counter(word for text in sentences for word in re.findall(r"[a-z]+", text.lower()))
    words = {word: (*word[:-1], word[-1] + "</w>") for word in counts}
    merges: list[str] = []
    while len(merges) < most:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = {word: _merge(symbols, best) for word, symbols in words.items()}
        merges.append(" ".join(best))
    return merges


def _merge(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)
