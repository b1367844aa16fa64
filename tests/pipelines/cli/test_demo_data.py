"""Tars of portraits: the same bytes every time, and the captions for training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coral_core.zoo.portraits.domain import SPLITS, sample
from coral_core.zoo.portraits.lexicon import LEXICON, NEUTRAL, Wordings
from pipelines.cli.app import app
from pipelines.cli.demo_data import WORDINGS, Portraits, write_demo_data
from tasks.artifacts.captioned_source import captions_of
from tasks.images.encode import encode
from tasks.inputs.archive import read_samples, write_shard
from tasks.shards.batch import Item


def captions_in(path: Path) -> dict[int, tuple[str, ...]]:
    """Seed of each portrait -> its captions, as a fit reads them."""
    return {int(each.key): captions_of(Item(each)) for each in read_samples(path)}


def written(folder: Path, samples: int, **portraits: object) -> dict[int, tuple[str, ...]]:
    (path,) = write_demo_data(folder, 1, samples, "dev", Portraits(size=16, **portraits))  # type: ignore[arg-type]
    return captions_in(path)


def texts_of(captions: dict[int, tuple[str, ...]]) -> list[str]:
    return [text for texts in captions.values() for text in texts]


@pytest.mark.parametrize(("image_format", "form"), [("png", "png"), ("jpg", "jpeg")])
def test_by_default_a_portrait_has_the_caption_of_its_scene(tmp_path: Path, image_format: str, form: str) -> None:
    portraits = Portraits(size=32, image_format=image_format)  # type: ignore[arg-type]
    (path,) = write_demo_data(tmp_path / "now", 1, 4, "test", portraits)
    scenes = [sample(seed) for seed in SPLITS["test"][:4]]
    before = [
        {
            "__key__": f"{scene.seed:09d}",
            image_format: encode(scene.image(32), form),  # type: ignore[arg-type]
            "json": json.dumps(scene.record(), sort_keys=True).encode(),
            "txt": scene.caption().text.encode(),
        }
        for scene in scenes
    ]
    write_shard(tmp_path / "before.tar", before)
    assert path.read_bytes() == (tmp_path / "before.tar").read_bytes()


@pytest.mark.parametrize("wordings", WORDINGS)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_there_are_as_many_captions_as_asked_for(tmp_path: Path, wordings: str, count: int) -> None:
    found = written(tmp_path, 8, captions=count, wordings=wordings)
    assert [len(captions) for captions in found.values()] == [count] * 8


def test_more_captions_begin_with_the_same_ones(tmp_path: Path) -> None:
    few, many = (written(tmp_path / str(count), 6, captions=count) for count in (2, 5))
    assert all(many[seed][:2] == captions for seed, captions in few.items())
    assert all(captions[0] == sample(seed).caption().text for seed, captions in many.items())
    assert len(set(texts_of(many))) > 20


def test_captions_are_those_of_the_seed_wherever_the_portrait_lies(tmp_path: Path) -> None:
    together = written(tmp_path / "one", 6, captions=3, wordings="training")
    apart = [
        captions_in(path)
        for path in write_demo_data(tmp_path / "two", 3, 2, "dev", Portraits(size=16, captions=3, wordings="training"))
    ]
    assert together == apart[0] | apart[1] | apart[2]


def test_captions_are_true_of_the_portrait(tmp_path: Path) -> None:
    """Where a colour of hair is said plainly, the scene's hair has it."""
    for seed, captions in written(tmp_path, 40, captions=5, wordings="training").items():
        scene = sample(seed)
        for value, (plain, *_) in LEXICON["hair_color"].items():
            said = any(re.search(rf"\b{plain}", caption) for caption in captions)
            assert not said or scene.attributes["hair_color"] == value


def test_told_captions_use_no_held_out_wording(tmp_path: Path) -> None:
    held_out, training = Wordings.held_out(), Wordings.training()
    told_words = [wording for values in training.lexicon.values() for words in values.values() for wording in words]
    kept = [words[2].removeprefix("is ") for values in LEXICON.values() for words in values.values() if len(words) > 2]
    only_kept = [wording for wording in kept if not any(wording in each for each in told_words)]
    assert len(only_kept) > 0.9 * len(kept)
    starts = tuple(frame.partition("{}")[0] for frame, _ in held_out.frames)
    texts, others = (
        texts_of(written(tmp_path / name, 200, captions=8, wordings=name)) for name in ("training", "held-out")
    )
    assert not [text for text in texts for wording in only_kept if wording in text]
    assert not [text for text in texts if text.startswith(starts) and text not in NEUTRAL]
    heard = {wording for wording in only_kept if any(wording in text for text in others)}
    assert len(heard) > 0.9 * len(only_kept)


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"captions": 0}, "0 captions; give 1 or more"),
        ({"captions": -3}, "-3 captions"),
        ({"wordings": "tolled"}, "no wordings 'tolled'; choose one of all, training, held-out"),
    ],
)
def test_invalid_arguments_are_refused(wishes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Portraits(**wishes)  # type: ignore[arg-type]


def test_the_command_writes_them(tmp_path: Path) -> None:
    wishes = ["--shards", "1", "--samples", "3", "--size", "16", "--split", "dev"]
    wishes += ["--captions", "4", "--wordings", "held-out"]
    result = CliRunner().invoke(app, ["demo-data", str(tmp_path / "data"), *wishes], catch_exceptions=False)
    assert result.exit_code == 0 and "1 tars with 3 portraits" in result.stdout
    (path,) = (tmp_path / "data").iterdir()
    assert captions_in(path) == written(tmp_path / "other", 3, captions=4, wordings="held-out")
