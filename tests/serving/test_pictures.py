"""Lists of images side by side: order, failures, deadlines, bytes. What fetches, decodes and embeds is a stand-in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

import numpy as np
import pytest
from app.errors import ImageNotFound, NotReady
from app.images.budget import ByteBudget, Take
from app.images.decoders import Seen
from app.serving import EmbeddedPicture, Pictures
from app.serving.pictures import WINDOW

Work = Callable[[], Coroutine[Any, Any, None]]
SIZE = 10
NIGHT_JOB = 6


@dataclass
class StandIns:
    """A host, a decoder and a model; `fetching` is what happens while a URL is fetched."""

    fetching: dict[str, Work] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    decoded: int = 0
    embedded: int = 0
    of_list: bool = True
    at_once: int = 0
    most_at_once: int = 0
    ready: bool = True

    @property
    def model(self) -> Any:
        if not self.ready:
            raise NotReady("not yet")
        return self

    preprocessing = None
    space = "a-space"
    count = 2

    async def fetch(self, url: str, take: Take) -> bytes:
        self.fetched.append(url)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            take(SIZE)
            if url in self.fetching:
                await self.fetching[url]()
            else:
                await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        return url.encode()

    async def look(self, data: bytes, _: Any) -> Seen:
        self.decoded += 1
        return Seen(np.full((1, 1, 3), len(data), np.uint8), len(data), 1)

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        yield

    async def embed_picture(self, pixels: Any, urgency: int, *, of_list: bool) -> Any:
        assert (urgency, of_list) == (NIGHT_JOB, self.of_list)
        self.embedded += 1
        return pixels[0, 0, :1].astype(np.float32)


def embed(stand_ins: StandIns, sources: list[Any], *, bytes_at_once: int = 1000, timeout_s: float = 30) -> list[Any]:
    """What becomes of a list."""
    pictures = made_of(stand_ins, bytes_at_once=bytes_at_once, timeout_s=timeout_s)
    return asyncio.run(pictures.embed_list(sources, NIGHT_JOB))


def made_of(stand_ins: StandIns, *, bytes_at_once: int = 1000, timeout_s: float = 30) -> Pictures:
    parts = cast(Any, stand_ins)
    budget = ByteBudget(bytes_at_once)
    return Pictures(parts, parts, parts, budget, max_queue=100, timeout_s=timeout_s, cache_items=10)


def codes(outcomes: list[Any]) -> list[str]:
    return ["ok" if isinstance(outcome, EmbeddedPicture) else outcome.code for outcome in outcomes]


async def never() -> None:
    await asyncio.Event().wait()


def failing(error: Exception) -> Work:
    async def fail() -> None:
        raise error

    return fail


def test_each_gets_its_picture_or_its_failure_in_their_order() -> None:
    stand_ins = StandIns({"gone": failing(ImageNotFound("404"))})
    unreadable = ImageNotFound("unreadable from the start")

    outcomes = embed(stand_ins, ["url", b"bytes", "gone", unreadable])

    assert codes(outcomes) == ["ok", "ok", "image_not_found", "image_not_found"]
    assert [outcome.sha256 for outcome in outcomes[:2]] == [sha256(data).hexdigest() for data in (b"url", b"bytes")]
    assert outcomes[3] is unreadable


def test_equal_sources_are_fetched_and_embedded_once() -> None:
    stand_ins = StandIns()

    outcomes = embed(stand_ins, ["a", "b", "a", b"c", b"c"])

    assert (stand_ins.fetched, stand_ins.embedded) == (["a", "b"], 3)
    assert outcomes[0] is outcomes[2]
    assert outcomes[3] is outcomes[4]


def test_a_window_of_them_is_fetched_at_once() -> None:
    stand_ins = StandIns()

    outcomes = embed(stand_ins, [f"url {number}" for number in range(3 * WINDOW)])

    assert codes(outcomes) == ["ok"] * 3 * WINDOW
    assert stand_ins.most_at_once == WINDOW


def test_a_defect_costs_one_item_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = embed(StandIns({"bad": failing(RuntimeError("of a library"))}), ["bad", "good"])

    assert codes(outcomes) == ["internal", "ok"]
    assert "of a library" not in outcomes[0].detail
    assert "of a library" in caplog.text


def test_at_the_deadline_what_is_done_is_given_and_the_rest_has_failed() -> None:
    outcomes = embed(StandIns({"slow": never}), ["good", "slow", "better"], timeout_s=0.3)

    assert codes(outcomes) == ["ok", "deadline_exceeded", "ok"]


def test_more_bytes_than_may_be_held_at_once_are_taken_one_after_the_other() -> None:
    stand_ins = StandIns()

    outcomes = embed(stand_ins, [f"url {number}" for number in range(WINDOW)], bytes_at_once=SIZE + 5)

    assert codes(outcomes) == ["ok"] * WINDOW


def test_an_image_for_which_others_leave_no_room_has_failed_as_overloaded() -> None:
    assert codes(embed(StandIns(), ["url", b"bytes"], bytes_at_once=SIZE - 1)) == ["overloaded", "ok"]


def test_without_a_model_nothing_is_fetched() -> None:
    stand_ins = StandIns(ready=False)

    with pytest.raises(NotReady):
        embed(stand_ins, ["url"])

    assert stand_ins.fetched == []


def test_an_unchanged_image_is_fetched_again_but_neither_decoded_nor_embedded() -> None:
    async def scene() -> tuple[EmbeddedPicture, EmbeddedPicture]:
        first, second = [await pictures.embed("a url", lambda _: None, NIGHT_JOB) for _ in range(2)]
        return first, second

    stand_ins = StandIns(of_list=False)
    pictures = made_of(stand_ins)
    first, second = asyncio.run(scene())

    assert first is second
    assert (stand_ins.fetched, stand_ins.decoded, stand_ins.embedded) == (["a url"] * 2, 1, 1)


def test_equal_images_under_several_urls_are_embedded_once() -> None:
    class OneImage(StandIns):
        async def fetch(self, url: str, take: Take) -> bytes:
            await super().fetch(url, take)
            return b"the same"

    stand_ins = OneImage()
    outcomes = embed(stand_ins, ["a", "b", "c"])

    assert codes(outcomes) == ["ok"] * 3
    assert (stand_ins.decoded, stand_ins.embedded) == (1, 1)
