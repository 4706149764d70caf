"""Whether a service that has answered much holds more memory than one that has answered little."""

from collections.abc import Iterator
from itertools import cycle, islice

from benchmarks.conditions import Conditions
from benchmarks.load import closed, run
from benchmarks.report import Figure, Section, rows
from benchmarks.service import CACHE_ITEMS, MIB, Service, ours

EARLY, LATE = 5_000, 50_000
CONNECTIONS = 32
# One query in so many is new; the others come from the cache.
NEW_ONE_IN = 10
ALLOWED = 0.05


def table(conditions: Conditions) -> Section:
    """Resident memory of all of the service's processes after the early and after the late request."""
    early, late = conditions.count(EARLY), conditions.count(LATE)
    lines, figures = [], []
    for precision in conditions.precisions:
        with ours(conditions, precision, cache_items=CACHE_ITEMS) as service:
            requests = _queries(service)
            held = []
            for count in (early, late - early):
                run(closed(service.port, islice(requests, count), connections=CONNECTIONS)).all_good()
                held.append(service.resident())
        change = held[1] / held[0] - 1
        lines.append([precision, *(f"{each / MIB:.0f} MiB" for each in held), f"{change:+.1%}"])
        name = f"memory from the {early:,}th request to the {late:,}th, {precision}"
        figures.append(Figure(name, f"± {ALLOWED:.0%}", "", f"{change:+.1%}", abs(change) <= ALLOWED))
    text = (
        "## Memory\n\n"
        f"Short queries with the cache on, one in {NEW_ONE_IN} of them new; resident memory of all processes.\n\n"
        + rows(["precision", f"after {early:,} requests", f"after {late:,}", "change"], lines)
    )
    return Section(text, figures)


def _queries(service: Service) -> Iterator[bytes]:
    repeated = service.repeated()
    return (next(source) for source in cycle([service.queries] + [repeated] * (NEW_ONE_IN - 1)))
