"""As much of curl as the examples use, for machines that haven't got it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx


def curl(words: Sequence[str]) -> str:
    """The answer's body to the request that some arguments describe."""
    parser = argparse.ArgumentParser("curl")
    parser.add_argument("url")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-F", dest="fields", action="append", default=[])
    body = parser.add_mutually_exclusive_group()
    body.add_argument("-d", dest="data")
    body.add_argument("--data-binary", dest="file")
    given = parser.parse_args(words)

    headers = dict(header.split(": ", 1) for header in given.headers)
    named = [field.split("=", 1) for field in given.fields]
    files = [(name, (value[1:], Path(value[1:]).read_bytes())) for name, value in named if value.startswith("@")]
    texts = {name: value for name, value in named if not value.startswith("@")}
    content = Path(given.file.removeprefix("@")).read_bytes() if given.file else given.data
    method = given.method or ("POST" if content or files else "GET")
    return httpx.request(
        method, given.url, headers=headers, content=content, data=texts or None, files=files or None
    ).text


if __name__ == "__main__":
    sys.stdout.write(curl(sys.argv[1:]))
