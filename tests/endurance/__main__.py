"""`python -m tests.endurance soak|chaos`: real processes, real sockets on loopback, and figures at the end."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.endurance.chaos import FAULTS, chaos
from tests.endurance.page import conditions, say, table, write
from tests.endurance.soak import soak

MINUTES = 30.0
SAY_EVERY_S = 60.0
INTERRUPTED = 130
SAY_TO_A_TERMINAL_EVERY_S = 10.0


def main(words: Sequence[str] | None = None) -> int:
    """Run one of them; the exit status says whether all was well."""
    chosen = _parser().parse_args(words)
    # Kept if not all is well: the logs of the service are in it.
    folder = Path(tempfile.mkdtemp(prefix="endurance-"))
    try:
        if chosen.command == "soak":
            say_every_s = SAY_TO_A_TERMINAL_EVERY_S if sys.stderr.isatty() else SAY_EVERY_S
            what, checks = asyncio.run(soak(chosen.minutes, chosen.seed, folder, say, say_every_s))
        else:
            what = "Each fault in a service of its own."
            checks = asyncio.run(chaos(chosen.only or [*FAULTS], folder, say))
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return INTERRUPTED
    text = f"{conditions()}\n\n{what}\n\n{table(checks)}"
    sys.stdout.write(text)
    if chosen.write:
        write(chosen.command, text)
    if all(check.ok for check in checks):
        shutil.rmtree(folder)
        return 0
    say(f"not all is well; logs are in {folder}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.endurance", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    soaking = commands.add_parser("soak", help="a mixed load for long, among faults")
    soaking.add_argument("--minutes", type=float, default=MINUTES, help="how long; %(default)g by default")
    soaking.add_argument("--seed", type=int, default=0, help="of what happens by chance; %(default)d by default")
    breaking = commands.add_parser("chaos", help="each fault on its own, and what it costs")
    breaking.add_argument("--only", nargs="+", choices=FAULTS, metavar="FAULT", help=f"any of: {', '.join(FAULTS)}")
    for command in (soaking, breaking):
        command.add_argument("--write", action="store_true", help="also into docs/endurance.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
