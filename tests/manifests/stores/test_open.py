"""Which addresses open which store, and which are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from manifests.stores.local import LocalStore
from manifests.stores.open import open_store


@pytest.mark.parametrize("uri", ["pipe:cat /etc/passwd", "http://x/y", "s3://", "file://host/x", "file://", ""])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"cannot open|is empty"):
        open_store(uri)


def test_paths_and_file_urls_open_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = LocalStore(tmp_path / "my out")
    assert open_store("my out") == open_store(tmp_path / "my out") == expected
    assert open_store((tmp_path / "my out").as_uri()) == expected
    assert pickle.loads(pickle.dumps(expected)) == expected
