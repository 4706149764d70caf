"""The family of failures is closed: what isn't here is a change of the contract."""

import inspect
from typing import Any

import pytest
from app import errors

CODES = {
    "InvalidRequest": (422, "invalid_request"),
    "UndecodableBody": (400, "invalid_request"),
    "Unauthorized": (401, "unauthorized"),
    "NotFound": (404, "not_found"),
    "UnknownModel": (404, "model_not_found"),
    "ItemNotFound": (404, "item_not_found"),
    "SpaceMismatch": (409, "space_mismatch"),
    "MethodNotAllowed": (405, "method_not_allowed"),
    "TooLarge": (413, "too_large"),
    "UnsupportedMediaType": (415, "unsupported_media_type"),
    "RateLimited": (429, "rate_limited"),
    "UrlForbidden": (422, "url_forbidden"),
    "ImageNotFound": (422, "image_not_found"),
    "ImageUnusable": (422, "image_unusable"),
    "NotAnImage": (422, "not_an_image"),
    "UnsupportedFormat": (422, "unsupported_format"),
    "ImageCorrupt": (422, "image_corrupt"),
    "ImageTooManyPixels": (422, "image_too_many_pixels"),
    "ImageHostFailed": (502, "image_host_failed"),
    "ImageHostTimeout": (504, "image_host_timeout"),
    "DecodeTimeout": (504, "decode_timeout"),
    "Overloaded": (503, "overloaded"),
    "NotReady": (503, "not_ready"),
    "IndexUnavailable": (503, "index_unavailable"),
    "DeadlineExceeded": (504, "deadline_exceeded"),
    "HungUp": (499, "hung_up"),
    "Internal": (500, "internal"),
}
FAMILIES = {
    "ServiceError",
    "ImageError",
    "StartError",
    "SettingsError",
    "ModelUnavailable",
    "GalleryUnavailable",
    "InstanceUnusable",
    "IndexUnusable",
    "CatalogueUnusable",
    "SearchUnusable",
    "ItemsUnavailable",
    "OutputUnavailable",
}


def test_every_failure_has_its_status_and_code() -> None:
    found = {name: (kind.status, kind.code) for name, kind in _classes().items() if name not in FAMILIES}

    assert found == CODES


def test_every_failure_stands_in_the_picture_of_the_family() -> None:
    assert all(name in (errors.__doc__ or "") for name in _classes())


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.NotReady, errors.IndexUnavailable])
def test_a_passing_failure_says_when_to_try_again(kind: type[errors.ServiceError]) -> None:
    assert kind("detail").retry_after_s


@pytest.mark.parametrize("failure", [errors.Internal(), errors.UrlForbidden("a reason"), errors.Overloaded("full", 7)])
def test_a_failure_that_is_blamed_on_a_field_is_another_but_for_that_the_same(failure: errors.ServiceError) -> None:
    blamed = failure.at("input[3]")

    assert failure.field is None
    assert type(blamed) is type(failure)
    assert vars(blamed) == vars(failure) | {"field": "input[3]"}


def _classes() -> dict[str, Any]:
    return {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
