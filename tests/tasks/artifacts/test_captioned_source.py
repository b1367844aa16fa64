"""Tars as a training source: which samples are used, and which are not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.inversion import SAMPLE_BATCH, invert
from coral_core.types import Inversion
from tasks.artifacts.captioned_source import captioned, captions_of
from tasks.images.decode import decode
from tasks.images.tensors import tensor_of
from tasks.inputs.archive import read_samples
from tasks.inputs.find import describe
from tasks.inputs.local_copy import ShardChangedError
from tasks.shards.batch import Item
from tasks.spec.geometry import Geometry
from tasks.spec.requests import Shard
from tests.tars import Members, image_bytes, members_of, write_shards, write_tar


def learned(models: Models, shards: Sequence[Shard]) -> tuple[Inversion, list[int]]:
    """The source, and the reported counts."""
    heard: list[int] = []
    return captioned(models, shards, lambda tar, samples: heard.append(samples)), heard


def captions_in(path: Path, members: Members) -> dict[str, tuple[str, ...]]:
    return {sample.key: captions_of(Item(sample)) for sample in read_samples(write_tar(path, members))}


def key_of(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def test_every_captioned_image_is_there_once_in_its_order(tmp_path: Path, models: Models) -> None:
    shards = [describe(path) for path in write_shards(tmp_path, 2, 3)]
    source, _ = learned(models, shards)
    numbers = (0, 1, 2, 100, 101, 102)
    assert source.keys == tuple(key_of(image_bytes(number)) for number in numbers)
    assert source.captions == tuple((f"number {number}",) for number in numbers)
    assert not source.taps and source.user_mask_B1HW is None


def test_an_image_is_inverted_as_a_run_inverts_it(tmp_path: Path, models: Models) -> None:
    wide = image_bytes(7, (90, 60))
    path = write_tar(tmp_path / "in.tar", [("wide.png", wide), ("wide.txt", b"a wide one")])
    source, _ = learned(models, [describe(path)])
    square = decode(wide, Geometry(), models.image_size).pixels_HWC
    expected = invert(models, ["wide"], tensor_of([square]))
    for name in ("image_BCHW", "ws_BLD", "recon_BCHW", "labels_BHW"):
        assert torch.equal(getattr(source, name), getattr(expected, name))


def test_reading_more_images_than_a_batch_is_reported(tmp_path: Path, models: Models) -> None:
    count = SAMPLE_BATCH + 3
    path = write_tar(tmp_path / "in.tar", [member for number in range(count) for member in members_of(number)])
    source, heard = learned(models, [describe(path)])
    assert len(source.keys) == len(source.captions) == len(source.image_BCHW) == count
    assert heard == [0, SAMPLE_BATCH]
    assert source.captions[-1] == (f"number {count - 1}",)


def test_a_limit_takes_the_first_samples(tmp_path: Path, models: Models) -> None:
    (path,) = write_shards(tmp_path, 1, 4)
    shard = describe(path)
    limited = Shard(uri=shard.uri, size=shard.size, sha256=shard.sha256, stamp=shard.stamp, limit=2)
    assert learned(models, [limited])[0].captions == (("number 0",), ("number 1",))


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        (b"one", ("one",)),
        (b"one\ntwo\n", ("one", "two")),
        (b"  one \r\n\r\n\t\n two\t", ("one", "two")),
        ("gr\u00fcne Augen\n\u7ea2\u8272".encode(), ("gr\u00fcne Augen", "\u7ea2\u8272")),
        (b"", ()),
        (b" \n\n", ()),
    ],
)
def test_captions_are_the_lines_that_are_not_blank(tmp_path: Path, text: bytes, captions: tuple[str, ...]) -> None:
    assert captions_in(tmp_path / "in.tar", [("a.png", image_bytes(0)), ("a.txt", text)]) == {"a": captions}


def test_an_image_without_text_has_no_captions(tmp_path: Path) -> None:
    members = [("a.png", image_bytes(0)), ("b.png", image_bytes(1)), ("b.json", b'{"label": 3}')]
    assert captions_in(tmp_path / "in.tar", members) == {"a": (), "b": ()}


def test_samples_that_cannot_be_learned_from_are_skipped(tmp_path: Path, models: Models) -> None:
    members = [
        *members_of(0),
        ("silent.png", image_bytes(1)),
        ("blank.png", image_bytes(2)),
        ("blank.txt", b"\n \n"),
        ("broken.png", b"no image"),
        ("broken.txt", b"a torn picture"),
        ("lonely.txt", b"words alone"),
        *members_of(4),
        *members_of(4),  # the same names once more
    ]
    source, _ = learned(models, [describe(write_tar(tmp_path / "in.tar", members))])
    assert source.captions == (("number 0",), ("number 4",))


def test_a_damaged_tar_gives_its_intact_samples(tmp_path: Path, models: Models) -> None:
    (path,) = write_shards(tmp_path, 1, 4)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    source, _ = learned(models, [describe(path)])
    assert ("number 0",) in source.captions and ("number 3",) not in source.captions


def test_without_any_captioned_image_the_tars_are_named(tmp_path: Path, models: Models) -> None:
    silent = write_tar(tmp_path / "silent.tar", [("a.png", image_bytes(0))])
    broken = write_tar(tmp_path / "broken.tar", [("a.png", b"no image"), ("a.txt", b"a torn picture")])
    with pytest.raises(ValueError, match=r"no captioned image in .*silent\.tar, .*broken\.tar; put the captions"):
        learned(models, [describe(silent), describe(broken)])


def test_a_tar_that_was_changed_or_is_gone_is_refused(tmp_path: Path, models: Models) -> None:
    (path,) = write_shards(tmp_path, 1, 2)
    planned = describe(path)
    write_tar(path, members_of(9))
    with pytest.raises(ShardChangedError, match="was changed after the run was planned"):
        learned(models, [planned])
    path.unlink()
    with pytest.raises(ShardChangedError, match="is gone after the run was planned"):
        learned(models, [planned])


def test_a_tar_with_only_a_new_modification_time_is_accepted(tmp_path: Path, models: Models) -> None:
    (path,) = write_shards(tmp_path, 1, 2)
    planned, data = describe(path), path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert describe(path).stamp != planned.stamp
    assert len(learned(models, [planned])[0].keys) == 2
