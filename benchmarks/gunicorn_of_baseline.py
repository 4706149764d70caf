"""gunicorn's settings for the straightforward service: its worker for uvicorn, and a sign from each that has loaded."""

import os
from pathlib import Path
from typing import Any

worker_class = "uvicorn_worker.UvicornWorker"
graceful_timeout = 1  # what it hasn't done when a measurement is over, nobody waits for
timeout = 300  # loading several models at once takes its time on a small machine
loglevel = "error"


def post_worker_init(worker: Any) -> None:
    """A worker has loaded the application, model included."""
    (Path(os.environ["READY_DIR"]) / str(worker.pid)).touch()
