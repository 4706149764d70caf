"""Processes of the service that are killed, and what that costs."""

import asyncio
import os
import signal
from pathlib import Path

from tests.endurance.clients import Habits, calling
from tests.endurance.faults import kill_decoder, kill_worker
from tests.endurance.known import Known
from tests.endurance.parties import Party, party
from tests.endurance.service import until
from tests.endurance.verdicts import Check, spoiled_without_excuse
from tests.endurance.watch import left_in_shared_memory, shared_files

READY_AGAIN_S = 10.0
NEXT_ANSWER_S = 3.0
ORPHANS_END_S = 5.0
BEFORE_S = 1.5
EACH_S = 0.1
ASKED_MEANWHILE = 20
DECODER_KILLS = 8
DECODER_KILLED_EVERY_S = 0.6
HELD_S = 0.5
STEADY = Habits(thinks_s=0.1, steady=True)
NEWLY = Habits(thinks_s=0.1, steady=True, new_connections=1.0)
BUSY = Habits(thinks_s=0.02)


async def one_of_two_workers(known: Known, folder: Path) -> list[Check]:
    """Its callers lose what it holds, and nobody else anything."""
    what = "kill -9 of one of two workers under load"
    async with party(known, folder, workers=2) as here:
        service = here.service
        callers = here.callers(6, STEADY) + here.callers(2, NEWLY)
        callers += here.callers(6, STEADY, here.questions.slow_picture)
        async with calling(callers):
            await asyncio.sleep(BEFORE_S)
            victim = service.workers()[0]
            fault = kill_worker(service, victim)
            ready_s = await service.until_ready(frozenset([victim]))
            await asyncio.sleep(BEFORE_S)
    return [*here.costs(what, [fault]), Check.at_most(f"{what}: both ready again", ready_s, READY_AGAIN_S)]


async def the_only_worker(known: Known, folder: Path) -> list[Check]:
    """Who asks meanwhile waits for the next one."""
    what = "kill -9 of the only worker"
    async with party(known, folder, workers=1) as here:
        (victim,) = here.service.workers()
        fault = kill_worker(here.service, victim)
        asking = []
        for _ in range(ASKED_MEANWHILE):
            asking.append(here.ask_soon(here.questions.query()))
            await asyncio.sleep(EACH_S)
        await asyncio.gather(*asking)
    answered = f"{here.ledger.right} of {ASKED_MEANWHILE} right"
    reasons = f"; {here.reasons()}" if here.reasons() else ""
    return [
        Check.at_most(f"{what}: until the next right answer", here.first_right_s(fault.at), NEXT_ANSWER_S),
        Check(
            f"{what}: requests sent meanwhile wait", "all right", answered + reasons,
            here.ledger.right == ASKED_MEANWHILE,
        ),
    ]  # fmt: skip


async def decoders(known: Known, folder: Path) -> list[Check]:
    """Only the image that a decoder holds fails, and the next one works."""
    what = "kill -9 of decoders"
    async with party(known, folder, workers=2) as here:
        held, starting, load = here.another(), here.another(), here.another()
        async with calling(here.callers(4, STEADY, here.questions.picture_sent)):
            await asyncio.sleep(BEFORE_S)  # until all have been in use
        await _killed_while_it_decodes(held)
        await _killed_while_it_starts(starting)
        faults = []
        async with calling(load.callers(4, BUSY, load.questions.picture_sent)):
            for _ in range(DECODER_KILLS):
                await asyncio.sleep(DECODER_KILLED_EVERY_S)
                faults += [kill_decoder(number) for number in load.service.decoders()[:1]]
    spoiled = sum(each.images for each in load.ledger.spoiled)
    return [
        Check(f"{what} while it decodes", "422 image_corrupt, then 200", held.answers(), _spoiled_one_of_two(held)),
        Check(
            f"{what} while it starts", "422 image_corrupt or 200", starting.answers(),
            not starting.ledger.wrong and not starting.ledger.losses,
        ),
        Check(
            f"{what} under load: images failed", f"≤ {len(faults)} killed", str(spoiled),
            not spoiled_without_excuse(load.ledger.spoiled, faults),
        ),
        *load.costs(f"{what} under load", faults),
    ]  # fmt: skip


async def _killed_while_it_decodes(here: Party) -> None:
    """Whichever has the image holds it until it is killed. Then ask again."""
    stopped = here.service.decoders()
    for number in stopped:
        os.kill(number, signal.SIGSTOP)
    asking = here.ask_soon(here.questions.picture_sent())
    await asyncio.sleep(HELD_S)
    for number in stopped:
        kill_decoder(number)
    await asking
    await here.ask_soon(here.questions.picture_sent())


async def _killed_while_it_starts(here: Party) -> None:
    """The first that starts because an image needs one."""
    before = here.service.decoders()
    for number in before:
        kill_decoder(number)
    asking = here.ask_soon(here.questions.picture_sent())
    await until(lambda: bool({*here.service.decoders()} - {*before}), HELD_S)
    for number in {*here.service.decoders()} - {*before}:
        kill_decoder(number)
    await asking


def _spoiled_one_of_two(here: Party) -> bool:
    return [each.images for each in here.ledger.spoiled] == [1] and here.ledger.right == 1


async def the_arbiter(known: Known, folder: Path) -> list[Check]:
    """What is left ends by itself."""
    what = "kill -9 of the first process"
    before = shared_files()
    async with party(known, folder, workers=2) as here:
        service = here.service
        service.process.kill()
        ended_s = await until(lambda: not service.processes(), 3 * ORPHANS_END_S)
        left = service.left_behind() + left_in_shared_memory(before)
    return [
        Check.at_most(f"{what}: all others have ended", ended_s, ORPHANS_END_S),
        Check.none(f"{what}: files left", left, ", ".join(left[:5])),
    ]
