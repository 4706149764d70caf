"""A service, an image host and callers, brought together for one fault."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from tests.endurance.clients import Caller, Habits
from tests.endurance.faults import Fault
from tests.endurance.forms import Question
from tests.endurance.hosts import ImageHost
from tests.endurance.known import Known
from tests.endurance.ledger import Ledger, Loss
from tests.endurance.questions import Questions
from tests.endurance.service import Service, running
from tests.endurance.verdicts import Check, without_excuse

ONCE = Habits(thinks_s=0, new_connections=1.0)


class Party:
    """Those who take part, and what became of what they asked."""

    def __init__(self, service: Service, questions: Questions) -> None:
        self.service = service
        self.questions = questions
        self.ledger = Ledger()
        self._seeds = itertools.count()

    def callers(self, count: int, habits: Habits, ask: Callable[[], Question] | None = None) -> list[Caller]:
        """Callers who ask short queries, or something else."""
        ask = ask or self.questions.query
        return [Caller(self.service.port, ask, habits, self.ledger, Random(next(self._seeds))) for _ in range(count)]

    def ask_soon(self, question: Question) -> asyncio.Task[None]:
        """Ask one thing over a connection of its own; done when it is known what became of it."""
        (caller,) = self.callers(1, ONCE)
        self.ledger.asked[question.kind] += 1
        return asyncio.create_task(caller.ask(question))

    def costs(self, what: str, faults: Sequence[Fault]) -> list[Check]:
        """What was lost to kills, and whether anything else went wrong."""
        lost = without_excuse(self.ledger.losses, faults)
        excused = len(self.ledger.losses) - len(lost)
        failed = len(lost) + sum(self.ledger.wrong.values()) + self.ledger.refused
        asked = sum(self.ledger.asked.values())
        checks = [
            Check.none(f"{what}: failed of {asked} requests", failed, f"({self.reasons(lost)})" if failed else "")
        ]
        if held := sum(len(fault.ports) for fault in faults):
            lost_to_kill = Check(f"{what}: lost with it", f"≤ {held} connections held", str(excused), excused <= held)
            checks.insert(0, lost_to_kill)
        return checks

    def another(self) -> "Party":
        """Other callers of the same service, counted apart."""
        return Party(self.service, self.questions)

    def first_right_s(self, since: float) -> float | None:
        """How long after something the first right answer came."""
        return None if self.ledger.first_right is None else self.ledger.first_right - since

    def answers(self) -> str:
        """What was answered, most often first."""
        counted = self.ledger.answered.most_common()
        return ", ".join(f"{count} × {status} {code}".rstrip() for (status, code), count in counted)

    def reasons(self, lost: Sequence[Loss] | None = None) -> str:
        """What went wrong, most often first; of what was lost all, or only some."""
        counted = Counter(self.ledger.wrong)
        counted.update(loss.reason for loss in (self.ledger.losses if lost is None else lost))
        refused = {f"503 {code}": count for (status, code), count in self.ledger.answered.items() if status == 503}
        counted.update(refused)
        return ", ".join(f"{count} × {reason}" for reason, count in counted.most_common(3))


@asynccontextmanager
async def party(
    known: Known, folder: Path, *, workers: int, host_waits_s: float = 0.0, **settings: str
) -> AsyncIterator[Party]:
    """A service that is ready, with nothing remembered from one question to the next."""
    async with (
        ImageHost(known.pictures, host_waits_s).open() as host,
        running(folder, workers, **{"CACHE_ITEMS": "0", **settings}) as service,
    ):
        yield Party(service, Questions(known, host, Random(0), folder.name))
