"""Our service as it would be if it counted nothing for Prometheus; its log is at the level that it is told."""

import sys
from contextlib import ExitStack, nullcontext
from unittest import mock

from app import cli
from app.telemetry import metrics

COUNTING = ("answered", "waiting", "waited", "computed", "looked_up", "decoder_killed")
TIMING = ("fetching", "decoding")

if __name__ == "__main__":
    with ExitStack() as patches:
        for name in COUNTING:
            patches.enter_context(mock.patch.object(metrics, name, return_value=None))
        for name in TIMING:
            patches.enter_context(mock.patch.object(metrics, name, nullcontext))
        sys.exit(cli.main(sys.argv[1:]))
