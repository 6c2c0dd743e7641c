"""The last published run beside the one under way: its URLs, as its settlements left them, under its own generation.

A published run's keys are kept, not copied: what is remembered of an answer was written with the position of its part,
by the same script. It is looked through by cursor, about a thousand URLs a script; so an id here is a URL's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from crawler.frontier.packed import unpack
from crawler.frontier.recall import Before, Carried, Earlier, Slice
from crawler.frontier.redis.ledger import Ledger
from crawler.frontier.redis.scripts import Script
from crawler.frontier.redis.values import read_request, read_validators
from crawler.frontier.rows import encode
from crawler.model.reasons import Outcome, Reason

_KEY_BYTES: Final = 16
_EARLIER_FIELDS: Final = 11
_RECALL_FIELDS: Final = 6
#: URLs of one script: 1,000 to be carried over take it 15 ms.
_CARRIED: Final = 1_000
_END: Final = b"0"


class Published:
    """As :class:`~crawler.frontier.recall.Recall` has it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def remembers(self) -> bool:
        return bool(await self._ledger.store.field_of_job("meta", "earlier"))

    async def earlier(self, after: int) -> Slice:
        return self._slice(*await self._ledger.ask(Script.EARLIER, after))

    async def unnamed(self, after: int) -> Slice:
        """O(what was no page), and where some of that is not known now O(URLs of this run): 5 microseconds each of the
        store's."""
        if after == 0:
            await self._index()
            if not await self._is_any_unnamed():
                return Slice([], None)
            await self._to_the_end(Script.UNREAD)
        return self._slice(*await self._ledger.ask(Script.UNNAMED, after, 0))

    async def _is_any_unnamed(self) -> bool:
        cursor: Any = _END
        while True:
            cursor, rows = await self._ledger.ask(Script.UNNAMED, cursor, 1)
            if rows or cursor == _END:
                return bool(rows)

    def _slice(self, cursor: bytes, rows: Sequence[Any]) -> Slice:
        with self._ledger.unsound():
            pages = [
                _read_earlier(*rows[at : at + _EARLIER_FIELDS]) for at in range(0, len(rows), _EARLIER_FIELDS)
            ]
        return Slice(pages, None if cursor == _END else int(cursor))

    async def seeds_among(self, keys: Sequence[bytes]) -> set[bytes]:
        places = await self._ledger.ask(Script.SEEDS, b"".join(keys))
        return {keys[place] for place in places}

    async def carry(self, pages: Sequence[Carried]) -> int:
        new = 0
        for at in range(0, len(pages), _CARRIED):
            some = pages[at : at + _CARRIED]
            rows = encode([[one.scope, one.refused or "", one.detail, int(one.whole)] for one in some])
            keys = b"".join(one.id.to_bytes(_KEY_BYTES) for one in some)
            new += await self._ledger.ask(Script.CARRY, self._ledger.clock.given, rows, keys)
        return new

    async def read_whole(self) -> None:
        """O(URLs of both runs)."""
        if await self._to_the_end(Script.LEFT):
            await self._to_the_end(Script.WHOLE)

    async def _to_the_end(self, script: Script) -> Any:
        """Ask ``script`` through all URLs; what it says beside its cursor at the end."""
        cursor: Any = _END
        while True:
            answer = await self._ledger.ask(script, cursor)
            cursor, said = answer if isinstance(answer, list) else (answer, None)
            if cursor == _END:
                return said

    async def recall(self, keys: Sequence[bytes]) -> Mapping[bytes, Before]:
        """One look-up a key, 3 microseconds of the store's."""
        rows = await self._ledger.ask(Script.RECALL, b"".join(keys))
        with self._ledger.unsound():
            return {
                keys[rows[at]]: _read_before(*rows[at + 1 : at + _RECALL_FIELDS])
                for at in range(0, len(rows), _RECALL_FIELDS)
            }

    async def below(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[str]]:
        """Two look-ups a key, and one a URL below; the first time of a run, O(URLs of the last published one)."""
        asked = b"".join(keys)
        while (rows := await self._ledger.ask(Script.BELOW, asked)) is None:
            await self._index()
        below: dict[bytes, list[str]] = {}
        with self._ledger.unsound():
            for at in range(0, len(rows), 2):
                below.setdefault(keys[rows[at]], []).append(orjson.loads(rows[at + 1])[0])
        return below

    async def _index(self) -> None:
        while not await self._ledger.ask(Script.INDEX):
            pass

    async def add_texts(self, digests: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        if digests:
            await self._ledger.ask(Script.TEXTS, *(b"".join(column) for column in zip(*digests, strict=True)))


def _read_before(outcome: bytes, reason: bytes, status: int, valid: bytes, memory: bytes) -> Before:
    return Before(
        Outcome(outcome.decode()),
        Reason(reason.decode()) if reason else None,
        status or None,
        unpack(memory, *read_validators(valid)),
    )


def _read_earlier(
    key: bytes, depth: int, seed: int, fixed: bytes, route: bytes, valid: bytes, *rest: Any
) -> Earlier:
    outcome, reason, status, memory, is_seed_now = rest
    request = read_request(key, depth, depth, seed, 0, fixed, route, b"")
    if seed:
        request = replace(request, seed=request.url)
    before = _read_before(outcome, reason, status, valid, memory)
    return Earlier(int.from_bytes(key), request, before, None if is_seed_now < 0 else bool(is_seed_now))
