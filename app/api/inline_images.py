"""Images that come as text: base64, `data:` URIs, or the URL where they are."""

import binascii

from app.errors import InvalidRequest, TooLarge

WHITE_SPACE = " \t\n\r\f\v"
STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")


def image_or_url(text: str, max_bytes: int) -> bytes | str:
    """What a text says of an image: its bytes in base64 or in a `data:` URI, or else the URL to fetch them from.

    Raises:
        InvalidRequest: it is none of these, or empty.
        TooLarge: the image has more than `max_bytes`; nothing was decoded.
    """
    stripped = text.strip(WHITE_SPACE)
    if stripped[:5].lower() == "data:":
        return not_empty(_from_base64(_of_data_uri(stripped), max_bytes))
    # No base64 has a colon. Which URLs are allowed is the fetcher's to say.
    return text if "://" in stripped else not_empty(_from_base64(stripped, max_bytes))


def not_empty(data: bytes) -> bytes:
    """An image's bytes.

    Raises:
        InvalidRequest: there are none.
    """
    if not data:
        raise InvalidRequest("The image is empty.")
    return data


def _of_data_uri(uri: str) -> str:
    """What a `data:` URI holds. Its media type isn't believed: the bytes decide."""
    header, comma, content = uri.partition(",")
    if not comma or header.rpartition(";")[2].strip(WHITE_SPACE).lower() != "base64":
        raise InvalidRequest("A 'data:' URI must hold base64: 'data:image/png;base64,...'.")
    return content


def _from_base64(text: str, max_bytes: int) -> bytes:
    """Either alphabet, padded or not, with white space anywhere in it."""
    try:
        encoded = text.encode("ascii").translate(STANDARD_ALPHABET, WHITE_SPACE.encode())
        bare = encoded.rstrip(b"=")
        if len(bare) * 3 // 4 > max_bytes:
            raise TooLarge(f"The image has more than {max_bytes} bytes.")
        padding = -len(bare) % 4
        if len(encoded) - len(bare) not in (0, padding):
            raise ValueError
        return binascii.a2b_base64(bare + b"=" * padding, strict_mode=True)
    except ValueError:  # what isn't ASCII, and binascii's own, are of this kind
        raise InvalidRequest("The image is neither base64 nor a 'data:' URI nor an http(s) URL.") from None
