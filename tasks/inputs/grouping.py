"""Which members of a tar form one sample, and which samples may have lost some of their members.

Members of one key form one sample wherever they are in the tar, until a suffix occurs again: this member begins another
sample of the same key, a duplicate, to which its adjacent members belong. Two data sets in one tar may have the same
keys, and no image of the first may get a label of the second.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

IMAGE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm")
UNREAD_SUFFIXES = frozenset(
    (
        *("apng", "avif", "dds", "dib", "eps", "exr", "hdr", "heic", "heif", "hif", "icns", "ico", "j2k", "jfif"),
        *("jp2", "jpe", "jpx", "jxl", "pbm", "pcx", "pfm", "pgm", "pnm", "psd", "qoi", "svg", "tga"),
        *("arw", "cr2", "cr3", "dng", "nef", "orf", "raf", "rw2"),
    )
)
"""Suffixes of image formats that are not read; such samples get another reason than samples without an image."""
NAMES_SHOWN = 8  # of members, in a reason


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a sample, and its position in the tar."""

    name: str
    key: str
    suffix: str  # in lower case
    offset: int
    size: int
    regular: bool  # a plain file; links and devices are not followed, sparse files not put together


@dataclass(slots=True)
class Group:
    """The members of one sample, by their suffix."""

    key: str
    duplicate: bool = False  # another sample of the shard had this key, and a member of one of these suffixes, first
    members: dict[str, Member] = field(default_factory=dict)
    scattered: bool = False  # other samples are between its members
    loss: str = ""  # why it may have lost members; empty if it is complete

    @property
    def kinds(self) -> set[str]:
        """Its suffixes, with "image" for every image format."""
        return {"image" if suffix in IMAGE_SUFFIXES else suffix for suffix in self.members}

    @property
    def last_offset(self) -> int:
        """Offset of its last member, bytes."""
        return max(member.offset for member in self.members.values())


def group_members(members: Iterable[Member]) -> tuple[Group, ...]:
    """The samples in the order of first appearance."""
    groups: list[Group] = []
    known: defaultdict[str, list[Group]] = defaultdict(list)
    for key, adjacent in groupby(members, key=lambda member: member.key):
        for sample in _split_duplicates(adjacent):
            ours = known[key]
            candidates = (*ours[:1], *ours[-1:])
            group = next((each for each in candidates if each.members.keys().isdisjoint(sample)), None)
            if group is None:
                group = Group(key, duplicate=bool(ours))
                ours.append(group)
                groups.append(group)
            group.scattered = bool(group.members)
            group.members |= sample
    return tuple(groups)


def mark_losses(groups: Sequence[Group], damage: str) -> None:
    """Set `loss` for the samples of a damaged archive that may have lost members.

    These are the sample in which the archive ends and, if members are not adjacent, every sample that lacks a member
    that others have.
    """
    if groups:
        max(groups, key=lambda group: group.last_offset).loss = damage
    if any(group.scattered for group in groups):
        usual = sorted(set().union(*(group.kinds for group in groups)))
        for group in groups:
            kinds = group.kinds
            if not group.loss and len(kinds) < len(usual):
                lost = joined_names(kind for kind in usual if kind not in kinds)
                group.loss = f"{damage}; members of a sample are not adjacent in it, and this one lacks {lost}"


def joined_names(names: Iterable[str]) -> str:
    """The first NAMES_SHOWN names in one line, with ", ..." if there are more."""
    shown = list(islice(names, NAMES_SHOWN + 1))
    return ", ".join(shown[:NAMES_SHOWN]) + (", ..." if len(shown) > NAMES_SHOWN else "")


def _split_duplicates(adjacent: Iterable[Member]) -> list[dict[str, Member]]:
    """Adjacent members of one key as samples, by suffix: the second member of a suffix belongs to the second sample."""
    samples: list[dict[str, Member]] = []
    seen: Counter[str] = Counter()
    for member in adjacent:
        if seen[member.suffix] == len(samples):
            samples.append({})
        samples[seen[member.suffix]][member.suffix] = member
        seen[member.suffix] += 1
    return samples
