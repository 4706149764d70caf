"""Everything at once: a service on the bundled model, a database, a gallery, its vectors, and the site. Ctrl-C ends it.

With EMBEDDINGS_SERVICE_URL set, that service is asked and none is started.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from manage import CHECKED_OUT, prepare

HOST = "127.0.0.1"
TOKEN = "demonstration_token"  # noqa: S105  # of a service on loopback, for a demonstration
LOGIN = "curator"
STARTING_S = 120
STOPPING_S = 40
PACE_S = 0.1

INSTRUCTIONS = """
  The collection:  http://localhost:{port}/
  Search it:       http://localhost:{port}/search/?q=a+stormy+sea+at+night
  Wagtail's admin: http://localhost:{port}/admin/   (user {login}, password {login})

  After a change of artworks, in another terminal:
  EMBEDDINGS_SERVICE_URL={service} {python} {manage} update_embeddings

Ctrl-C ends it.
"""


def main() -> int:
    """Run it; the return value is the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8010, metavar="N", help="where the site listens (8010)")
    parser.add_argument("--service-port", type=int, default=8011, metavar="N", help="where the service listens (8011)")
    parser.add_argument("--artworks", type=int, default=64, metavar="N", help="how many to paint (64)")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts us in the background has it ignored
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    prepare()
    try:
        _insist_on(options.port)
        with _service(options.service_port) as wait:
            _show(options.port, options.artworks, wait)
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def _service(port: int) -> Iterator[Callable[[], None]]:
    """The service, for as long as the block lasts. It starts while others work; the call that is given waits for it."""
    if os.environ.get("EMBEDDINGS_SERVICE_URL"):
        yield lambda: None
        return
    _insist_on(port)
    os.environ |= {"EMBEDDINGS_SERVICE_URL": f"http://{HOST}:{port}", "EMBEDDINGS_SERVICE_TOKEN": TOKEN}
    from django.conf import settings

    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, CHECKED_OUT)),
        "AUTH_TOKEN": TOKEN,
        "HOST": HOST,
        "PORT": str(port),
        "MODEL_NAME": "tiny-gallery",
        "WORKERS": "1",
    }
    log = settings.DATA / "service.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            cwd=settings.DATA,  # where no .env of somebody else's is
            env=os.environ | environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the site, which then ends the service
        )
    try:
        yield lambda: _wait_for(process, log)
    finally:
        process.terminate()
        process.wait(STOPPING_S)


def _wait_for(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline and process.poll() is None:
        # Its scheme is http: the address is the one that was made above.
        with suppress(OSError), urllib.request.urlopen(f"{os.environ['EMBEDDINGS_SERVICE_URL']}/health"):  # noqa: S310
            return
        time.sleep(PACE_S)
    sys.exit(f"The service didn't start; {log} says why.")


def _show(port: int, artworks: int, wait: Callable[[], None]) -> None:
    """Bring everything up to date, then serve the site until somebody ends it."""
    import django
    from django.contrib.auth import get_user_model
    from django.core.management import CommandError, call_command

    django.setup()
    call_command("migrate", verbosity=0)
    users: Any = get_user_model().objects
    if not users.filter(username=LOGIN).exists():
        users.create_superuser(LOGIN, password=LOGIN)
    call_command("load_gallery", artworks=artworks)
    wait()
    try:
        call_command("update_embeddings")
    except CommandError as error:  # of some artworks, and no reason not to show the others
        print(error, file=sys.stderr)
    manage = Path(__file__).resolve().with_name("manage.py")
    service = os.environ["EMBEDDINGS_SERVICE_URL"]
    words = INSTRUCTIONS.format(port=port, login=LOGIN, service=service, python=sys.executable, manage=manage)
    print(words, flush=True)
    call_command("runserver", f"{HOST}:{port}", use_reloader=False, skip_checks=True)


def _insist_on(port: int) -> None:
    with suppress(ConnectionRefusedError), socket.create_connection((HOST, port), timeout=1):
        sys.exit(f"Port {port} is taken; is the example running already? --port and --service-port choose others.")


if __name__ == "__main__":
    sys.exit(main())
