from __future__ import annotations

import errno
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.inputs import archive
from tasks.inputs.archive import count_samples, read_samples, write_shard
from tests.tars import image_bytes, mask_bytes, members_of, write_tar


def statuses(path: Path) -> list[tuple[str, str]]:
    found = [(sample.key, sample.status) for sample in read_samples(path)]
    assert len(found) == count_samples(path)
    return found


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


def test_members_that_are_not_adjacent_are_brought_together(tmp_path: Path) -> None:
    a, b = members_of(1, "a"), members_of(2, "b")
    path = write_tar(tmp_path / "in.tar", [a[0], b[0], a[1], b[1]])
    first, second = read_samples(path)
    assert (first.status, json.loads(first.metadata)) == ("ok", {"label": 1})
    assert (second.status, json.loads(second.metadata)) == ("ok", {"label": 2})


def test_a_second_sample_of_one_key_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [*members_of(1, "a"), *members_of(2, "b"), *members_of(3, "a")])
    assert statuses(path) == [("a", "ok"), ("b", "ok"), ("a", "duplicate_key")]


def test_labels_belong_to_the_first_sample_of_their_key(tmp_path: Path) -> None:
    a = members_of(1, "a")
    path = write_tar(tmp_path / "in.tar", [a[0], ("a.png", image_bytes(2)), *a[1:]])
    first, second = read_samples(path)
    assert (first.image, json.loads(first.metadata)) == (image_bytes(1), {"label": 1, "caption": "number 1"})
    assert (second.status, second.metadata) == ("duplicate_key", "{}")


def test_a_sample_without_image_is_incomplete(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [*members_of(1, "a"), ("b.json", b"{}")])
    assert statuses(path) == [("a", "ok"), ("b", "incomplete")]


def test_names_that_are_no_samples_are_passed_over(tmp_path: Path) -> None:
    members = [("README", b"x"), (".hidden.png", b"x"), ("__meta__/x.png", b"x"), *members_of(1, "a")]
    assert statuses(write_tar(tmp_path / "in.tar", members)) == [("a", "ok")]


def test_a_plain_suffix_is_the_image_before_a_dotted_one(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [("a.seg.png", b"mask"), ("a.PNG", image_bytes(1))])
    (sample,) = read_samples(path)
    assert sample.member == "a.PNG"


def test_of_several_plain_suffixes_the_first_is_the_image(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [("a.jpg", image_bytes(1, form="JPEG")), ("a.png", image_bytes(2))])
    (sample,) = read_samples(path)
    assert sample.member == "a.jpg"


def test_names_that_only_differ_after_their_first_dot_do_not_hide_each_other(tmp_path: Path) -> None:
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
    assert statuses(path) == [("a", "incomplete")]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.REGTYPE])
def test_a_sidecar_that_cannot_be_read_is_no_silent_loss_of_labels_and_costs_no_image(
    tmp_path: Path, kind: bytes
) -> None:
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
    assert statuses(write_tar(tmp_path / "in.tar", members_of(1, "a"))) == [("a", "too_large")]


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(str(tmp_path / "sprung")))
    members = [*members_of(1, "a"), ("a.pyd", trap), ("a.pkl", trap), ("a.pickle", trap), ("a.pth", trap)]
    assert statuses(write_tar(tmp_path / "in.tar", members)) == [("a", "ok")]
    assert not (tmp_path / "sprung").exists()


def whole_tar(tmp_path: Path) -> tuple[Path, bytes]:
    path = write_tar(tmp_path / "in.tar", [*members_of(1, "a"), *members_of(2, "b")])
    return path, path.read_bytes()


