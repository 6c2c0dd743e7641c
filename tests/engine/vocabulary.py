"""A web in a dict and a clock that jumps: the whole engine in virtual time, with no socket and no waiting.

The event loop's time moves only when everything sleeps, so that a crawl of hours takes milliseconds, a spin shows as
work without time, and a crawl that never ends shows as time without work.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from multidict import CIMultiDict

from crawler.engine.crawler import Crawler, Ended
from crawler.frontier.memory import MemoryFrontier
from crawler.model.errors import FetchError
from crawler.model.frontier import FileMark
from crawler.model.protocols import Record
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.response import Attempted, Response
from crawler.model.settings import FrontierSettings, Limits, Politeness, Robots, Scope, Settings
from crawler.rules.scope import ScopeRules
from crawler.rules.url import canonical, key_of

T = TypeVar("T")

EPOCH = 1_800_000_000.0
#: Of the keys, by which pages are sampled: fixed, so that a crawl in virtual time is the same one each time.
SALT = 3
#: Turns of the loop without a step of its clock, or commits a virtual second, that nothing but a spin needs.
MOST_TURNS = 200_000


class Spin(AssertionError):
    """The loop was busy and its clock stood still."""


class _Jump:
    """A selector that never waits: it moves the clock instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        self._real = selectors.DefaultSelector()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def select(self, timeout: float | None = None) -> list[Any]:
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Spin(f"{self.turns} turns of the loop at {self.now:.3f} s")
        if timeout is None or timeout > 0:
            ready = self._real.select(0.05 if timeout is None else 0)
            if not ready and timeout is not None:
                self.now += timeout
                self.turns = 0
            return ready
        return self._real.select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.jump.now


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def clock() -> float:
    """Unix seconds of the running virtual loop."""
    return EPOCH + asyncio.get_running_loop().time()


