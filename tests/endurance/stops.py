"""The service is told to stop, or to begin anew, and what its callers notice of it."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic

from tests.endurance.answers import code_of
from tests.endurance.clients import Habits, calling
from tests.endurance.faults import replace_workers
from tests.endurance.known import Known
from tests.endurance.parties import party
from tests.endurance.service import HEALTH, Service
from tests.endurance.verdicts import Check
from tests.endurance.watch import left_in_shared_memory, shared_files
from tests.endurance.wire import Lost, connect

STOPPED_WITHIN_S = 5.0
REPLACED_WITHIN_S = 30.0
BEFORE_S = 1.0
KEEPING_ALIVE, CONNECTING_ANEW = 16, 2
STEADY = Habits(thinks_s=0.2, steady=True)
NEWLY = Habits(thinks_s=0.1, steady=True, new_connections=1.0)
HOST_WAITS_S = 2.0
SLOW_REQUESTS = 6
# From the signal until every worker has followed it.
HEARD_WITHIN_S = 0.5
TWICE_WITHIN_S = 0.3
PROBE_EVERY_S = 0.1
PROBE_S = 5.0


async def replacing_workers(known: Known, folder: Path) -> list[Check]:
    """Nobody notices."""
    what = "SIGHUP under load"
    async with party(known, folder, workers=2) as here:
        before = frozenset(here.service.workers())
        callers = here.callers(KEEPING_ALIVE, STEADY) + here.callers(CONNECTING_ANEW, NEWLY, here.questions.any)
        async with calling(callers):
            await asyncio.sleep(BEFORE_S)
            fault = replace_workers(here.service)
            took_s = await here.service.until_ready(before)
            await asyncio.sleep(BEFORE_S)
    return [
        *here.costs(what, [fault]),
        Check.at_most(f"{what}: until all are new and ready", took_s, REPLACED_WITHIN_S),
    ]


async def stopping_when_idle(known: Known, folder: Path) -> list[Check]:
    """It ends at once."""
    what = "SIGTERM when idle"
    before = shared_files()
    async with party(known, folder, workers=2) as here:
        here.service.process.send_signal(signal.SIGTERM)
        return [*await _ends(here.service, what, before), _with_status_0(here.service, what)]


async def stopping_when_busy(known: Known, folder: Path) -> list[Check]:
    """What is asked is answered; what is new is refused, and said to be."""
    what = "SIGTERM when busy"
    async with party(known, folder, workers=2, host_waits_s=HOST_WAITS_S) as here:
        service, port = here.service, here.service.port
        slow = [here.ask_soon(here.questions.picture_by_url("good")) for _ in range(SLOW_REQUESTS)]
        await asyncio.sleep(HEARD_WITHIN_S)
        signalled = monotonic()
        service.process.send_signal(signal.SIGTERM)
        health: Counter[str] = Counter()
        work: Counter[str] = Counter()
        await asyncio.sleep(HEARD_WITHIN_S)
        # The slow ones are answered later than that.
        while monotonic() < signalled + HOST_WAITS_S - 2 * HEARD_WITHIN_S:
            health[await _said(port, HEALTH)] += 1
            query = here.questions.query()
            work[await _said(port, query.head + query.body)] += 1
            await asyncio.sleep(PROBE_EVERY_S)
        await asyncio.gather(*slow)
        status = await service.ended()
        ended_s = None if status is None else monotonic() - signalled
    right = here.ledger.right
    return [
        Check(f"{what}: slow requests in flight", "all right", f"{right} of {SLOW_REQUESTS} {here.reasons()}".rstrip(),
              right == SLOW_REQUESTS),
        Check(f"{what}: /health on new connections", "503 draining", _shown(health), set(health) == {"503 draining"}),
        Check(f"{what}: new work", "503 not_ready", _shown(work), set(work) == {"503 not_ready"}),
        Check.at_most(f"{what}: until it has ended", ended_s, HOST_WAITS_S + STOPPED_WITHIN_S),
        _with_status_0(service, what),
    ]  # fmt: skip


async def interrupting_twice(known: Known, folder: Path) -> list[Check]:
    """As somebody does who has started it on a terminal, and has no patience: all its processes get the signal."""
    what = "Ctrl-C twice"
    before = shared_files()
    async with party(known, folder, workers=2, host_waits_s=HOST_WAITS_S) as here:
        slow = here.ask_soon(here.questions.picture_by_url("good"))
        await asyncio.sleep(HEARD_WITHIN_S)
        for _ in range(2):
            with suppress(ProcessLookupError):
                os.killpg(here.service.process.pid, signal.SIGINT)
            await asyncio.sleep(TWICE_WITHIN_S)
        checks = await _ends(here.service, what, before)
        await slow
    return checks


async def _ends(service: Service, what: str, before: set[str]) -> list[Check]:
    """Whether it ends soon, and leaves nothing."""
    signalled = monotonic()
    status = await service.ended()
    took_s = None if status is None else monotonic() - signalled
    processes = await service.gone(STOPPED_WITHIN_S)
    files = service.left_behind() + left_in_shared_memory(before)
    return [
        Check.at_most(f"{what}: until it has ended", took_s, STOPPED_WITHIN_S),
        Check.none(f"{what}: processes left", processes),
        Check.none(f"{what}: files left", files, ", ".join(files[:5])),
    ]


def _with_status_0(service: Service, what: str) -> Check:
    status = service.process.poll()
    return Check(f"{what}: exit status", "0", str(status), status == 0)


async def _said(port: int, request: bytes) -> str:
    """What a new connection gets for an answer: status, and code or state."""
    try:
        async with asyncio.timeout(PROBE_S):
            connection = await connect(port)
    except OSError as error:
        return f"no connection ({type(error).__name__})"
    try:
        answer = await connection.ask(request, PROBE_S)
    except Lost as reason:
        return str(reason)
    finally:
        connection.hang_up()
    state = answer.body.get("status", "") if isinstance(answer.body, dict) else ""
    return f"{answer.status} {code_of(answer) or state}".rstrip()


def _shown(said: Counter[str]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in said.most_common())
