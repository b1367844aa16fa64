"""A failed request to S3 as an exception that says what was tried, what the answer was, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from manifests.stores.store import ObjectChanged, StoreRefused, StoreUnavailable

_NO_CREDENTIALS = (
    "boto3 found no usable credentials; it looked at AWS_ACCESS_KEY_ID and AWS_PROFILE, ~/.aws, web identity, "
    "container and instance roles: set up one of them on this machine (`aws sts get-caller-identity` shows the result)"
)
_BAD_CREDENTIALS = "the service does not accept the credentials; renew them, and check that they are of this service"
_ACCESS = (
    "access is denied; the credentials need s3:GetObject, s3:PutObject and s3:DeleteObject on this prefix, "
    "s3:ListBucket on the bucket (without it S3 also denies access to missing objects), and the use of its KMS key"
)
_REGION = "the bucket is in another region or at another endpoint; set the options region and endpoint"
_NO_CONDITIONS = "the service does not implement this request; use one that does, as AWS S3, SeaweedFS and RustFS"
_MISSING = "there is no such object"
WRONG_ADDRESS = "the server does not know this address; correct the endpoint, the bucket or the proxy in between"
_CHANGED = "it was written again meanwhile; start again with the new version"

ADVICE: Mapping[str, str] = {  # by code
    "NoSuchBucket": "there is no such bucket; create it, or correct the address, the endpoint and the region",
    "AccessDenied": _ACCESS,
    "403": _ACCESS,
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "CredentialRetrievalError": _NO_CREDENTIALS,
    "TokenRetrievalError": _NO_CREDENTIALS,
    "SSOTokenLoadError": _NO_CREDENTIALS,
    "UnauthorizedSSOTokenError": _NO_CREDENTIALS,
    "ProfileNotFound": _NO_CREDENTIALS,
    "400": _BAD_CREDENTIALS,
    "InvalidAccessKeyId": _BAD_CREDENTIALS,
    "SignatureDoesNotMatch": _BAD_CREDENTIALS,
    "ExpiredToken": _BAD_CREDENTIALS,
    "InvalidToken": _BAD_CREDENTIALS,
    "301": _REGION,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
    "NotImplemented": _NO_CONDITIONS,
    "501": _NO_CONDITIONS,
    "NoSuchKey": _MISSING,
    "404": _MISSING,
    "NoSuchUpload": _MISSING,
    "InvalidRange": "the object ends before",
    "416": "the object ends before",
    "PreconditionFailed": _CHANGED,
    "412": _CHANGED,
    "FlexibleChecksumError": "the bytes do not match their checksum; start again",
}
KINDS: Mapping[str, type[Exception]] = {  # by code; for others the status decides
    "NoSuchKey": FileNotFoundError,
    "404": FileNotFoundError,
    "NoSuchUpload": FileNotFoundError,
    "InvalidRange": EOFError,
    "416": EOFError,
    "PreconditionFailed": ObjectChanged,
    "412": ObjectChanged,
    "FlexibleChecksumError": ObjectChanged,
    "NotImplemented": StoreRefused,
    "501": StoreRefused,
}
NOT_EXECUTED = frozenset(  # after these codes a write was certainly not executed, and may be sent again
    {
        "409",
        "ConditionalRequestConflict",
        "OperationAborted",
        "SlowDown",
        "TooManyRequests",
        "RequestTimeout",
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ProxyConnectionError",
    }
)


@dataclass(frozen=True)
class FailedRequest:
    """One failed request."""

    code: str  # S3's error code, the status if the answer had no body, or the exception's name without an answer
    status: int  # of HTTP; 0 without an answer
    message: str  # of the service or the network; empty if it may contain a secret
    network: bool  # there was no answer, or an incomplete one

    @property
    def not_executed(self) -> bool:
        """Whether the request was certainly not executed, and may succeed if it is sent again."""
        return self.code in NOT_EXECUTED

    def to_exception(self, what: str) -> Exception:
        """The exception for it. Its type distinguishes a missing, ended or changed object; the caller handles these."""
        kind = StoreUnavailable if self.network or self.status >= 500 or self.not_executed else StoreRefused
        advice = ADVICE.get(self.code) or ("try again later" if kind is StoreUnavailable else "the service refuses it")
        message = f"{self.code}: {self.message}" if self.message and advice != _BAD_CREDENTIALS else self.code
        return KINDS.get(self.code, kind)(f"cannot {what}: {advice} ({message})")
