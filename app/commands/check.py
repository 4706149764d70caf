"""The smoke test of a live instance: every route, with what it takes and with what it must refuse."""

from collections.abc import Callable
from dataclasses import dataclass

from app.commands.expectations import Vectors, ok
from app.commands.instance import Instance, Surprise
from app.commands.probes import SERVICE, Probe, probes
from app.errors import InstanceUnusable


@dataclass(frozen=True)
class Finding:
    """What came of a call; `surprise` if it isn't what must come of it."""

    probe: Probe
    surprise: str | None
    status: int | None = None
    dimensions: int | None = None
    ms: float | None = None

    def __str__(self) -> str:
        verdict = "FAILED" if self.surprise else "ok"
        figures = f"{self.status or '-':>3}  {self.dimensions or '-':>5}"
        took = "       -" if self.ms is None else f"{self.ms:8.1f}"
        line = f"{verdict:6}  {self.probe.method:6} {self.probe.path:21}  {self.probe.what:46}  {figures}  {took} ms"
        return f"{line}  {self.surprise}" if self.surprise else line


def check(instance: Instance, image_url: str | None, say: Callable[[str], None]) -> bool:
    """Call every route of an instance, once it is ready, and say what comes of it; whether nothing surprises.

    Args:
        instance: which.
        image_url: where the instance can fetch an image from. Without it, image URLs are tried as far as refusals go.
        say: is told of each call, and of what is waited for.

    Raises:
        InstanceUnusable: there is nothing to be tested.
    """
    health = instance.wait(say)
    try:
        banner = ok(instance.ask("GET", "/", auth=None))
        if not isinstance(banner, dict) or banner.get("service") != SERVICE:
            raise Surprise(f"/ is no banner of {SERVICE}")
        vectors = Vectors(health, banner)
        known = instance.ask("GET", "/v1/models").status != 401
        searches = instance.ask("POST", "/search", auth=None).status != 404
    except Surprise as reason:
        raise InstanceUnusable(f"{instance.url} is healthy, but can't be checked: {reason}") from None
    except (LookupError, TypeError) as error:
        raise InstanceUnusable(f"{instance.url} is healthy, but / or /health lacks something: {error}") from None
    if not known:
        raise InstanceUnusable(f"{instance.url} doesn't know this token; --token or AUTH_TOKEN must be one of its own")
    found = []
    for probe in probes(vectors, banner, image_url, searches=searches):
        found.append(_finding(instance, probe))
        say(str(found[-1]))
    surprises = sum(finding.surprise is not None for finding in found)
    say(f"{len(found)} calls, {surprises or 'no'} surprise{'' if surprises == 1 else 's'}, at {instance.url}")
    return not surprises


def _finding(instance: Instance, probe: Probe) -> Finding:
    try:
        answer = instance.ask(probe.method, probe.path, **probe.request)
    except Surprise as surprise:
        return Finding(probe, str(surprise))
    try:
        dimensions = probe.expect(answer)
        if not answer.headers.get("X-Request-ID"):
            raise Surprise("no X-Request-ID")
    except Surprise as surprise:
        return Finding(probe, str(surprise), answer.status, ms=answer.ms)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        reason = f"an answer of another form ({type(error).__name__}: {error})"
        return Finding(probe, reason, answer.status, ms=answer.ms)
    return Finding(probe, None, answer.status, dimensions, answer.ms)
