"""Which members of a tar make one sample, and which samples may have lost some of theirs.

Members of one key are brought together wherever they lie, unless one of them comes again: that begins another sample of
the same key, a duplicate, with all that is adjacent to it. Two data sets in one tar may have the same keys, and no
image of the first may get a label of the second.
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
"""Of images too, which are not read: they are told from samples that have no image at all."""
NAMES_SHOWN = 8  # of members, in a reason


@dataclass(frozen=True, slots=True)
class Member:
    """Where one file of a sample lies in the tar."""

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
    scattered: bool = False  # other samples lie between its members
    doubt: str = ""  # why it may have lost members; empty if it is whole

    @property
    def kinds(self) -> set[str]:
        """What it has, in whatever format its image is."""
        return {"image" if suffix in IMAGE_SUFFIXES else suffix for suffix in self.members}

    @property
    def last_offset(self) -> int:
        """Where its last member lies."""
        return max(member.offset for member in self.members.values())


def grouped(members: Iterable[Member]) -> tuple[Group, ...]:
    """The samples in the order of first appearance."""
    groups: list[Group] = []
    known: defaultdict[str, list[Group]] = defaultdict(list)
    for key, stretch in groupby(members, key=lambda member: member.key):
        for sample in _told_apart(stretch):
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


def doubt(groups: Sequence[Group], damage: str) -> None:
    """Say which samples of an archive that is not whole may have lost members.

    The one that the archive ends in; and where members are not adjacent, every one that lacks what others have.
    """
    if groups:
        max(groups, key=lambda group: group.last_offset).doubt = damage
    if any(group.scattered for group in groups):
        usual = sorted(set().union(*(group.kinds for group in groups)))
        for group in groups:
            kinds = group.kinds
            if not group.doubt and len(kinds) < len(usual):
                lost = some(kind for kind in usual if kind not in kinds)
                group.doubt = f"{damage}; members of a sample are not adjacent in it, and this one lacks {lost}"


def some(names: Iterable[str]) -> str:
    """The names in one line, unless there are too many."""
    shown = list(islice(names, NAMES_SHOWN + 1))
    return ", ".join(shown[:NAMES_SHOWN]) + (", ..." if len(shown) > NAMES_SHOWN else "")


def _told_apart(stretch: Iterable[Member]) -> list[dict[str, Member]]:
    """Adjacent members of one key as samples, by suffix: what is there for the second time belongs to the second."""
    samples: list[dict[str, Member]] = []
    seen: Counter[str] = Counter()
    for member in stretch:
        if seen[member.suffix] == len(samples):
            samples.append({})
        samples[seen[member.suffix]][member.suffix] = member
        seen[member.suffix] += 1
    return samples
