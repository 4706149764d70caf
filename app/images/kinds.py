"""What an image seems to be by how it begins, for names and labels. What it really is, a decoder finds out."""

BEGINNINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
# Of these the first bytes are a size.
BRANDS = {b"WEBP": ".webp", b"avif": ".avif", b"avis": ".avif"}
MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".webp": "image/webp",
    ".avif": "image/avif",
}


def suffix(data: bytes) -> str:
    """How a file of an image is usually named; empty if it seems to be none."""
    for beginning, named in BEGINNINGS.items():
        if data.startswith(beginning):
            return named
    return BRANDS.get(data[8:12], "")
