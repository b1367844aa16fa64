"""Functions that change the emulator's answers in a test, and the files that a test uploads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Recorder:
    """Records every request; gives the first requests of a method the given answers, one each."""

    def __init__(self, method: str = "PUT", *answers: Callable[..., Iterable[bytes]]) -> None:
        self.method, self.answers, self.requests = method, list(answers), list[WSGIEnvironment]()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != self.method:
            return app(environ, start)
        self.requests.append(environ)
        return self.answers.pop(0)(environ, start, app) if self.answers else app(environ, start)

    def headers(self, name: str) -> list[str | None]:
        return [environ.get(f"HTTP_{name}") for environ in self.requests]


def error(status: str, code: str, more: str = "") -> Callable[..., Iterable[bytes]]:
    """An error answer in S3's format; the request is not executed."""
    body = f"<Error><Code>{code}</Code><Message>words of the service</Message>{more}</Error>".encode()

    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def cut(share: float, then: Callable[[], object] = lambda: None) -> Callable[..., Iterable[bytes]]:
    """The correct answer, with a body that is cut off."""

    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterator[bytes]:
        body = b"".join(app(environ, start))
        yield body[: int(len(body) * share)]
        then()
        raise ConnectionAbortedError("cut by the test")

    return answer


def swallowed(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    """The request is executed, but the answer comes after the client's timeout."""
    body = list(app(environ, start))
    time.sleep(0.5)
    return body


def dropped(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    """The request is executed, but the connection is closed without an answer."""
    app(environ, lambda *given: start)  # type: ignore[arg-type, return-value]
    raise ConnectionAbortedError("cut by the test")


def file_of(folder: Path, data: bytes) -> Path:
    (folder / "file").write_bytes(data)
    return folder / "file"
