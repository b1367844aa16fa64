"""Pages contain nothing but the intended content."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.report.gather import gather, page_of
from pipelines.report.page import count, data_uri, duration, save
from pipelines.report.run_record import RunRecord
from tasks.images.thumbnails import Tile
from tests.pipelines.report.publishedrows import HOSTILE


class Elements(HTMLParser):
    """Every start tag of a page with its attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
            self._inside = ""


@pytest.fixture(scope="module")
def page(published) -> str:  # type: ignore[no-untyped-def]
    return page_of(gather(published.store, published.plan))


def test_hostile_text_stays_text(page: str) -> None:
    elements = Elements(page)
    assert len(elements.scripts) == 1 and "owned" not in elements.scripts[0]
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert all(attributes["src"].startswith("data:image/") for tag, attributes in elements.found if tag == "img")
    assert HOSTILE not in page and "&lt;/script&gt;" in page


def test_what_was_taken_out_of_the_run_is_listed(published) -> None:  # type: ignore[no-untyped-def]
    record = RunRecord(excluded=("GPU 3 of host <a> is taken out of the run: 3 workers were lost on it in a row",))
    page = page_of(gather(published.store, published.plan, record))
    assert "<li>GPU 3 of host &lt;a&gt; is taken out of the run: 3 workers were lost on it in a row</li>" in page


def test_nothing_comes_from_elsewhere(page: str) -> None:
    for _, attributes in Elements(page).found:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            assert re.match(r"data:|#|$", attributes.get(name) or "")
    assert "@import" not in page and "url(" not in page


def test_the_page_allows_its_own_script_alone(page: str) -> None:
    elements = Elements(page)
    (policy,) = [
        attributes["content"]
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(elements.scripts[0].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;") and f"script-src 'sha256-{digest}'" in policy


def test_numbers_are_said_as_people_say_them() -> None:
    assert [count(number) for number in (7, 1234567)] == ["7", "1\u2009234\u2009567"]
    assert [duration(seconds) for seconds in (0.25, 42.4, 600, 36000)] == ["0.2 s", "42 s", "10 min", "10.0 h"]
    assert data_uri(Tile(b"abc", "webp", 1, 1)) == "data:image/webp;base64,YWJj"


def test_a_page_is_saved_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.html"
    assert save(path, "one") == path and save(path, "two").read_text() == "two"
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]
