"""What every answer of the page has to forbid browsers."""

from typing import Any


def check(answer: Any) -> None:
    """See whether an answer keeps itself to itself."""
    policy = directives(answer)
    assert policy["default-src"] == ["'none'"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == ["'self'"]
    assert policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["img-src"] == ["'self'", "data:"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def directives(answer: Any) -> dict[str, list[str]]:
    """A content security policy, by what it is about."""
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    return {name: values for name, *values in parts}
