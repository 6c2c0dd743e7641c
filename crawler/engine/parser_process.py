"""``python -m crawler.engine.parser_process``: the child that parses what might take too long, and does nothing else.

Law: it can be killed at any instant and nobody is worse off. It has two pipes and no other descriptor, ends with its
parent (by the kernel where there is ``prctl``, at the next read where not), bounds its own memory and time, and reads
one task after the other. Bytes in, plain data out (:mod:`crawler.engine.parser_wire`).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final

import orjson

from crawler.content.page import PageReading, read_page
from crawler.content.tags import Tags
from crawler.engine.parser_wire import (
    BODY,
    END,
    HEADER,
    READY,
    SLICE,
    TASK,
    frame,
    page_frames,
    sitemap_frames,
)

#: Bytes of address space that a page may take beside what is held before: by its own bytes, and at least. As
#: a tree, pages of 10 MiB took 110 MiB (manuals) and 190 (links alone), hostile ones 80 times their size; a
#: megabyte of NULs, each of them an error that the parser keeps, 50. Read by its tags a page takes its links alone, or
#: what there is in it without a tag: 40 MiB at worst.
_MEMORY_FACTOR: Final = 32
_LEAST_MEMORY: Final = 64 * 1024 * 1024
#: The same for a sitemap, which is read as a stream: 50,000 entries, or 10 MiB in another charset than UTF-8.
_SITEMAP_MEMORY: Final = 320 * 1024 * 1024
#: Bytes: grown by more than this since it began it ends after its reply, and the next one starts small. Pages that
#: leave little behind take it from 17 MiB to 25, and from more where libraries are larger: no fixed size would do.
GROWN: Final = 10 * 1024 * 1024
#: Seconds beyond the deadline, by which the parent should long have killed it.
_SPARE: Final = 2.0
_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Serve until the pipe ends."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # These are for the crawl, which lets what is in flight come home and then ends this.
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _end_with(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write(sink, frame(READY))
    large = _resident() + GROWN
    while True:
        task = _frame(source, TASK)
        if task is None:
            return
        asked = orjson.loads(task)
        _bound_time(asked["seconds"])
        if asked["what"] == "tags":
            _bound_memory(_LEAST_MEMORY)
            if not _read_tags(source, sink, asked, large):
                return
            continue
        body = _frame(source, BODY)
        if body is None:
            return
        if asked["what"] == "page":
            _bound_memory(max(_LEAST_MEMORY, _MEMORY_FACTOR * len(body)))
        else:
            _bound_memory(_SITEMAP_MEMORY)
        if not _answer(sink, _reply(asked, body), large):
            return


def _read_tags(source: int, sink: int, asked: dict[str, Any], large: int) -> bool:
    """Read a page as its text comes, none of which is kept. False: this is to end."""
    tags = Tags(asked["token"], most_links=asked["most_links"])
    while True:
        head = _read(source, HEADER.size)
        if head is None:
            return False
        kind, size = HEADER.unpack(head)
        if kind == END:
            break
        assert kind == SLICE
        piece = _read(source, size)
        if piece is None:
            return False
        tags.feed(piece.decode("utf-8", "surrogatepass"))
    reading = PageReading("text/html", html=tags.close())
    return _answer(sink, page_frames(reading, asked["most_links"], tags.links), large)


def _answer(sink: int, parts: Iterator[bytes], large: int) -> bool:
    """Send a reply and its end. False: this has grown, and is to end."""
    for part in parts:
        _write(sink, part)
    signal.setitimer(signal.ITIMER_REAL, 0)
    leaving = _resident() > large
    _write(sink, frame(END, b"\1" if leaving else b""))
    return not leaving


def _reply(asked: dict[str, Any], body: bytes) -> Iterator[bytes]:
    if asked["what"] == "page":
        reading = read_page(
            body,
            content_type=asked["content_type"],
            x_robots_tag=asked["x_robots_tag"],
            want=asked["want"],
            token=asked["token"],
            # The crawl has looked; the automaton would be 8 MiB of this process and 40 ms of its first page.
            plain=False,
        )
        return page_frames(reading, asked["most_links"])
    # lxml is 8 MiB, and most children never meet a sitemap.
    from crawler.content.sitemap import newest_first, read_sitemap

    sitemap = read_sitemap(body, asked["content_type"], max_bytes=asked["max_bytes"], cut=asked["cut"])
    facts = {"kind": sitemap.kind, "partial": sitemap.partial, "why": sitemap.why}
    return sitemap_frames(facts, newest_first(sitemap.entries))


def _end_with(parent: int) -> None:
    """End when the thread that started this one does: it lives as long as the crawl."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # It died before the kernel was told.
            os._exit(0)


def _bound_memory(more: int) -> None:
    with open("/proc/self/statm", "rb") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = held + more
    resource.setrlimit(
        resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def _bound_time(seconds: float) -> None:
    """Whatever becomes of the parent: the kernel ends this, and needs no interpreter for it."""
    signal.setitimer(signal.ITIMER_REAL, seconds + _SPARE)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + seconds + _SPARE) + 1
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def _resident() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def _frame(source: int, kind: int) -> bytes | None:
    """The next frame's payload; None at the pipe's end."""
    head = _read(source, HEADER.size)
    if head is None:
        return None
    found, size = HEADER.unpack(head)
    assert found == kind
    return _read(source, size)


def _read(source: int, size: int) -> bytes | None:
    pieces = []
    while size:
        piece = os.read(source, min(size, 1024 * 1024))
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


if __name__ == "__main__":
    main()
