"""NDJSON with the HTTP messages beside it: WARC parts, a CDXJ index of each, and where in them each record's answer is.

Law: the three are one sink. They are flushed before the same settlement, which carries a position of each; they are
closed together and cut back together, so that no file has what another lacks. What goes into the WARC stands in it
before the line that points there is written.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

import orjson

from crawler.model.exchange import Exchange
from crawler.model.frontier import FileMark
from crawler.model.protocols import Record
from crawler.model.settings import Output
from crawler.sink.line import encode
from crawler.sink.ndjson import NdjsonSink
from crawler.sink.record import timestamp
from crawler.sink.series import PartSeries, SortedSeries, storage_error
from crawler.sink.warc import Capture, Original, capture, info, info_id

WARC: Final = ".warc.gz"
CDXJ: Final = ".cdxj"

#: Payloads remembered, to which later ones may refer: about 400 bytes each, and the oldest goes first.
_REMEMBERED: Final = 50_000
#: Bytes of an index, which is sorted in memory, after which its part is closed.
_LONGEST_INDEX: Final = 32 * 1024 * 1024
_COPIED: Final = 1024 * 1024


def is_archive(name: str) -> bool:
    """Is this file part of an archive, and not of the records?"""
    return name.endswith((WARC, CDXJ))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A capture that no settlement has covered yet, but for its bytes: they are in the file at ``start``."""

    start: int
    capture: Capture

    @property
    def answer(self) -> tuple[int, int]:
        """Offset and length of the response."""
        lead = self.capture.lead
        return self.start + lead, self.capture.length - lead


