"""Parsing off the loop, with a deadline that holds: what is large or suspicious is read by a child that can be killed.

Law: an ordinary page never comes here. On the loop stays what costs it 10 ms at worst (:func:`is_heavy` has the
figures); the rest goes to a child, started at first need, through a thread that owns it: it writes, waits and kills, so
that neither a page nor a pipe can hold the loop. A child that is late, too large or broken is killed by its id, its
page has failed, and the next page gets a new one. Bodies are read one after the other, as each is in memory several
times over meanwhile; those behind one that takes long are read by a second child, which ends when it has done with
them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from crawler.content.charset import decode
from crawler.content.main_text import text_digest as digest_of_text
from crawler.content.page import PageReading, is_barred, is_text, read_charset, read_essence, sniff_type
from crawler.engine.parser_child import Child, Gone, Late
from crawler.engine.parser_wire import (
    BODY,
    HEADER,
    TASK,
    Garbled,
    frame,
    read_page_frames,
    read_sitemap_frames,
    text_frames,
)

if TYPE_CHECKING:
    from crawler.content.sitemap import Sitemap

T = TypeVar("T")

#: Bytes up to which any body is read on the loop: at worst 10 ms (misnested formatting), 36 as text.
FREELY_PARSED: Final = 64 * 1024
#: Bytes from which none is: a real page takes 2 to 4 ms, a hostile one 31, and 130 as text.
_LARGE: Final = 256 * 1024
#: Bytes up to which a page is looked at on the loop whether it is plain: 20 ms.
MOST_SCANNED: Final = 2 * 1024 * 1024
#: Between the two: tags from which a body is suspicious. Real pages of 256 KiB have 7,000.
_MOST_TAGS: Final = 8_192
#: Bytes from which a page is read by its tags: as a tree one of this size is 6 MiB, a hostile one 40.
BY_TAGS: Final = 512 * 1024
#: CPU seconds after which those that wait behind a body get a child of their own: a page of a million links takes 1. A
#: machine that is busy with others makes none of them hang, but for five times as long by the clock.
_PATIENCE: Final = 2.0
_PATIENCE_ON_THE_CLOCK: Final = 5
#: Children at once, at most. Each is 17 MiB when idle, 35 at work, and they have two cores at most beside the loop.
_CHILDREN: Final = 2
#: Bytes of a reply: a text in which each byte has become U+FFFD is three times its body, and links stand beside it.
_REPLY_FACTOR: Final = 8
_REPLY_LEAST: Final = 4 * 1024 * 1024
_ENDING: Final = "the crawl is ending"


class ParseFailed(Exception):
    """No reading within the bounds; the text says to a person which one."""


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """``reading`` is less its hrefs: ``hrefs`` has the first ``most_links`` of them, where ``links`` counts all.
    ``digest`` is sha256 of the body, ``text_digest`` of its main text where that was wanted."""

    reading: PageReading
    hrefs: Iterable[tuple[str, bool]]
    links: int
    digest: str
    text_digest: str | None = None


def is_heavy(body: bytes, content_type: str | None) -> bool:
    """Would reading this body hold the loop? A text that isn't HTML is decoded in 15 ms a MiB at worst, and stays.

    O(1) up to 64 KiB, up to 256 KiB a count of one byte (20 microseconds).
    """
    size = len(body)
    if size <= FREELY_PARSED or (size <= _LARGE and body.count(b"<") <= _MOST_TAGS):
        return False
    essence = read_essence(content_type) or sniff_type(body)
    return is_text(essence) and "html" in essence


class Parser:
    """``seconds``: what reading one body may take, its wait for a child or for its turn not counted. ``patience``
    (seconds): see :data:`_PATIENCE`."""

    def __init__(self, seconds: float, *, patience: float = _PATIENCE) -> None:
        self._seconds = seconds
        self._patience = patience
        self._lanes = [_Lane() for _ in range(_CHILDREN)]
        #: Bodies that wait for their turn, each for the lane it gets.
        self._waiting: deque[asyncio.Future[_Lane]] = deque()
        self._closed = False

    async def page(
        self,
        body: bytes,
        *,
        content_type: str | None,
        x_robots_tag: Sequence[str],
        want: str,
        token: str | None,
        most_links: int,
        text_digest: bool = False,
    ) -> ParsedPage:
        """As :func:`crawler.content.page.read_page`. Raises :class:`ParseFailed`; O(body), none of it on the loop."""
        asked = {
            "what": "page",
            "content_type": _plain(content_type),
            "x_robots_tag": [_plain(value) for value in x_robots_tag],
            "want": want,
            "token": token,
            "most_links": most_links,
        }

        def read(lane: _Lane) -> ParsedPage:
            nonlocal body
            digest, size = "sha256:" + hashlib.sha256(body).hexdigest(), len(body)
            text = digest_of_text(body) if text_digest else None
            if size >= BY_TAGS and want in ("html", "none"):
                essence, charset = read_charset(body, content_type)
                if essence == "text/html" and charset is not None:
                    decoded = decode(body, charset)
                    # Nothing else has it any more, if the caller has let it go.
                    body = b""
                    asked["what"] = "tags"
                    reading, hrefs, links = read_page_frames(
                        self._ask(lane, asked, text_frames(decoded), size)
                    )
                    if reading.html is None:
                        raise Garbled("no html")
                    hrefs.barred = is_barred(reading.html, x_robots_tag, token)
                    reading.charset, reading.body = charset, decoded if want == "html" else None
                    return ParsedPage(reading, hrefs, links, digest, text)
            reading, hrefs, links = read_page_frames(self._ask(lane, asked, _body_frame(body), size))
            return ParsedPage(reading, hrefs, links, digest, text)

        return await self._in_thread(read)

    async def sitemap(self, body: bytes, *, content_type: str | None, max_bytes: int, cut: bool) -> Sitemap:
        """As :func:`crawler.content.sitemap.read_sitemap`, what changed last first. Raises :class:`ParseFailed`."""
        asked = {
            "what": "sitemap",
            "content_type": _plain(content_type),
            "max_bytes": max_bytes,
            "cut": cut,
        }

        from crawler.content.sitemap import Entry, Sitemap

        def read(lane: _Lane) -> Sitemap:
            # What is compressed can grow to `max_bytes`.
            facts, entries = read_sitemap_frames(
                self._ask(lane, asked, _body_frame(body), max(len(body), max_bytes))
            )
            kind, why = facts.get("kind"), facts.get("why")
            if kind not in (None, "urlset", "index", "text", "feed"):
                raise Garbled("kind")
            found = [Entry(loc, when) for loc, when in entries]
            return Sitemap(kind, found, bool(facts.get("partial")), None if why is None else str(why))

        return await self._in_thread(read)

    @property
    def children(self) -> list[int]:
        """Process ids of the children that live."""
        return [child.pid for lane in self._lanes if (child := lane.child) is not None]

    def close(self) -> None:
        """Kill the children and end the threads. Idempotent."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(ParseFailed(_ENDING))
        for lane in self._lanes:
            lane.close()

    async def _in_thread(self, read: Callable[[_Lane], T]) -> T:
        lane = await self._turn()
        loop = asyncio.get_running_loop()
        lane.began(loop.time(), self._patience)
        lane.timer = loop.call_later(self._patience, self._look_at, lane)

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._end, lane)

        work = lane.thread.submit(self._checked, lane, read)
        # Whoever waits for it may be cancelled: the lane is at work until its thread is not.
        work.add_done_callback(ended)
        return await asyncio.wrap_future(work)

    async def _turn(self) -> _Lane:
        """A lane, first come first served: while one is at work on what has not been long, nobody else is."""
        if self._closed:
            raise ParseFailed(_ENDING)
        if not self._waiting and (lane := self._free()) is not None:
            lane.busy = True
            return lane
        waiter: asyncio.Future[_Lane] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().busy = False
                self._next()
            raise

    def _free(self) -> _Lane | None:
        """Where the next body may be read now, with a child that lives, if one may."""
        if any(lane.busy and not lane.long for lane in self._lanes):
            return None
        idle = [lane for lane in self._lanes if not lane.busy]
        return min(idle, key=lambda lane: lane.child is None, default=None)

    def _next(self) -> None:
        while self._waiting and (lane := self._free()) is not None:
            waiter = self._waiting.popleft()
            if not waiter.done():
                lane.busy = True
                waiter.set_result(lane)

    def _look_at(self, lane: _Lane) -> None:
        """It has been at work for a while: is that long?"""
        loop = asyncio.get_running_loop()
        left = lane.patience_left(loop.time())
        if left > 0:
            lane.timer = loop.call_later(left, self._look_at, lane)
            return
        lane.long = True
        self._next()

    def _end(self, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
        lane.busy = lane.long = False
        self._next()
        if not lane.busy and any(other.child is not None for other in self._lanes if other is not lane):
            # One is enough for what comes next; this one has nothing to do.
            lane.drop()

    def _checked(self, lane: _Lane, read: Callable[[_Lane], T]) -> T:
        try:
            return read(lane)
        except Garbled as error:
            lane.drop()
            raise ParseFailed(f"the parser's reply makes no sense: {error}") from error

    def _ask(
        self, lane: _Lane, asked: Mapping[str, Any], body: Iterable[bytes], size: int
    ) -> list[tuple[int, bytes]]:
        """In a lane's thread: the frames of its child's reply. ``size``: bytes that are read there."""
        child = lane.child
        if child is None:
            child = lane.child = Child()
        if self._closed:
            raise ParseFailed(_ENDING)
        task = orjson.dumps({**asked, "seconds": self._seconds})
        try:
            frames, leaving = child.ask(
                chain([frame(TASK, task)], body),
                time.monotonic() + self._seconds,
                most=_REPLY_FACTOR * size + _REPLY_LEAST,
            )
        except Late:
            lane.drop()
            raise ParseFailed(f"not parsed within {self._seconds:g} s") from None
        except Gone as gone:
            lane.drop()
            raise ParseFailed(str(gone)) from None
        except BaseException:
            lane.drop()
            raise
        if leaving:
            lane.drop()
        return frames


class _Lane:
    """A thread and its child. ``busy``: a body is being read there; ``long``: it has been for longer than others are
    to wait."""

    __slots__ = ("_cpu_until", "_thread", "_until", "busy", "child", "long", "timer")

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._until = self._cpu_until = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.child: Child | None = None
        self.busy = False
        self.long = False

    @property
    def thread(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="parser")
        return self._thread

    def began(self, now: float, patience: float) -> None:
        """A body is read from ``now`` on (seconds of the loop's clock)."""
        self._until = now + patience * _PATIENCE_ON_THE_CLOCK
        self._cpu_until = patience + (self.child.cpu() if self.child is not None else 0.0)

    def patience_left(self, now: float) -> float:
        """Seconds before which it will not have taken long."""
        cpu = self.child.cpu() if self.child is not None else 0.0
        return min(self._until - now, self._cpu_until - cpu)

    def drop(self) -> None:
        """End the child, if there is one."""
        child, self.child = self.child, None
        if child is not None:
            child.end()

    def close(self) -> None:
        if (child := self.child) is not None:
            child.kill()
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self.drop()


def _body_frame(body: bytes) -> Sequence[bytes]:
    return HEADER.pack(BODY, len(body)), body


def _plain(value: str | None) -> str | None:
    """A header as JSON takes it: bytes that are no UTF-8 (surrogates here) say nothing to a parser."""
    return None if value is None else value.encode("utf-8", "replace").decode()
