"""Writes the tables of docs/configuration.md: every setting as it stands in app/config.py. Run by `make docs`."""

import inspect
import re
from pathlib import Path
from typing import Any

from app.config import MIB, Settings
from pydantic.fields import FieldInfo

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- Written by `make docs`. -->\n", "<!-- Up to here. -->\n"
# What has no default that could be printed.
IN_WORDS = {
    "auth_token": "required to serve",
    "model_cache_dir": "the user's cache folder",
    "gallery_cache_dir": "`thumbnails` in the user's cache folder",
}


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")


def written(page: str) -> str:
    """The page with the settings as they are now between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{tables()}\n{END}{after}"


def tables() -> str:
    """A table below each comment that heads some of the settings."""
    lines = []
    for heading, name in re.findall(r"^    (?:# (.*)|(\w+): .*)$", inspect.getsource(Settings), re.M):
        if heading:
            lines += ["", f"## {heading}", "", "| Name | Default | Meaning |", "| --- | --- | --- |"]
        else:
            field = Settings.model_fields[name]
            meaning = " ".join((field.description or "").split())
            lines.append(f"| `{name.upper()}` | {IN_WORDS.get(name) or shown(field)} | {meaning} |")
    return "\n".join([*lines, ""])


def shown(field: FieldInfo) -> str:
    """A default as a person reads it."""
    default: Any = field.default
    if default in (None, (), ""):
        return "empty"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    if isinstance(default, bool):
        return f"`{default}`".lower()
    if isinstance(default, int) and default >= MIB and default % MIB == 0:
        return f"`{default}` ({default // MIB} MiB)"
    return f"`{default}`"


if __name__ == "__main__":
    main()
