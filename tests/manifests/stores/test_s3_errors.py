"""The type of an exception says who must act, its text what to do."""

from __future__ import annotations

import pytest

from manifests.stores.s3_errors import ADVICE, KINDS, NOT_DONE, Fault
from manifests.stores.store import ObjectChanged, StoreRefused, StoreUnavailable


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (
            Fault("NoSuchKey", 404, "gone", False),
            FileNotFoundError,
            r"cannot x: there is no such object \(NoSuchKey: gone",
        ),
        (Fault("NoSuchBucket", 404, "", False), StoreRefused, r"create it, or correct .* \(NoSuchBucket\)"),
        (Fault("412", 412, "", False), ObjectChanged, "written again"),
        (Fault("InternalError", 500, "sorry", False), StoreUnavailable, r"try again later \(InternalError: sorry"),
        (Fault("SlowDown", 503, "", False), StoreUnavailable, "try again later"),
        (Fault("NotImplemented", 501, "", False), StoreRefused, "does not implement"),
        (Fault("ReadTimeoutError", 0, "", True), StoreUnavailable, "try again later"),
        (Fault("ParamValidationError", 0, "", False), StoreRefused, "refused as it is"),
        (Fault("EntityTooLarge", 400, "5 GB", False), StoreRefused, r"\(EntityTooLarge: 5 GB\)"),
    ],
)
def test_faults_become_exceptions(fault: Fault, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        raise fault.explained("x")
    assert type(caught.value) is kind


def test_the_words_of_a_service_about_credentials_are_kept_back() -> None:
    assert "AKIA" not in str(Fault("InvalidAccessKeyId", 403, "no key AKIA1234", False).explained("x"))


def test_only_what_was_never_done_may_be_done_again() -> None:
    assert not NOT_DONE.intersection(KINDS)
    assert not {"InternalError", "ServiceUnavailable", "ReadTimeoutError", "ConnectionClosedError"} & NOT_DONE
    assert set(KINDS) <= set(ADVICE)
