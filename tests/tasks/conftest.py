"""Jobs of one edit by a method that learns from captions, and a bundle that ships what it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.spec.job import JobSpec
from tests.inverters import shipping_copy, shorten_fits
from tests.tars import members_of, write_shards, write_tar


@pytest.fixture
def edit_job(tmp_path: Path, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobSpec]:
    """A job with one edit by a method, with what else is given of the edit, over a tar; captions.tar is another."""
    shorten_fits(monkeypatch)
    write_shards(tmp_path, 1, 1)
    write_tar(tmp_path / "captions.tar", members_of(7))
    write_tar(tmp_path / "others.tar", members_of(8))

    def job(method: str, captions: str = "", bundle: Path | None = None, **edit: Any) -> JobSpec:
        small = make_job(**({} if bundle is None else {"bundle": str(bundle)}))
        entry = replace(small.edits[0], **{"method": method, "options": {}, **edit})
        given = (str(tmp_path / captions),) if captions else ()
        return replace(small, edits=(entry,), fit_captions=given)

    return job


@pytest.fixture
def shipping(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle, with an artifact of BASE."""
    shorten_fits(monkeypatch)
    return shipping_copy(bundle, tmp_path / "shipping")
