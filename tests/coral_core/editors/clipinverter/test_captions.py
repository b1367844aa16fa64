"""Random choices among captions, by a random generator of their own."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.clipinverter import captions as module
from coral_core.editors.clipinverter.captions import Captions, frequent_targets
from coral_core.editors.wishes import MOST_WISHES

CAPTIONS = (("blue", "a photo"), ("red",), ("red", "red", "blue"))


def test_captions_of_an_image_are_its_own_and_all_of_them_are_drawn(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    draw_own = [captions.draw_own(CAPTIONS) for _ in range(300)]
    counts = [Counter(column) for column in zip(*draw_own, strict=True)]
    assert [set(count) for count in counts] == [set(own) for own in CAPTIONS]
    assert 100 < counts[0]["blue"] < 200
    assert 160 < counts[2]["red"] < 240  # occurs twice, is drawn twice as often


def test_batches_may_have_any_order_and_size(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    assert captions.draw_own((("red",), ("blue",), ("red",))) == ["red", "blue", "red"]


def test_any_caption_is_drawn_as_often_as_it_occurs(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    counts = Counter(captions.draw_any(3000))
    assert set(counts) == {"blue", "a photo", "red"}
    for text, count in (("red", 3), ("blue", 2), ("a photo", 1)):
        assert counts[text] / 3000 == pytest.approx(count / 6, abs=0.03)


def test_a_batch_of_one_gets_captions_of_other_images(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    assert len({captions.draw_any(1)[0] for _ in range(40)}) == 3


def draws(captions: Captions) -> list[object]:
    return [
        part
        for _ in range(5)
        for part in (captions.draw_own(CAPTIONS), captions.draw_any(4), captions.uniform(3).tolist())
    ]


def test_draws_do_not_depend_on_the_global_random_state(models: Models) -> None:
    torch.manual_seed(1)
    first, state = draws(Captions.of(models.clip, CAPTIONS)), torch.random.get_rng_state()
    torch.manual_seed(2)
    second = draws(Captions.of(models.clip, CAPTIONS))
    assert first == second
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())  # the global random state is not used


def test_draws_differ_from_call_to_call_and_from_seed_to_seed(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS)
    assert not torch.equal(captions.uniform(8), captions.uniform(8))
    assert captions.draw_any(40) != captions.draw_any(40)
    assert len({tuple(captions.draw_own(CAPTIONS)) for _ in range(40)}) == 4
    other = Captions(captions.embedding_NE, captions.rows, captions.targets, torch.Generator().manual_seed(1))
    assert other.draw_any(40) != Captions.of(models.clip, CAPTIONS).draw_any(40)


def test_uniform_numbers_fill_the_unit_interval(models: Models) -> None:
    drawn_B = Captions.of(models.clip, CAPTIONS).uniform(4000)
    assert 0 <= drawn_B.min() < 0.01
    assert 0.99 < drawn_B.max() < 1
    assert drawn_B.mean() == pytest.approx(0.5, abs=0.02)


def test_only_targets_are_drawn_and_an_image_without_one_has_none(models: Models) -> None:
    captions = Captions.of(models.clip, CAPTIONS, ["red", "red", "a photo"])
    assert captions.draw_own((("blue",), ("blue", "red"))) == ["", "red"]
    assert Counter(captions.draw_any(300)).keys() == {"red", "a photo"}
    assert torch.equal(captions.embeddings(["a photo", "red"]), models.clip.text(["a photo", "red"]))


def test_targets_are_the_captions_of_the_most_frequent_wishes() -> None:
    hair, hat, tie = (f"a person with {each}" for each in ("red hair", "a hat", "a tie"))
    many = "a person with " + ", ".join(f"{number} hats" for number in range(MOST_WISHES + 1))
    said = ((hair, f"{hair} and a hat"), (hat, tie), (f"{hat} and a tie", many), (hair,))
    assert frequent_targets(said, "a person", 1) == [hair, hair]
    assert frequent_targets(said, "a person", 2) == [hair, f"{hair} and a hat", hat, hair]
    assert frequent_targets(said, "a person", 100) == [hair, f"{hair} and a hat", hat, tie, f"{hat} and a tie", hair]
    assert frequent_targets(said, "", 1) == [hair, hair]  # without a subject nothing is divided


def test_a_sentence_is_embedded_once_in_parts_of_any_size(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Captions.of(models.clip, CAPTIONS)
    assert whole.embedding_NE.shape == (3, models.clip.width)
    assert list(whole.rows) == ["blue", "a photo", "red"]
    monkeypatch.setattr(module, "BATCH", 2)
    assert torch.equal(Captions.of(models.clip, CAPTIONS).embedding_NE, whole.embedding_NE)
