"""The type of an exception says who must act; its text says what to do."""

from __future__ import annotations

import pytest

from manifests.stores.s3_errors import ADVICE, KINDS, NOT_EXECUTED, FailedRequest
from manifests.stores.store import ObjectChanged, StoreRefused, StoreUnavailable


@pytest.mark.parametrize(
    ("failed", "kind", "text"),
    [
        (
            FailedRequest("NoSuchKey", 404, "gone", False),
            FileNotFoundError,
            r"cannot x: there is no such object \(NoSuchKey: gone",
        ),
        (FailedRequest("NoSuchBucket", 404, "", False), StoreRefused, r"create it, or correct .* \(NoSuchBucket\)"),
        (FailedRequest("412", 412, "", False), ObjectChanged, "written again"),
        (
            FailedRequest("InternalError", 500, "sorry", False),
            StoreUnavailable,
            r"try again later \(InternalError: sorry",
        ),
        (FailedRequest("SlowDown", 503, "", False), StoreUnavailable, "try again later"),
        (FailedRequest("NotImplemented", 501, "", False), StoreRefused, "does not implement"),
        (FailedRequest("ReadTimeoutError", 0, "", True), StoreUnavailable, "try again later"),
        (FailedRequest("ParamValidationError", 0, "", False), StoreRefused, "the service refuses it"),
        (FailedRequest("EntityTooLarge", 400, "5 GB", False), StoreRefused, r"\(EntityTooLarge: 5 GB\)"),
    ],
)
def test_failed_requests_become_exceptions(failed: FailedRequest, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        raise failed.to_exception("x")
    assert type(caught.value) is kind


def test_the_message_of_a_service_about_credentials_is_not_shown() -> None:
    assert "AKIA" not in str(FailedRequest("InvalidAccessKeyId", 403, "no key AKIA1234", False).to_exception("x"))


def test_only_requests_that_were_not_executed_may_be_repeated() -> None:
    assert not NOT_EXECUTED.intersection(KINDS)
    assert not {"InternalError", "ServiceUnavailable", "ReadTimeoutError", "ConnectionClosedError"} & NOT_EXECUTED
    assert set(KINDS) <= set(ADVICE)