@dataclass
class Answer:
    """What a URL answers: ``took`` virtual seconds later, or not at all (``fails``)."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    took: float = 0.01
    fails: Reason | None = None


def page(*links: str, took: float = 0.01, status: int = 200) -> Answer:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return Answer(
        status, f"<html><body>{anchors}</body></html>".encode(), {"Content-Type": "text/html"}, took
    )


def moved(to: str, status: int = 302, took: float = 0.01) -> Answer:
    return Answer(status, b"", {"Location": to}, took)


def text(body: str, took: float = 0.01) -> Answer:
    return Answer(200, body.encode(), {"Content-Type": "text/plain"}, took)


@dataclass
class Asked:
    url: str
    host: str
    at: float
    attempt: int
    ended: float = float("inf")


class Web:
    """A :class:`~crawler.model.protocols.Fetcher` over a dict: an answer, a list of answers one after the other (the
    last one stays), or a callable of the request. What isn't there is a 404."""

    def __init__(self, pages: dict[str, Any] | None = None) -> None:
        self.pages: dict[str, Any] = pages or {}
        self.log: list[Asked] = []
        self.in_flight: dict[str, int] = {}
        self.most_in_flight: dict[str, int] = {}

    async def fetch(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        started = clock()
        asked = Asked(request.url, request.host, loop.time(), request.attempt)
        self.log.append(asked)
        busy = self.in_flight[request.host] = self.in_flight.get(request.host, 0) + 1
        self.most_in_flight[request.host] = max(busy, self.most_in_flight.get(request.host, 0))
        try:
            answer = self.pages.get(request.url, Answer(404))
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if callable(answer):
                answer = answer(request)
            await asyncio.sleep(answer.took)
        finally:
            self.in_flight[request.host] -= 1
            asked.ended = loop.time()
        if answer.fails is not None:
            raise FetchError(answer.fails, answer.fails.value, Attempted(started, answer.took))
        return Response(
            answer.status,
            CIMultiDict(answer.headers),
            answer.body,
            len(answer.body),
            None,
            "127.0.0.1",
            "1.1",
            started,
            answer.took,
        )

    async def close(self) -> None:
        pass

    def of(self, url: str) -> list[Asked]:
        return [asked for asked in self.log if asked.url == url]

    def gaps(self, host: str) -> list[float]:
        """From each answer of a host to the next question."""
        asked = [one for one in self.log if one.host == host]
        return [later.at - earlier.ended for earlier, later in itertools.pairwise(asked)]


class Lines:
    """A sink in a list. ``rows`` are those that a settlement has covered."""

    def __init__(self) -> None:
        self.written: list[Record] = []
        self.rows: list[Record] = []
        self.flushes = 0

    async def write(self, records: Sequence[Record]) -> None:
        self.written.extend(records)

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        self.flushes += 1
        return ()

    async def settled(self) -> None:
        self.rows = list(self.written)

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        waiting = self.written[len(self.rows) :]
        assert len(kept) == len(waiting)
        self.written = self.rows + list(itertools.compress(waiting, kept))

    async def close(self) -> None:
        pass


def settings(**changes: Any) -> Settings:
    """Settings by the name of the section's field; a delay of 0 and robots.txt not asked, unless told."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in ({"delay": 0.0, "obey": False, "depth": None} | changes).items():
        for section, kind in _SECTIONS.items():
            if name in kind.__dataclass_fields__:
                sections.setdefault(section, {})[name] = value
                break
        else:
            raise KeyError(name)
    made = Settings()
    return replace(made, **{name: replace(getattr(made, name), **some) for name, some in sections.items()})


_SECTIONS: dict[str, Any] = {
    "politeness": Politeness,
    "robots": Robots,
    "limits": Limits,
    "scope": Scope,
    "frontier": FrontierSettings,
    "crawl": type(Settings().crawl),
    "output": type(Settings().output),
    "http": type(Settings().http),
}


def seed(url: str, salt: int, scope: str | None = None, **more: Any) -> Request:
    known = canonical(url)
    return Request(
        known.href,
        key_of(known.href, salt),
        known.host,
        scope=known.host if scope is None else scope,
        is_seed=True,
        **more,
    )


@dataclass
class Outcome:
    ended: Ended
    web: Web
    sink: Lines
    frontier: Any
    crawler: Crawler
    took: float

    @property
    def by_url(self) -> dict[str, Record]:
        urls = [row["url"] for row in self.sink.rows]
        assert len(urls) == len(set(urls)), "a URL has two records"
        return {row["url"]: row for row in self.sink.rows}


async def crawl(
    pages: dict[str, Any] | Web,
    seeds: Iterable[str | Request],
    *,
    made: Settings | None = None,
    frontier: Any = None,
    sink: Lines | None = None,
    workers: int = 8,
    within: float = 5_000.0,
    on_start: Callable[[Crawler], None] | None = None,
    scope: str | None = None,
    slow_settle: float = 0.0,
    tick: float = 0.0,
    **more: Any,
) -> Outcome:
    """Crawl to the end, which must come within so many virtual seconds. ``tick``: what each look at the clock takes."""
    web = pages if isinstance(pages, Web) else Web(pages)
    made = made if made is not None else settings()
    if frontier is None:
        frontier = MemoryFrontier(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
    if slow_settle:
        frontier = SlowSettle(frontier, slow_settle)
    sink = sink if sink is not None else Lines()

    async def batches() -> AsyncIterator[Sequence[Request]]:
        requests = [one if isinstance(one, Request) else seed(one, frontier.salt, scope) for one in seeds]
        for at in range(0, len(requests), 1000):
            yield requests[at : at + 1000]

    ticks = itertools.count()
    crawler = Crawler(
        made,
        frontier,
        sink,
        web,
        run_id="run",
        seeds=batches(),
        key_of=partial(_key, frontier.salt),
        scope=ScopeRules(made.scope),
        product_token="crawler",
        workers=workers,
        clock=lambda: clock() + next(ticks) * tick,
        **more,
    )
    if on_start is not None:
        on_start(crawler)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(within):
        ended = await crawler.run()
    return Outcome(ended, web, sink, frontier, crawler, loop.time() - began)


class SlowSettle:
    """A frontier whose settlements take a while, as those on a disk do; written before that while, or (``late``)
    after it."""

    def __init__(self, frontier: Any, seconds: float, *, late: bool = False) -> None:
        self._frontier = frontier
        self._seconds = seconds
        self._late = late
        self.settlements: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frontier, name)

    async def settle(self, now: float, settlement: Any) -> Any:
        self.settlements.append(settlement)
        if self._late:
            await asyncio.sleep(self._seconds)
        settled = await self._frontier.settle(now, settlement)
        if not self._late:
            await asyncio.sleep(self._seconds)
        return settled


def _key(salt: int, href: str) -> bytes:
    return key_of(href, salt)
