"""The process above the workers: replaces them one at a time, so that no request fails for it."""

import signal

from gunicorn.arbiter import Arbiter as GunicornArbiter

from app.serving.shared import Flag
from app.serving.worker import Worker


class Arbiter(GunicornArbiter):
    """gunicorn's, but a worker that is to be replaced goes only when another is ready in its stead.

    gunicorn would start as many new workers as there are and end the old ones at once, before a model is loaded.
    """

    WORKERS: dict[int, Worker]

    def __init__(self, app: object) -> None:
        self.stopping = Flag()
        super().__init__(app)

    def handle_hup(self) -> None:
        """Replace all workers; SIGHUP asks for it."""
        for worker in self.WORKERS.values():
            worker.outdated.raise_()

    def manage_workers(self) -> None:
        """Called every second, and whenever a worker has ended."""
        outdated = [worker for worker in self.WORKERS.values() if worker.outdated]
        if not outdated:
            super().manage_workers()
            return
        # One more than usual: memory may not be there for twice as many.
        for _ in range(self.num_workers + 1 - len(self.WORKERS)):
            self.spawn_worker()
        if any(worker.leaving for worker in outdated):
            return
        if all(worker.ready for worker in self.WORKERS.values() if not worker.outdated):
            oldest = min(outdated, key=lambda worker: worker.age)
            oldest.leaving = True
            self.kill_worker(oldest.pid, signal.SIGTERM)

    def stop(self, graceful: bool = True) -> None:
        """End all workers, who are to know that nobody comes after them."""
        self.stopping.raise_()
        super().stop(graceful)
