"""The text members of the samples of a source tar (<key>.txt, <key>.cls), read again from the tar that was edited.

Text is UTF-8 without NUL bytes: captions, class numbers, tables. Other members are not copied: arrays and segmentations
describe positions in the source image, and pickles may contain code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.inputs.archive import IMAGE_SUFFIXES, Group, Member, read_archive
from tasks.inputs.local_copy import local_copy
from tasks.spec.requests import Shard

LABELS_SUFFIX = "json"
"""Left out here: its content is in the manifest, with the edit's changes."""
MAX_BYTES = 16 * 2**20


class TextMembers:
    """The text members of one local tar, by sample key. Only the headers are kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members = {group.key: _candidates(group) for group in read_archive(path).groups if not group.duplicate}

    def of(self, key: str) -> dict[str, bytes]:
        """Suffix -> content. KeyError for a key that the tar does not have."""
        members = self._members[key]
        found: dict[str, bytes] = {}
        if members:
            with self.path.open("rb") as file:
                for suffix, member in members.items():
                    file.seek(member.offset)
                    found[suffix] = file.read(member.size)
        return {suffix: data for suffix, data in found.items() if _is_text(data)}


@contextmanager
def open_text_members(shard: Shard) -> Iterator[TextMembers]:
    """The text members of a source tar. ShardChangedError if its bytes differ from those that were edited."""
    with local_copy(shard) as path:
        yield TextMembers(path)


def _candidates(group: Group) -> Mapping[str, Member]:
    """The members of a sample that may be text: neither image nor labels."""
    return {
        suffix: member
        for suffix, member in group.members.items()
        if suffix != LABELS_SUFFIX
        and suffix.rpartition(".")[2] not in IMAGE_SUFFIXES
        and member.regular
        and member.size <= MAX_BYTES
    }


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False
