"""Samples of undamaged tars: keys, images, text members, and names that are no samples."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest

from tasks.inputs import archive
from tasks.inputs.archive import read_samples, write_shard
from tests.tars import image_bytes, members_of, statuses_of, write_tar


def test_a_good_tar_reads_as_webdataset_reads_it(tmp_path: Path) -> None:
    import webdataset

    members = [*members_of(1, "a/x"), *members_of(2, "a/y.seg")[:1], *members_of(3, "b")]
    path = write_tar(tmp_path / "in.tar", members)
    theirs = [sample["__key__"] for sample in webdataset.WebDataset(str(path), shardshuffle=False)]
    assert [sample.key for sample in read_samples(path)] == theirs


def test_sidecars_become_metadata(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [*members_of(1), ("b.json", b"[1]"), ("b.jpg", image_bytes(2))])
    first, second = read_samples(path)
    assert json.loads(first.metadata) == {"label": 1, "caption": "number 1"}
    assert json.loads(second.metadata) == {"json": [1]}
    assert first.image == image_bytes(1) and first.member == "0001.png"


def test_members_that_are_not_adjacent_are_one_sample(tmp_path: Path) -> None:
    a, b = members_of(1, "a"), members_of(2, "b")
    path = write_tar(tmp_path / "in.tar", [a[0], b[0], a[1], b[1]])
    first, second = read_samples(path)
    assert (first.status, json.loads(first.metadata)) == ("ok", {"label": 1})
    assert (second.status, json.loads(second.metadata)) == ("ok", {"label": 2})


def test_a_second_sample_of_one_key_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [*members_of(1, "a"), *members_of(2, "b"), *members_of(3, "a")])
    assert statuses_of(path) == [("a", "ok"), ("b", "ok"), ("a", "duplicate_key")]


def test_labels_belong_to_the_first_sample_of_their_key(tmp_path: Path) -> None:
    a = members_of(1, "a")
    path = write_tar(tmp_path / "in.tar", [a[0], ("a.png", image_bytes(2)), *a[1:]])
    first, second = read_samples(path)
    assert (first.image, json.loads(first.metadata)) == (image_bytes(1), {"label": 1, "caption": "number 1"})
    assert (second.status, second.metadata) == ("duplicate_key", "{}")


def test_a_sample_without_image_is_incomplete(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [*members_of(1, "a"), ("b.json", b"{}")])
    assert statuses_of(path) == [("a", "ok"), ("b", "incomplete")]


def test_names_that_are_no_samples_are_ignored(tmp_path: Path) -> None:
    members = [("README", b"x"), (".hidden.png", b"x"), ("__meta__/x.png", b"x"), *members_of(1, "a")]
    assert statuses_of(write_tar(tmp_path / "in.tar", members)) == [("a", "ok")]


def test_a_plain_suffix_is_the_image_before_a_dotted_one(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [("a.seg.png", b"mask"), ("a.PNG", image_bytes(1))])
    (sample,) = read_samples(path)
    assert sample.member == "a.PNG"


def test_of_several_plain_suffixes_the_first_is_the_image(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [("a.jpg", image_bytes(1, form="JPEG")), ("a.png", image_bytes(2))])
    (sample,) = read_samples(path)
    assert sample.member == "a.jpg"


def test_names_that_only_differ_after_their_first_dot_are_reported(tmp_path: Path) -> None:
    members = [(f"photo.{number}.jpg", image_bytes(number)) for number in range(20)]
    (sample,) = read_samples(write_tar(tmp_path / "in.tar", members))
    assert sample.status == "incomplete"
    assert "0.jpg, 1.jpg" in sample.reason and "first dot" in sample.reason and len(sample.reason) < 200


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert statuses_of(path) == [("a", "incomplete")]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.REGTYPE])
def test_an_invalid_sidecar_is_reported_and_the_image_is_used(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("a.png", image_bytes(1)), ("a.json", b"{oops"), ("a.txt", b"a caption")):
            info = tarfile.TarInfo(name)
            info.type = kind if name == "a.json" else tarfile.REGTYPE
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    (sample,) = read_samples(path)
    metadata = json.loads(sample.metadata)
    assert (sample.status, sample.reason, sample.image) == ("ok", "", image_bytes(1))
    assert metadata["caption"] == "a caption" and metadata["sidecar_error"].startswith("a.json: ")


def test_a_member_may_not_be_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 100)
    assert statuses_of(write_tar(tmp_path / "in.tar", members_of(1, "a"))) == [("a", "too_large")]


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(str(tmp_path / "sprung")))
    members = [*members_of(1, "a"), ("a.pyd", trap), ("a.pkl", trap), ("a.pickle", trap), ("a.pth", trap)]
    assert statuses_of(write_tar(tmp_path / "in.tar", members)) == [("a", "ok")]
    assert not (tmp_path / "sprung").exists()


def test_a_limit_takes_the_first_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [member for key in "abc" for member in members_of(1, key)])
    assert [sample.key for sample in read_samples(path, 2)] == ["a", "b"]


def test_a_name_that_is_not_unicode_becomes_readable(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as tar:
        info = tarfile.TarInfo("caf\xe9.png")
        info.size = len(image_bytes(1))
        tar.addfile(info, io.BytesIO(image_bytes(1)))
    (sample,) = read_samples(path)
    sample.key.encode()
    assert sample.status == "ok"


def test_equal_samples_are_written_as_equal_bytes(tmp_path: Path) -> None:
    sample = {"__key__": "a", "png": image_bytes(1), "json": b"{}"}
    for name in ("one.tar", "two.tar"):
        write_shard(tmp_path / name, [sample])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert statuses_of(tmp_path / "one.tar") == [("a", "ok")]


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(self.path),))  # type: ignore[return-value]
