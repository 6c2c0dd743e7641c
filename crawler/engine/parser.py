"""Parsing off the loop, with a deadline that holds: what is large or suspicious is read by a child that can be killed.

Law: an ordinary page never comes here. On the loop stays what costs it 10 ms at worst (:func:`is_heavy` has the
figures); the rest goes to one of two children, started at first need, through a thread that owns its child: it writes,
waits and kills, so that neither a page nor a pipe can hold the loop. A child that is late, too large or broken is
killed by its id, its page has failed, and the next page gets a new one.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from crawler.content.charset import decode
from crawler.content.main_text import text_digest as digest_of_text
from crawler.content.page import PageReading, bar, is_text, read_charset, read_essence, sniff_type
from crawler.engine.parser_wire import (
    BODY,
    END,
    HEADER,
    READY,
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
#: Children at once. Each is 17 MiB when idle, and they have two cores at most to run on beside the loop.
_CHILDREN: Final = 2
#: Seconds until a new child says that it is ready; 0.3 on a quiet machine.
_START: Final = 30.0
#: Bytes of a reply: a text in which each byte has become U+FFFD is three times its body, and links stand beside it.
_REPLY_FACTOR: Final = 8
_REPLY_LEAST: Final = 4 * 1024 * 1024
_PIPE: Final = 1024 * 1024


class ParseFailed(Exception):
    """No reading within the bounds; the text says to a person which one."""


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """``links`` counts them all, where ``reading`` has the first ``most_links``; ``digest`` is sha256 of the body,
    ``text_digest`` of its main text where that was wanted."""

    reading: PageReading
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
    """Two threads and their children. ``seconds``: what reading one body may take, the wait for a child not counted."""

    def __init__(self, seconds: float, *, children: int = _CHILDREN) -> None:
        self._seconds = seconds
        self._most = children
        self._threads: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._children: set[_Child] = set()
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

        def read() -> ParsedPage:
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            text = digest_of_text(body) if text_digest else None
            if len(body) >= BY_TAGS and want in ("html", "none"):
                essence, charset = read_charset(body, content_type)
                if essence == "text/html" and charset is not None:
                    decoded = decode(body, charset)
                    asked["what"] = "tags"
                    reading, links = read_page_frames(self._ask(asked, text_frames(decoded), len(body)))
                    if reading.html is None:
                        raise Garbled("no html")
                    bar(reading.html, x_robots_tag, token)
                    reading.charset, reading.body = charset, decoded if want == "html" else None
                    return ParsedPage(reading, links, digest, text)
            reading, links = read_page_frames(self._ask(asked, _body_frame(body), len(body)))
            return ParsedPage(reading, links, digest, text)

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

        def read() -> Sitemap:
            # What is compressed can grow to `max_bytes`.
            facts, entries = read_sitemap_frames(
                self._ask(asked, _body_frame(body), max(len(body), max_bytes))
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
        return [child.pid for child in list(self._children)]

    def close(self) -> None:
        """Kill the children and end the threads. Idempotent."""
        self._closed = True
        for child in list(self._children):
            child.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for child in list(self._children):
            self._children.discard(child)
            child.end()

    async def _in_thread(self, read: Callable[[], T]) -> T:
        if self._closed:
            raise ParseFailed("the crawl is ending")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="parser")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._checked, read)

    def _checked(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except Garbled as error:
            self._drop()
            raise ParseFailed(f"the parser's reply makes no sense: {error}") from error

    def _ask(self, asked: Mapping[str, Any], body: Iterable[bytes], size: int) -> list[tuple[int, bytes]]:
        """In a thread: the frames of the reply of this thread's child. ``size``: bytes that are read there."""
        child: _Child | None = getattr(self._own, "child", None)
        if child is None:
            if self._closed:
                raise ParseFailed("the crawl is ending")
            child = self._own.child = _Child()
            self._children.add(child)
        task = orjson.dumps({**asked, "seconds": self._seconds})
        try:
            frames, leaving = child.ask(
                chain([frame(TASK, task)], body),
                time.monotonic() + self._seconds,
                most=_REPLY_FACTOR * size + _REPLY_LEAST,
            )
        except _Late:
            self._drop()
            raise ParseFailed(f"not parsed within {self._seconds:g} s") from None
        except _Gone as gone:
            self._drop()
            raise ParseFailed(str(gone)) from None
        except BaseException:
            self._drop()
            raise
        if leaving:
            self._drop()
        return frames

    def _drop(self) -> None:
        child: _Child | None = getattr(self._own, "child", None)
        if child is not None:
            self._own.child = None
            self._children.discard(child)
            child.end()


class _Late(Exception):
    """The deadline has passed."""


class _Gone(Exception):
    """The child has ended; the text says how."""


class _Child:
    """One process and its two pipes. Belongs to one thread, which is also what its life hangs on (``prctl``).

    Raises :class:`OSError` where no process can be started.
    """

    def __init__(self) -> None:
        # The same modules as here, whatever the working folder holds, and nothing of the environment: a password may
        # stand in it. Small arenas, given back at once.
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_TRIM_THRESHOLD_": "1048576",
        }
        environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "crawler.engine.parser_process", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            close_fds=True,
            env=environment,
            # Ctrl-C in a terminal goes to every process of the group.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._to, self._from):
            os.set_blocking(pipe, False)
            with suppress(OSError, AttributeError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self, task: Iterable[bytes], deadline: float, *, most: int
    ) -> tuple[list[tuple[int, bytes]], bool]:
        """The reply's frames before ``END``, and whether the child ends by itself now.

        ``deadline``: seconds of ``time.monotonic()``; the start of a new child is not counted. ``most``: bytes of the
        whole reply. Raises :class:`_Late`, :class:`_Gone`, :class:`Garbled`.
        """
        if not self._ready:
            began = time.monotonic()
            kind, _ = self._frame(began + _START, 0)
            if kind != READY:
                raise Garbled("not ready")
            self._ready = True
            deadline += time.monotonic() - began
        for part in task:
            self._write(part, deadline)
        frames: list[tuple[int, bytes]] = []
        while True:
            kind, payload = self._frame(deadline, most)
            if kind == END:
                return frames, payload != b""
            most -= len(payload)
            frames.append((kind, payload))

    def kill(self) -> None:
        """May be called from any thread; whoever waits for a reply hears :class:`_Gone`."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, if it is still there, and reap it. Idempotent."""
        process = self._process
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()

    def _frame(self, deadline: float, most: int) -> tuple[int, bytes]:
        kind, size = HEADER.unpack(self._read(HEADER.size, deadline))
        if size > most:
            raise Garbled(f"more than {most} bytes")
        return kind, self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        pieces = []
        while size:
            try:
                piece = os.read(self._from, min(size, _PIPE))
            except BlockingIOError:
                _wait(self._from, select.POLLIN, deadline)
                continue
            if not piece:
                raise self._gone()
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                _wait(self._to, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise self._gone() from None

    def _gone(self) -> _Gone:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return _Gone("the parser closed its pipe")
        if code == 1:
            # An exception in the child: MemoryError, as everything read_page says of itself is that it never raises.
            return _Gone("the parser ran out of memory")
        return _Gone(f"the parser ended by signal {-code}" if code < 0 else f"the parser ended with {code}")


def _wait(descriptor: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _Late
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll(left * 1000)


def _body_frame(body: bytes) -> Sequence[bytes]:
    return HEADER.pack(BODY, len(body)), body


def _plain(value: str | None) -> str | None:
    """A header as JSON takes it: bytes that are no UTF-8 (surrogates here) say nothing to a parser."""
    return None if value is None else value.encode("utf-8", "replace").decode()
