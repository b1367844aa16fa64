from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tasks.inputs.archive import read_samples
from tasks.inputs.grouping import IMAGE_SUFFIXES, UNREAD_SUFFIXES, Group, Member, group_members, mark_losses
from tests.tars import members_of, write_tar


def members(*names: str) -> list[Member]:
    """Members of these names, one after the other."""
    return [Member(name, *name.split(".", 1), 512 * number, 1, True) for number, name in enumerate(names)]


def samples(*names: str) -> list[tuple[str, dict[str, int]]]:
    """Per sample whether it is a duplicate, and its members with their position in the tar."""
    return [
        (
            "again" if group.duplicate else "first",
            {suffix: each.offset // 512 for suffix, each in group.members.items()},
        )
        for group in group_members(members(*names))
    ]


def losses(*names: str) -> dict[str, str]:
    """Key -> the loss text of each sample that may be incomplete after a cut behind these members."""
    groups = group_members(members(*names))
    mark_losses(groups, "cut")
    return {group.key: group.loss for group in groups if group.loss}


def test_members_of_a_key_are_one_sample_at_any_position() -> None:
    assert samples("a.png", "b.png", "a.json", "b.json") == [
        ("first", {"png": 0, "json": 2}),
        ("first", {"png": 1, "json": 3}),
    ]


@pytest.mark.parametrize("order", [("a.png", "a.png", "a.json"), ("a.png", "a.json", "a.png"), ("a.json", "a.png") * 2])
def test_adjacent_members_belong_to_their_sample_and_not_to_its_duplicate(order: tuple[str, ...]) -> None:
    first, again = samples(*order)
    places = {suffix: order.index(f"a.{suffix}") for suffix in ("png", "json")}
    assert first == ("first", places) and again[0] == "again" and "png" in again[1]


@pytest.mark.parametrize("second", [("a.png", "a.json"), ("a.json", "a.png")])
def test_a_later_sample_of_the_same_key_gives_no_label_to_the_first(second: tuple[str, ...]) -> None:
    first, _, again = samples("a.png", "b.png", *second)
    assert first == ("first", {"png": 0})
    assert again[0] == "again" and again[1].keys() == {"png", "json"}


def test_labels_after_all_images_find_every_sample_of_a_key() -> None:
    assert samples("a.png", "a.png", "b.png", "a.json", "a.json") == [
        ("first", {"png": 0, "json": 3}),
        ("again", {"png": 1, "json": 4}),
        ("first", {"png": 2}),
    ]


def test_every_member_is_in_one_sample_and_every_key_is_first_once() -> None:
    rng = random.Random(0)
    for _ in range(200):
        names = [f"{rng.choice('abc')}.{rng.choice(('png', 'json', 'txt'))}" for _ in range(rng.randint(0, 12))]
        groups = group_members(members(*names))
        assert sorted(each.offset for group in groups for each in group.members.values()) == [
            512 * number for number in range(len(names))
        ]
        assert sorted(group.key for group in groups if not group.duplicate) == sorted({name[0] for name in names})
        assert all(each.name == f"{group.key}.{suffix}" for group in groups for suffix, each in group.members.items())


def test_the_sample_in_which_the_archive_ends_is_incomplete() -> None:
    assert losses("a.png", "a.txt", "b.png") == {"b": "cut"}
    assert losses("a.png", "b.png", "b.txt", "a.txt") == {"a": "cut"}
    assert losses() == {}


def test_if_members_are_not_adjacent_samples_with_fewer_members_are_incomplete() -> None:
    found = losses("a.png", "b.jpg", "c.png", "a.json", "b.json", "a.txt")
    assert found.keys() == {"a", "b", "c"}
    assert found["b"].endswith("lacks txt") and found["c"].endswith("lacks json, txt")
    assert losses("a.png", "b.png", "b.txt", "c.png") == {"c": "cut"}  # adjacent: a and b are whole


def test_a_whole_archive_has_no_losses() -> None:
    assert not any(group.loss for group in group_members(members("a.png", "b.png", "a.txt")))


def test_a_hundred_thousand_members_of_one_key_are_grouped_quickly() -> None:
    started = time.process_time()
    adjacent = group_members(members(*(["a.png"] * 50_000)))
    apart = group_members(members(*(["a.png", "b.png"] * 25_000)))
    own = group_members(members("a.png", "b.png", "a.txt", *(f"{number}.x{number}" for number in range(50_000))))
    mark_losses(own, "cut")
    assert [len(found) for found in (adjacent, apart, own)] == [50_000, 50_000, 50_002]
    assert time.process_time() - started < 10


def test_a_group_keeps_its_members_in_their_order() -> None:
    (group,) = group_members(members("a.txt", "a.png"))
    assert isinstance(group, Group) and list(group.members) == ["txt", "png"]


@pytest.mark.parametrize("suffix", [*sorted(UNREAD_SUFFIXES), "v1.HEIC"])
def test_an_image_in_an_unread_format_is_not_reported_as_missing(tmp_path: Path, suffix: str) -> None:
    unread = (f"a.{suffix}", b"x")
    (alone,) = read_samples(write_tar(tmp_path / "alone.tar", [unread, ("a.json", b"{}")]))
    assert (alone.status, alone.member) == ("undecodable", unread[0])
    assert f"{unread[0]} is an image with a suffix that is not read; read are png, jpg, " in alone.reason
    (beside,) = read_samples(write_tar(tmp_path / "beside.tar", [unread, *members_of(1, "a")]))
    assert (beside.status, beside.member) == ("ok", "a.png")


def test_no_suffix_is_both_read_and_unread() -> None:
    assert UNREAD_SUFFIXES.isdisjoint(IMAGE_SUFFIXES)
