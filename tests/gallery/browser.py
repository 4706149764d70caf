"""A browser for the page, and a service that shows it the painted gallery. Everything is on loopback."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.callers.conftest import running

ARTWORKS = 64
MOST_BYTES = 2**20
NAMES = ("chromium", "chromium-browser", "google-chrome")
# A browser for a test asks nobody else for anything.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What the page does to itself is kept where tests can read it.
WATCHING = """
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
  }).observe({ type: "layout-shift", buffered: true });
  addEventListener("securitypolicyviolation", (event) => {
    console.error(`${event.violatedDirective} forbids ${event.blockedURI}`);
  });
"""


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def demonstration(folder: Path) -> Iterator[str]:
    """The address of the page over freshly painted pictures, which lie in `gallery/images` of the folder."""
    arguments = ["demo", "--artworks", str(ARTWORKS), "--dir", str(folder / "gallery")]
    with running(folder, arguments=arguments, **_settings(folder)) as instance:
        yield f"{instance.url}/gallery"


@contextmanager
def behind_a_password(folder: Path, password: str) -> Iterator[str]:
    """The address of the same page for those who know a password."""
    index = f"faiss://{folder / 'gallery'}"
    with running(folder, INDEX_URL=index, GALLERY_PASSWORD=password, **_settings(folder)) as instance:
        yield f"{instance.url}/gallery"


def _settings(folder: Path) -> dict[str, str]:
    return {
        "GALLERY_CACHE_DIR": str(folder / "thumbnails"),
        "MAX_IMAGE_BYTES": str(MOST_BYTES),
        "KEEP_ALIVE_S": "60",  # a browser that finds its connections closed would try again, which takes longer
    }


class Visitor:
    """Somebody with a browser of their own, and what it complained of."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        """Come with a browser that is set up like this, to no page yet."""
        self.address = address
        self.complaints: list[str] = []
        self._origin = address.removesuffix("gallery")
        options.setdefault("viewport", {"width": 1280, "height": 800})
        self.context: BrowserContext = browser.new_context(**options)
        self.context.add_init_script(WATCHING)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("request", self._see)

    def goto(self, rest: str = "") -> Page:
        """The page at what follows its address."""
        self.page.goto(self.address + rest)
        return self.page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "data:", "blob:")):
            self.complaints.append(f"asks {request.url}")


def _chromium() -> str:
    # Tests in several processes look for one at the same time.
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _on_path()
        if found is None and shutil.which("apt-get") and os.geteuid() == 0:
            _run(["apt-get", "update"])
            _run(["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"])
            found = _on_path()
    assert found, f"The page is tested in a browser: install Chromium ({', '.join(NAMES)}) and have it on PATH."
    return found


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
