"""The workers of a run, as the store tells each of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from crawler.frontier.fleet import Carrying, Closed, Closing, Member, Role, Session, Verdict
from crawler.frontier.redis.ledger import Ledger
from crawler.frontier.redis.presence import Presence
from crawler.frontier.redis.scripts import Script
from crawler.model.errors import StorageError


class Fellows:
    """A :class:`~crawler.frontier.fleet.Fleet` in a store."""

    def __init__(self, ledger: Ledger, presence: Presence) -> None:
        self._ledger = ledger
        self._presence = presence
        self._question = 0
        #: How many workers crawl, as of our last question.
        self.present = 1
        self._name = ""
        self._who = b""
        self._seeds = ""
        self._role = Role.WORKER

    async def enlist(self, name: str, who: Mapping[str, Any], seeds: str, role: Role = Role.WORKER) -> bool:
        # A lead's role stands with who it is as well, for whoever looks at the members.
        told = {**who, "role": role} if role is Role.LEAD else who
        self._name, self._who, self._seeds, self._role = name, orjson.dumps(told), seeds, role
        self._presence.on_forgotten = self._enlist_again
        return await self._enlist() >= 0

    async def _enlist(self) -> int:
        others: int = await self._ledger.ask(
            *(Script.ENLIST, self._ledger.clock.given, self._presence.worker),
            *(self._name, self._who, self._seeds, self._role),
        )
        return others

    async def _enlist_again(self) -> None:
        """The store has forgotten what it had acknowledged."""
        with suppress(StorageError):
            # Where the run is gone, whoever has a question says so.
            await self._enlist()

    async def seeds_read(self) -> bool:
        # What was acknowledged may be forgotten until it is on the store's disk; what is there was written in order.
        durable = False
        await self._ledger.ask(Script.SEEDED, self._name, "read")
        while not durable:
            durable = await self._ledger.store.is_durable()
        kept: int = await self._ledger.ask(Script.SEEDED, self._name, "kept")
        if kept:
            self._seeds = ""
        return bool(kept)

    async def carrying(self) -> Carrying:
        return await self._carry("ask")

    async def carried_over(self) -> bool:
        await self._carry("carried")
        while not await self._ledger.store.is_durable():
            pass
        return await self._carry("kept") is Carrying.DONE

    async def _carry(self, step: str) -> Carrying:
        said: bytes = await self._ledger.ask(
            Script.CARRIER, self._ledger.clock.given, self._presence.worker, step
        )
        with self._ledger.unsound():
            return Carrying(said.decode())

    async def amend(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        while True:
            before = (await self._ledger.store.hash_of_job()).get(b"extra", b"")
            with self._ledger.unsound():
                now = change(dict(orjson.loads(before)) if before else {})
            written: int = await self._ledger.ask(Script.NOTE, 1, orjson.dumps(now), 0, before)
            if written == 0:
                raise ValueError("no run has begun")
            if written == 1:
                return now

    async def tell(self, account: Mapping[str, Any]) -> None:
        await self._ledger.ask(Script.TELL, self._presence.worker, orjson.dumps(account))

    async def close_run(self, run_id: str, looked_for: Sequence[str]) -> Closed:
        # Of no generation: the run's verdict is there for who comes to ask when another has begun.
        what, open_parts, owing = await self._ledger.store.ask(
            Script.CLOSE,
            *(self._ledger.clock.given, self._presence.worker, run_id, " ".join(looked_for), ""),
        )
        with self._ledger.unsound():
            return Closed(
                Closing(what.decode()),
                [name.decode() for name in open_parts],
                {owing[at].decode(): owing[at + 1].decode() for at in range(0, len(owing), 2)},
            )

    async def decide(
        self, run_id: str, verdict: Verdict, extra: Mapping[str, Any], *, finished: bool
    ) -> bool:
        done: int = await self._ledger.ask(
            Script.DECIDE,
            *(self._presence.worker, run_id, verdict.code, orjson.dumps(verdict.manifest)),
            *(orjson.dumps(extra), int(finished)),
        )
        return bool(done)

    async def verdict(self, run_id: str) -> Verdict | None:
        found = await self._ledger.store.hash_of_job("verdict")
        with self._ledger.unsound():
            if found.get(b"run_id") != run_id.encode():
                return None
            return Verdict(int(found[b"code"]), dict(orjson.loads(found[b"manifest"])))

    async def members(self) -> Mapping[str, Member]:
        return await self._ledger.members()

    async def abandon(self, name: str) -> int | None:
        back: int = await self._ledger.ask(Script.ABANDON, self._ledger.clock.given, name)
        return None if back == -1 else max(back, -1)

    async def accounts(self) -> Sequence[Mapping[str, Any]]:
        found = await self._ledger.store.hash_of_run(self._ledger.generation, "accounts")
        with self._ledger.unsound():
            return [dict(orjson.loads(text)) for _, text in sorted(found.items())]

    async def pages(self, most: int, number: int) -> tuple[int, int]:
        self._question += 1
        granted, left = await self._ledger.ask(
            Script.PAGES, self._presence.worker, self._question, most, number
        )
        return granted, left

    async def session(self) -> Session:
        found = await self._ledger.store.hash_of_run(self._ledger.generation, "session")
        with self._ledger.unsound():
            began = float(found[b"began"])
            return Session(self._ledger.clock.heard(began), int(found[b"wire_bytes"]))
