"""Everything that a call can raise, named once.

    EmbeddingsError             `code` for programs, `detail` for people, `retryable`, `status`, `request_id`
    ├── ServiceError            the service answered with a failure
    │   └── AuthenticationError     401: it doesn't know the token
    ├── ConnectionFailed        it could not be reached, or broke off, to the last try
    ├── Timeout                 the call's deadline passed
    ├── SpaceChanged            its vectors can't be compared with those before
    └── UnexpectedAnswer        what answered is not this service

What a caller does wrong before anything is sent (no such file, a list that is no list) raises Python's own exceptions.
All of these can be pickled, as task queues do.
"""

# Statuses and codes that the service calls worth retrying.
RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
RETRYABLE_CODES = frozenset(
    {
        "rate_limited",
        "image_host_failed",
        "overloaded",
        "not_ready",
        "index_unavailable",
        "image_host_timeout",
        "deadline_exceeded",
        "decode_timeout",
    }
)


class EmbeddingsError(Exception):
    """A call that failed. `retryable` says whether the same call may succeed later."""

    code = "failed"
    retryable = False
    status: int | None = None
    retry_after_s: float = 0.0

    def __init__(self, detail: str, *, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.request_id = request_id

    def __str__(self) -> str:
        status = f"{self.status} " if self.status else ""
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{status}{self.code}: {self.detail}{request}"


class ServiceError(EmbeddingsError):
    """The service answered with a failure; `retry_after_s` is how long it asks to be left alone."""

    def __init__(
        self,
        detail: str,
        *,
        status: int = 500,
        code: str = "internal",
        request_id: str | None = None,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(detail, request_id=request_id)
        self.status = status
        self.code = code
        self.retryable = status in RETRYABLE_STATUSES
        self.retry_after_s = retry_after_s


class AuthenticationError(ServiceError):
    """The service doesn't know the token."""


class ConnectionFailed(EmbeddingsError):
    """The service could not be reached, or broke off."""

    code = "connection_failed"
    retryable = True


class Timeout(EmbeddingsError):
    """The call's deadline passed."""

    code = "timeout"
    retryable = True


class SpaceChanged(EmbeddingsError):
    """The service's vectors are of another space now: they can't be compared with those before.

    The vectors that are stored have to be made anew, or the service set back to its former model. A new client takes
    the new space for granted.
    """

    code = "space_changed"

    def __init__(self, detail: str, *, expected: str = "", found: str = "", request_id: str | None = None) -> None:
        super().__init__(detail, request_id=request_id)
        self.expected = expected
        self.found = found


class UnexpectedAnswer(EmbeddingsError):
    """What answered is not this service, or not one that this client knows."""

    code = "unexpected_answer"
