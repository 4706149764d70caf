"""Everything that can go wrong, named once.

    ServiceError            answers one request; `api/errors.py` turns it into HTTP
    ├── InvalidRequest
    │   └── UndecodableBody     400, where the others of this family are 422
    ├── Unauthorized
    ├── NotFound, UnknownModel, ItemNotFound, MethodNotAllowed, TooLarge, UnsupportedMediaType, RateLimited
    ├── SpaceMismatch           vectors that can't be compared
    ├── ImageError              an image that can't be used; retrying is useless
    │   ├── UrlForbidden, ImageNotFound, ImageUnusable
    │   └── NotAnImage, UnsupportedFormat, ImageCorrupt, ImageTooManyPixels
    ├── ImageHostFailed, ImageHostTimeout, DecodeTimeout
    ├── Overloaded, NotReady, IndexUnavailable, DeadlineExceeded, HungUp
    └── Internal
    StartError              stops the start with one line
    ├── SettingsError
    ├── ModelUnavailable
    ├── GalleryUnavailable
    ├── InstanceUnusable
    ├── IndexUnusable           what INDEX_URL names can't be used at all
    ├── CatalogueUnusable       a list, or the folder that a catalogue is kept in
    ├── SearchUnusable          what is to be looked for in an index
    └── ItemsUnavailable, OutputUnavailable

`detail` is written for a person and never holds what an attacker could use: no path, no resolved address, no text of
a library. What an operator needs beyond it goes into the log.
"""

from typing import ClassVar, Self


class ServiceError(Exception):
    """A request that fails: `status` for HTTP, `code` for programs, `detail` for people.

    `field` names what in the request is at fault, where one thing is.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after_s: int | None = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field: str | None = None

    def at(self, field: str) -> Self:
        """The same failure, blamed on one field; the failure itself may be answering other requests too."""
        same = type(self).__new__(type(self), *self.args)
        vars(same).update(vars(self), field=field)
        same.__cause__ = self.__cause__
        return same


class InvalidRequest(ServiceError):
    """The request's body doesn't say what the route needs."""

    status = 422
    code = "invalid_request"


class UndecodableBody(InvalidRequest):
    """The body isn't text at all, or its framing is broken."""

    status = 400


class Unauthorized(ServiceError):
    """No valid token. One text for every reason, so that a caller learns nothing from it."""

    status = 401
    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("A valid bearer token is needed: send 'Authorization: Bearer <token>'.")


class NotFound(ServiceError):
    """No such route."""

    status = 404
    code = "not_found"


class UnknownModel(ServiceError):
    """A caller asks for another model than the one that is served."""

    status = 404
    code = "model_not_found"


class ItemNotFound(ServiceError):
    """The index has no such item; it may have had one."""

    status = 404
    code = "item_not_found"


class SpaceMismatch(ServiceError):
    """Vectors of different embedding spaces, or of different length, aren't to be compared."""

    status = 409
    code = "space_mismatch"


class MethodNotAllowed(ServiceError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


class TooLarge(ServiceError):
    """A body, a text or an image over its limit."""

    status = 413
    code = "too_large"


class UnsupportedMediaType(ServiceError):
    """The request's content type is none that the route takes."""

    status = 415
    code = "unsupported_media_type"


class RateLimited(ServiceError):
    """More requests came with one token than it may make."""

    status = 429
    code = "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("This token has made more requests than it may; see Retry-After.")
        self.retry_after_s = retry_after_s


class ImageError(ServiceError):
    """An image that can't be used, however often it is sent."""

    status = 422


class UrlForbidden(ImageError):
    """The scheme, port, user info, host or address of a URL isn't allowed.

    One text, whatever was found behind; `reason` is for the log alone.
    """

    code = "url_forbidden"

    def __init__(self, reason: str) -> None:
        super().__init__("This URL is not allowed.")
        self.reason = reason


class ImageNotFound(ImageError):
    """The image's host says that there is no such image for us (4xx)."""

    code = "image_not_found"


class ImageUnusable(ImageError):
    """The image's host answered in a form that isn't followed: too many redirects, a content encoding."""

    code = "image_unusable"


class NotAnImage(ImageError):
    """The bytes are something else."""

    code = "not_an_image"


class UnsupportedFormat(ImageError):
    """An image in a format that isn't read."""

    code = "unsupported_format"


class ImageCorrupt(ImageError):
    """An image that is damaged, truncated, or made to harm its decoder."""

    code = "image_corrupt"


class ImageTooManyPixels(ImageError):
    """An image with more pixels than the limit, or a longer side than any picture."""

    code = "image_too_many_pixels"


class ImageHostFailed(ServiceError):
    """The image's host has no name, refuses, or fails."""

    status = 502
    code = "image_host_failed"


class ImageHostTimeout(ServiceError):
    """The image's host was too slow."""

    status = 504
    code = "image_host_timeout"


class DecodeTimeout(ServiceError):
    """Decoding an image took too long and was stopped. On a machine less busy it may not."""

    status = 504
    code = "decode_timeout"


class Overloaded(ServiceError):
    """More waits already than the queue takes."""

    status = 503
    code = "overloaded"

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotReady(ServiceError):
    """The model isn't loaded, has broken, or the service is stopping."""

    status = 503
    code = "not_ready"
    retry_after_s = 5


class IndexUnavailable(ServiceError):
    """What `INDEX_URL` names doesn't answer, or not now."""

    status = 503
    code = "index_unavailable"
    retry_after_s = 5


class DeadlineExceeded(ServiceError):
    """Our own deadline for a request passed."""

    status = 504
    code = "deadline_exceeded"


class HungUp(ServiceError):
    """The caller has gone before its answer: nobody but the log gets to see this."""

    status = 499
    code = "hung_up"


class Internal(ServiceError):
    """A defect of ours; the log has the reason under the request's id."""

    status = 500
    code = "internal"

    def __init__(self) -> None:
        super().__init__("Something went wrong on our side; the log knows it by this request's id.")


class StartError(Exception):
    """The service can't start or a command can't run; the message is one line that says what to do."""


class SettingsError(StartError):
    """An environment variable has a wrong value."""


class ModelUnavailable(StartError):
    """The model, its engine, device or precision can't be had."""


class GalleryUnavailable(StartError):
    """The demonstration's gallery can't be written where it is to hang."""


class InstanceUnusable(StartError):
    """A live instance can't be called: it isn't there, isn't ready, is something else, or doesn't know the token."""


class IndexUnusable(StartError):
    """What `INDEX_URL` names can't be used: a package is missing, or it is of another embedding space."""


class CatalogueUnusable(StartError):
    """A list can't be read, or the folder of its catalogue can't be used."""


class SearchUnusable(StartError):
    """It isn't said what to look for, or it has no vector; or a filter is none, or none of the index's."""


class ItemsUnavailable(StartError):
    """There is nothing to embed, or the list of it can't be read."""


class OutputUnavailable(StartError):
    """Vectors can't be written where they are to go."""