def test_a_tar_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    with tarfile.open(path) as tar:
        end = tar.getmember("b.png").offset_data + 512 * -(-tar.getmember("b.png").size // 512)
    path.write_bytes(data[:end])
    assert statuses(path) == [("a", "ok"), ("b", "incomplete")]


@pytest.mark.parametrize("member", ["b.png", "b.json"])
def test_a_tar_cut_inside_a_member_is_noticed(tmp_path: Path, member: str) -> None:
    path, data = whole_tar(tmp_path)
    with tarfile.open(path) as tar:
        cut = tar.getmember(member).offset_data + 10
    path.write_bytes(data[:cut])
    assert statuses(path) == [("a", "ok"), ("b", "incomplete")]


def test_a_caption_that_is_cut_says_something_else_and_is_not_taken(tmp_path: Path) -> None:
    said = ("a.txt", b"a person who is NOT smiling")
    path = write_tar(
        tmp_path / "in.tar", [("a.png", image_bytes(1)), ("b.png", image_bytes(2)), ("b.txt", b"a smile"), said]
    )
    path.write_bytes(path.read_bytes().partition(b" who is NOT")[0])
    first, second = read_samples(path)
    assert first.status == "incomplete" and "caption" not in json.loads(first.metadata)
    assert (second.status, json.loads(second.metadata)) == ("ok", {"caption": "a smile"})


def test_labels_that_lay_behind_the_cut_are_missed(tmp_path: Path) -> None:
    names = [f"{key}.{suffix}" for suffix in ("png", "json") for key in "abc"]
    members = [(name, image_bytes(1) if name.endswith("png") else b'{"label": 1}') for name in names]
    path = write_tar(tmp_path / "in.tar", members)
    with tarfile.open(path) as tar:
        cut = tar.getmember("c.json").offset
    path.write_bytes(path.read_bytes()[:cut])
    assert statuses(path) == [("a", "ok"), ("b", "incomplete"), ("c", "incomplete")]
    assert list(read_samples(path))[2].reason.endswith("lacks json")


def fail_after(monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    """Every read after the first good ones fails, of whatever file."""
    left = iter(range(good))

    class Disk(io.FileIO):
        def readinto(self, buffer: Any, /) -> int | None:
            if next(left, None) is None:
                raise OSError(errno.EIO, "Input/output error")
            return super().readinto(buffer)

    def opened(path: Path, mode: str, buffering: int = -1) -> Any:
        return Disk(str(path)) if buffering == 0 else io.BufferedReader(Disk(str(path)))

    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.parametrize("read", [count_samples, lambda path: list(read_samples(path))], ids=["count", "read"])
@pytest.mark.parametrize("cut", [0, 700], ids=["whole", "cut"])
def test_what_the_disk_says_is_no_verdict_on_the_tar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], cut: int
) -> None:
    path, data = whole_tar(tmp_path)
    path.write_bytes(data[: len(data.rstrip(b"\0")) - cut] if cut else data)
    expected, failures = read(path), 0
    for good in range(100):
        fail_after(monkeypatch, good)
        try:
            found = read(path)
        except OSError as error:
            assert error.errno == errno.EIO
            failures += 1
        else:
            break
    assert found == expected and failures == good > 3


