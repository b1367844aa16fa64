"""Random choices among captions, by a random generator of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.editors.clipinverter import captions as module
from coral_core.editors.clipinverter.captions import Captions

CAPTIONS = (("blue", "a photo"), ("red",), ("red", "red", "blue"))


def texts(models: Models, row_BE: Tensor, known: Sequence[str] = ("a photo", "red", "blue")) -> list[str]:
    """The sentences whose embeddings the rows are."""
    table_NE = models.clip.text(list(known))
    found = [[torch.equal(row_E, known_E) for known_E in table_NE] for row_E in row_BE]
    assert all(sum(matches) == 1 for matches in found)
    return [known[matches.index(True)] for matches in found]


def test_captions_of_an_image_are_its_own_and_all_of_them_are_drawn(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    draw_own = [texts(models, captions.draw_own(CAPTIONS)) for _ in range(300)]
    counts = [Counter(column) for column in zip(*draw_own, strict=True)]
    assert [set(count) for count in counts] == [set(own) for own in CAPTIONS]
    assert 100 < counts[0]["blue"] < 200
    assert 160 < counts[2]["red"] < 240  # occurs twice, is drawn twice as often


def test_batches_may_have_any_order_and_size(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    assert texts(models, captions.draw_own((("red",), ("blue",), ("red",)))) == ["red", "blue", "red"]


def test_any_caption_is_drawn_as_often_as_it_occurs(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    counts = Counter(texts(models, captions.draw_any(3000)))
    assert set(counts) == {"blue", "a photo", "red"}
    for text, count in (("red", 3), ("blue", 2), ("a photo", 1)):
        assert counts[text] / 3000 == pytest.approx(count / 6, abs=0.03)


def test_a_batch_of_one_gets_captions_of_other_images(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    assert len({texts(models, captions.draw_any(1))[0] for _ in range(40)}) == 3


def draws(captions: Captions) -> list[Tensor]:
    return [part for _ in range(5) for part in (captions.draw_own(CAPTIONS), captions.draw_any(4), captions.uniform(3))]


def test_draws_do_not_depend_on_the_global_random_state(models: Models) -> None:
    torch.manual_seed(1)
    first, state = draws(Captions.of(models.clip, CAPTIONS)), torch.random.get_rng_state()
    torch.manual_seed(2)
    second = draws(Captions.of(models.clip, CAPTIONS))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())  # the global random state is not used


def test_draws_differ_from_call_to_call_and_from_seed_to_seed(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    assert not torch.equal(captions.uniform(8), captions.uniform(8))
    assert not torch.equal(captions.draw_any(40), captions.draw_any(40))
    assert len({tuple(texts(models, captions.draw_own(CAPTIONS))) for _ in range(40)}) == 4
    other = Captions(captions.embedding_NE, captions.rows, captions.caption_rows, torch.Generator().manual_seed(1))
    assert not torch.equal(other.draw_any(40), Captions.of(models.clip, CAPTIONS).draw_any(40))


def test_uniform_numbers_fill_the_unit_interval(models: Models) -> None:
    drawn_B = Captions.of(models.clip, CAPTIONS).uniform(4000)
    assert 0 <= drawn_B.min() < 0.01
    assert 0.99 < drawn_B.max() < 1
    assert drawn_B.mean() == pytest.approx(0.5, abs=0.02)


def test_a_sentence_is_embedded_once_in_parts_of_any_size(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Captions.of(models.clip, CAPTIONS)
    assert whole.embedding_NE.shape == (3, models.clip.width)
    assert list(whole.rows) == ["blue", "a photo", "red"]
    monkeypatch.setattr(module, "BATCH", 2)
    assert torch.equal(Captions.of(models.clip, CAPTIONS).embedding_NE, whole.embedding_NE)
