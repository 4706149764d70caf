"""Files out of multipart/form-data: counted while they stream in, kept in memory, never on disk."""

from collections.abc import Collection

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.bodies import not_too_many
from app.errors import InvalidRequest, TooLarge

MALFORMED = "The body is not valid multipart/form-data."
# A part's headers are its name, its file's name and its content type.
MAX_HEADERS = 8
MAX_HEADER_BYTES = 4096
# The longest text beside a file is a search's filter.
MAX_TEXT_BYTES = 256 * 1024


async def read_file(request: Request, field: str, max_bytes: int) -> bytes:
    """The bytes of the one file of a form; the form has nothing else. The body stays unread after the first fault.

    Raises:
        InvalidRequest: the form is malformed, has other fields or several files, or hasn't this one.
        TooLarge: the file has more than `max_bytes`.
    """
    (file,) = await _read(request, _OneFile(field, max_bytes))
    assert isinstance(file, bytes)  # one over the limit has ended the reading
    return file


async def read_file_and_texts(
    request: Request, field: str, max_bytes: int, texts: Collection[str]
) -> tuple[bytes, dict[str, str]]:
    """The bytes of the one file of a form, and those of these texts that come beside it; the form has nothing else.

    Raises:
        InvalidRequest: the form is malformed, has other fields, one more than once, or hasn't this file.
        TooLarge: the file has more than `max_bytes`, or a text more than any needs.
    """
    form = _OneFileAndTexts(field, max_bytes, texts)
    (file,) = await _read(request, form)
    assert isinstance(file, bytes)  # one over the limit has ended the reading
    return file, {name: text.decode(errors="replace") for name, text in form.texts.items()}


async def read_files(request: Request, field: str, max_bytes: int, most: int) -> list[bytes | TooLarge]:
    """The bytes of each file of a form, or that it has more than `max_bytes`; the form has nothing else.

    Raises:
        InvalidRequest: the form is malformed, has other fields, or hasn't this one.
        TooLarge: there are more than `most` files.
    """
    return await _read(request, _Files(field, max_bytes, most))


async def _read(request: Request, form: "_Files") -> list[bytes | TooLarge]:
    _, parameters = parse_options_header(request.headers["content-type"])
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise InvalidRequest("The content type names no boundary: 'multipart/form-data; boundary=...' is needed.")
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_end": form.on_end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        async for chunk in request.stream():
            parser.write(chunk)
    except FormParserError:
        raise InvalidRequest(MALFORMED) from None
    return form.complete()


class _Files:
    """What the parser finds, part by part."""

    def __init__(self, field: str, max_bytes: int, most: int) -> None:
        self._field = field
        self._max_bytes = max_bytes
        self._most = most
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._files: list[bytearray | TooLarge] = []
        self._complete = False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        self._disposition = b""
        self.begin(parameters.get(b"name", b"").decode(errors="replace"), is_file=b"filename" in parameters)

    def begin(self, name: str, *, is_file: bool) -> None:
        """A part of this name begins."""
        if name != self._field:
            raise InvalidRequest(f"'{name}' is not a field of this route.")
        if not is_file:
            raise InvalidRequest(f"'{name}' must be a file, with a file's name: curl -F {name}=@painting.jpg.")
        self._files.append(bytearray())
        self.check_count(len(self._files))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        file = self._files[-1]  # a part's headers come first
        if isinstance(file, TooLarge):
            return
        if len(file) + end - start > self._max_bytes:
            self._files[-1] = self.too_large(TooLarge(f"'{self._field}' has more than {self._max_bytes} bytes."))
        else:
            file += data[start:end]

    def on_end(self) -> None:
        self._complete = True

    def check_count(self, files: int) -> None:
        not_too_many(files, self._most)

    def too_large(self, error: TooLarge) -> TooLarge:
        """One file over the limit leaves the others as they are."""
        return error

    def complete(self) -> list[bytes | TooLarge]:
        """The files, once the whole body was read."""
        if not self._complete:
            raise InvalidRequest(MALFORMED)
        if not self._files:
            raise InvalidRequest(f"'{self._field}' is missing.")
        return [file if isinstance(file, TooLarge) else bytes(file) for file in self._files]


class _OneFile(_Files):
    """A form of one file, of which nothing more is read once that is wrong."""

    def __init__(self, field: str, max_bytes: int) -> None:
        super().__init__(field, max_bytes, most=1)

    def check_count(self, files: int) -> None:
        if files > 1:
            raise InvalidRequest(f"'{self._field}' came more than once; send one file.")

    def too_large(self, error: TooLarge) -> TooLarge:
        raise error


class _OneFileAndTexts(_OneFile):
    """A form of one file and a few texts."""

    def __init__(self, field: str, max_bytes: int, texts: Collection[str]) -> None:
        super().__init__(field, max_bytes)
        self._names = texts
        self._text: str | None = None
        self.texts: dict[str, bytearray] = {}

    def begin(self, name: str, *, is_file: bool) -> None:
        self._text = name if name in self._names else None
        if self._text is None:
            super().begin(name, is_file=is_file)
        elif name in self.texts:
            raise InvalidRequest(f"'{name}' came more than once.")
        else:
            self.texts[name] = bytearray()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            super().on_part_data(data, start, end)
            return
        text = self.texts[self._text]
        text += data[start:end]
        if len(text) > MAX_TEXT_BYTES:
            raise TooLarge(f"'{self._text}' has more than {MAX_TEXT_BYTES} bytes.")