def test_a_damaged_header_loses_nothing_silently(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    with tarfile.open(path) as tar:
        header = tar.getmember("b.json").offset
    path.write_bytes(data[:header] + b"\xff" * 512 + data[header + 512 :])
    assert statuses(path) == [("a", "ok"), ("b", "incomplete"), ("in.tar@end", "undecodable")]


def test_concatenated_tars_are_noticed_and_the_first_is_whole(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    path.write_bytes(data + data)
    assert statuses(path) == [("a", "ok"), ("b", "ok"), ("in.tar@end", "undecodable")]


def test_a_tar_that_loses_some_of_its_last_zeros_is_whole(tmp_path: Path) -> None:
    path, data = whole_tar(tmp_path)
    end = len(data.rstrip(b"\0"))
    for size in (-(-end // 512) * 512 + 512, -(-end // 512) * 512 + 700, len(data) + 1):
        path.write_bytes(data.ljust(size, b"\0")[:size])
        assert statuses(path) == [("a", "ok"), ("b", "ok")]
    path.write_bytes(data[: -(-end // 512) * 512])
    assert statuses(path) == [("a", "ok"), ("b", "incomplete")]


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(range(256)) * 8])
def test_what_is_no_tar_is_one_row(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(data)
    assert statuses(path) == [("in.tar", "undecodable")]


@pytest.mark.parametrize(("magic", "name"), [(b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ\0", "xz")])
def test_a_compressed_tar_is_called_by_its_name(tmp_path: Path, magic: bytes, name: str) -> None:
    path = tmp_path / "in.tar"
    path.write_bytes(magic + bytes(2000))
    (row,) = read_samples(path)
    assert row.status == "undecodable" and f"is {name} and no plain tar" in row.reason


def test_a_good_tar_may_begin_like_another_format(tmp_path: Path) -> None:
    assert statuses(write_tar(tmp_path / "in.tar", members_of(1, "BZhang"))) == [("BZhang", "ok")]


def test_a_huge_header_does_not_get_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**24
    path.write_bytes(header.tobuf() + b"x" * 2**24 + bytes(1024))
    (row,) = read_samples(path)
    assert row.status == "undecodable" and "a header claims to have" in row.reason


def test_an_empty_tar_has_no_samples(tmp_path: Path) -> None:
    assert statuses(write_tar(tmp_path / "in.tar", [])) == []


def test_a_limit_takes_the_first_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "in.tar", [member for key in "abc" for member in members_of(1, key)])
    assert [sample.key for sample in read_samples(path, 2)] == ["a", "b"]


def test_a_name_that_is_no_unicode_is_readable(tmp_path: Path) -> None:
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
    assert statuses(tmp_path / "one.tar") == [("a", "ok")]


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(self.path),))  # type: ignore[return-value]


MASK = mask_bytes((0, 0, 32, 64))


def with_masks(path: Path, *masks: str) -> list[tuple[str, dict[str, tuple[str, str, bytes]]]]:
    """Of every sample its image, and of its masks the member, the status and the bytes."""
    return [
        (sample.member, {suffix: (each.member, each.status, each.image) for suffix, each in sample.masks.items()})
        for sample in read_samples(path, masks=masks)
    ]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("image", "mask"), [("a.jpg", "mask.png"), ("a.png", "Mask.PNG"), ("a.v1.png", "mask.png")])
def test_a_mask_is_read_beside_the_image_and_never_taken_for_it(
    tmp_path: Path, order: int, image: str, mask: str
) -> None:
    members = [(image, image_bytes(1)), (f"a.{mask}", MASK), ("a.json", b"{}")][::order]
    path = write_tar(tmp_path / "in.tar", members)
    assert with_masks(path, "mask.png") == [(image, {"mask.png": (f"a.{mask}", "ok", MASK)})]
    assert with_masks(path) == [(image, {})]  # nor where nobody asks for it
    (sample,) = read_samples(path, masks=["mask.png"])
    assert (sample.status, sample.image) == ("ok", image_bytes(1))


def test_masks_of_several_names_are_each_their_own(tmp_path: Path) -> None:
    members = [("a.hair.mask.png", b"1"), ("a.v1.png", image_bytes(1)), ("a.face.mask.png", b"2"), ("a.seg", b"3")]
    ((image, masks),) = with_masks(write_tar(tmp_path / "in.tar", members), "hair.mask.png", "face.mask.png", "seg")
    assert image == "a.v1.png" and [data for _, _, data in masks.values()] == [b"1", b"2", b"3"]


def test_what_is_wrong_with_a_mask_is_no_matter_of_its_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("a.png", b"image"), ("b.png", b"image"), ("b.mask.png", b""), ("c.mask.png", MASK)):
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), tarfile.REGTYPE if data else tarfile.SYMTYPE
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("d.png")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"image"))
        info = tarfile.TarInfo("d.mask.png")
        info.size = 200
        tar.addfile(info, io.BytesIO(b"0" * 200))
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 150)
    samples = list(read_samples(path, masks=["mask.png"]))
    masks = [sample.masks["mask.png"] for sample in samples]
    assert [sample.status for sample in samples] == ["ok"] * 4
    assert [mask.status for mask in masks] == ["incomplete", "incomplete", "incomplete", "too_large"]
    assert masks[0].reason == "no mask mask.png among its members: png"
    assert "link" in masks[1].reason
    assert masks[2].reason == "c.mask.png is its only image, and no mask of another"
    assert not any(mask.image for mask in masks)