class ArchivingSink:
    """An :class:`~crawler.sink.ndjson.NdjsonSink` and two further series of parts. ``facts`` go into the warcinfo
    record of each file."""

    #: A body may be bytes: see :func:`crawler.sink.record.record_of`.
    takes_bytes = True

    def __init__(
        self,
        folder: Path,
        settings: Output,
        *,
        run_id: str,
        facts: Mapping[str, str],
        worker: int | str = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._run_id = run_id
        self._facts = facts
        self._now = now
        self._lines = NdjsonSink(folder, settings, worker=worker, clock=clock)
        self._warc = PartSeries(folder, r"\.warc\.gz", worker=worker, clock=clock)
        self._index = SortedSeries(folder, r"\.cdxj", worker=worker, clock=clock)
        self._known: OrderedDict[bytes, Original] = OrderedDict()
        self._unsettled: list[_Placed | None] = []
        self._waiting: list[tuple[Sequence[Record], Sequence[Exchange | None]]] = []
        self._closing = False

    async def open(self, marks: Sequence[FileMark]) -> None:
        """As :meth:`NdjsonSink.open`, for all three."""
        for series in (self._lines, self._warc, self._index):
            await series.open(marks)

    async def write(self, records: Sequence[Record]) -> None:
        await self.archive(records, [None] * len(records))

    async def archive(self, records: Sequence[Record], exchanges: Sequence[Exchange | None]) -> None:
        """Take records in, each with its messages where there are any. O(bytes); hashes and compression in a thread."""
        if self._closing:
            # Parts that are being closed take nothing in any more.
            self._waiting.append((records, exchanges))
            return
        placed: list[_Placed | None] = [None] * len(records)
        if any(exchange is not None for exchange in exchanges):
            await self._begin()
            captures = await asyncio.to_thread(self._captures, records, exchanges)
            placed = await self._place(captures)
        self._unsettled += placed
        for record, one in zip(records, placed, strict=True):
            if self._settings.warc:
                offset, length = one.answer if one is not None else (None, None)
                name = self._warc.name if one is not None else None
                record = {**record, "warc_file": name, "warc_offset": offset, "warc_length": length}
            await self._lines.write([record])

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        size = self._settings.part_size
        closing = last or self._lines.full or self._warc.end >= size or self._index.end >= _LONGEST_INDEX
        marks = [
            *await self._warc.flush(closing=closing),
            *await self._index.flush(closing=closing),
            *await self._lines.flush(last=closing),
        ]
        self._closing = closing and bool(marks)
        return marks

    async def settled(self) -> None:
        for series in (self._warc, self._index, self._lines):
            await series.settled()
        for one in self._unsettled:
            # Only now: what is not settled may be cut off, and a reference to it would lead nowhere.
            if one is not None and one.capture.digest is not None:
                self._remember(one.capture.digest, one.capture.original)
        self._unsettled.clear()
        self._closing = False
        waiting, self._waiting = self._waiting, []
        for records, exchanges in waiting:
            await self.archive(records, exchanges)

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        """As :meth:`NdjsonSink.cut_back`; lines that stay point to where their answers stand then."""
        placed, self._unsettled = self._unsettled, []
        written = kept[: len(placed)]
        stays = [one for one, keep in zip(placed, written, strict=True) if keep]
        self._warc.refuse_forgotten(files)
        self._index.refuse_forgotten(files)
        before = self._warc.mark
        try:
            with tempfile.TemporaryFile(dir=self._folder) as spill:
                await asyncio.to_thread(self._spill, spill, [one for one in stays if one is not None])
                for series in (self._warc, self._index):
                    await series.go_back(files)
                if self._warc.mark.end != before.end or self._warc.mark.name != before.name:
                    # What the store has forgotten, nothing may refer to.
                    self._known.clear()
                moved = [await self._put_back(one, spill) for one in stays]
        except OSError as error:
            raise storage_error(error, self._folder) from error
        self._unsettled = moved
        places = iter(moved)
        name = self._warc.name

        def change(line: bytes) -> bytes:
            one = next(places)
            if one is None:
                return line
            offset, length = one.answer
            place = {"warc_file": name, "warc_offset": offset, "warc_length": length}
            return encode({**orjson.loads(line), **place})

        self._closing = False
        await self._lines.cut_back(files, written, change=change)
        waiting, self._waiting = self._waiting, []
        rest = list(kept[len(placed) :])
        for records, exchanges in waiting:
            pairs = [pair for pair in zip(records, exchanges, strict=True) if rest.pop(0)]
            await self.archive([record for record, _ in pairs], [exchange for _, exchange in pairs])

    async def close(self) -> None:
        for series in (self._lines, self._warc, self._index):
            await series.close()

    async def _begin(self) -> None:
        """Open the parts that are not, each WARC with its warcinfo record."""
        if not self._warc.is_open:
            await self._warc.begin(WARC)
        if not self._index.is_open:
            await self._index.begin(CDXJ)
        if self._warc.end == 0:
            head = info(self._warc.name, self._run_id, timestamp(self._now()), self._facts)
            await self._warc.append(head, 1)

    def _captures(
        self, records: Sequence[Record], exchanges: Sequence[Exchange | None]
    ) -> list[Capture | None]:
        infos = info_id(self._warc.name, self._run_id)
        return [
            capture(record, exchange, infos, self._find) if exchange is not None else None
            for record, exchange in zip(records, exchanges, strict=True)
        ]

    async def _place(self, captures: Sequence[Capture | None]) -> list[_Placed | None]:
        """Write captures at the end of the open parts."""
        at = self._warc.end
        placed: list[_Placed | None] = []
        data, lines = [], []
        for one in captures:
            if one is None:
                placed.append(None)
                continue
            placed.append(_Placed(at, replace(one, data=b"")))
            lines.append(one.index_line(at + one.lead, self._warc.name))
            data.append(one.data)
            at += one.length
        await self._warc.append(b"".join(data), 2 * len(data))
        await self._index.append(b"".join(lines), len(lines))
        return placed

    async def _put_back(self, one: _Placed | None, spill: IO[bytes]) -> _Placed | None:
        if one is None:
            return None
        await self._begin()
        at = self._warc.end
        left = one.capture.length
        while left:
            piece = spill.read(min(left, _COPIED))
            await self._warc.append(piece, 0)
            left -= len(piece)
        self._warc.rows += 2
        moved = _Placed(at, one.capture)
        await self._index.append(one.capture.index_line(moved.answer[0], self._warc.name), 1)
        return moved

    def _spill(self, spill: IO[bytes], stays: Sequence[_Placed]) -> None:
        """The captures that stay, one after the other, to be read from the start."""
        if stays:
            with open(self._warc.path, "rb") as part:
                for one in stays:
                    part.seek(one.start)
                    left = one.capture.length
                    while left:
                        piece = part.read(min(left, _COPIED))
                        spill.write(piece)
                        left -= len(piece)
        spill.seek(0)

    def _find(self, digest: bytes) -> Original | None:
        return self._known.get(digest)

    def _remember(self, digest: bytes, original: Original) -> None:
        known = self._known
        known[digest] = original
        if len(known) > _REMEMBERED:
            known.popitem(last=False)
