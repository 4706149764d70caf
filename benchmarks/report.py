"""What a measurement gives: a section of Markdown, and the figures in it that somebody asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEGIN = "<!-- From here to the end mark, `python -m benchmarks --write` writes. -->"
END = "<!-- The end mark. -->"


@dataclass(frozen=True)
class Figure:
    """A figure that is required, what we are after beyond that, and what was measured."""

    name: str
    required: str
    after: str
    measured: str
    reached: bool

    @classmethod
    def at_least(
        cls, name: str, measured: float, required: float, after: float | None = None, form: str = "{}"
    ) -> "Figure":
        """More is better; `form` says how a number is written."""
        return cls._made("≥", name, measured, required, after, form, measured >= required)

    @classmethod
    def at_most(
        cls, name: str, measured: float, required: float, after: float | None = None, form: str = "{}"
    ) -> "Figure":
        """Less is better; `form` says how a number is written."""
        return cls._made("≤", name, measured, required, after, form, measured <= required)

    @classmethod
    def _made(
        cls, sign: str, name: str, measured: float, required: float, after: float | None, form: str, reached: bool
    ) -> "Figure":
        def written(value: float) -> str:
            return form.format(value)

        wanted = "" if after is None else f"{sign} {written(after)}"
        return cls(name, f"{sign} {written(required)}", wanted, written(measured), reached)


@dataclass(frozen=True)
class Section:
    """Markdown with a heading of its own, figures, and plots by the name of their file."""

    text: str
    figures: Sequence[Figure] = ()
    plots: Mapping[str, str] = field(default_factory=dict)


def rows(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)) + "\n"


def figures(sections: Iterable[Section]) -> list[str]:
    """The first table, what was wanted and what this run reached; nothing if nothing was."""
    lines = [
        [figure.name, figure.required, figure.after, figure.measured, "yes" if figure.reached else "**no**"]
        for section in sections
        for figure in section.figures
    ]
    table = rows(["what", "required", "after", "measured", "reached"], lines)
    return [f"## Figures wanted and reached\n\n{table}"] if lines else []


def replace(page: Path, generated: str) -> None:
    """Put what was generated in the place of what an earlier run left between the page's two marks."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page} has lost the marks between which to write")
    page.write_text(f"{before}{BEGIN}\n\n{generated.strip()}\n\n{END}{after}", "utf-8")
