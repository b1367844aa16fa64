"""Masks that users put beside their images in a tar."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tasks.inputs import archive
from tasks.inputs.archive import read_samples
from tests.tars import image_bytes, mask_bytes, write_tar

MASK = mask_bytes((0, 0, 32, 64))


def with_masks(path: Path, *masks: str) -> list[tuple[str, dict[str, tuple[str, str, bytes]]]]:
    """The image of every sample, and the member, the status and the bytes of each of its masks."""
    return [
        (sample.member, {suffix: (each.member, each.status, each.image) for suffix, each in sample.masks.items()})
        for sample in read_samples(path, masks=masks)
    ]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("image", "mask"), [("a.jpg", "mask.png"), ("a.png", "Mask.PNG"), ("a.v1.png", "mask.png")])
def test_a_mask_is_read_with_the_image_and_never_used_as_the_image(
    tmp_path: Path, order: int, image: str, mask: str
) -> None:
    members = [(image, image_bytes(1)), (f"a.{mask}", MASK), ("a.json", b"{}")][::order]
    path = write_tar(tmp_path / "in.tar", members)
    assert with_masks(path, "mask.png") == [(image, {"mask.png": (f"a.{mask}", "ok", MASK)})]
    assert with_masks(path) == [(image, {})]  # also if no mask is requested
    (sample,) = read_samples(path, masks=["mask.png"])
    assert (sample.status, sample.image) == ("ok", image_bytes(1))


def test_masks_of_several_names_are_separate(tmp_path: Path) -> None:
    members = [("a.hair.mask.png", b"1"), ("a.v1.png", image_bytes(1)), ("a.face.mask.png", b"2"), ("a.seg", b"3")]
    ((image, masks),) = with_masks(write_tar(tmp_path / "in.tar", members), "hair.mask.png", "face.mask.png", "seg")
    assert image == "a.v1.png" and [data for _, _, data in masks.values()] == [b"1", b"2", b"3"]


def test_a_broken_mask_does_not_change_the_status_of_its_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
