"""A job in a store, seen by who only looks: what ``status``, ``explain`` and a worker that is about to join read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from crawler.frontier.fleet import Member
from crawler.frontier.redis.address import Address
from crawler.frontier.redis.clock import ServerClock
from crawler.frontier.redis.connection import Store
from crawler.frontier.redis.ledger import Ledger
from crawler.frontier.redis.presence import salt_of
from crawler.frontier.run_state import Run
from crawler.model.frontier import Counts, FileMark, HostKnowledge, Knowledge

T = TypeVar("T")


class StoreReader:
    """As :class:`~crawler.frontier.reader.StateReader`: never writes, is no worker, holds nothing between calls. Its
    methods block; an outage of the store is a :class:`StorageError`."""

    def __init__(self, url: str, job: str) -> None:
        self._job = job
        self._runner = asyncio.Runner()
        try:
            self._store, _ = self._runner.run(Store.open(Address.of(url), job))
        except BaseException:
            self._runner.close()
            raise
        self._store.patient = False
        self._ledger = Ledger(self._store, ServerClock(time.time))

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(question)

    @property
    def salt(self) -> int:
        found = self._ask(self._store.hash_of_job())
        return salt_of(self._store, self._job, found.get(b"schema", b""), found.get(b"salt", b""))

    def run(self) -> Run | None:
        """The run under way or the last one; None also where the store does not know the job."""
        found = self._ask(self._store.hash_of_job())
        if not found:
            return None
        salt_of(self._store, self._job, found.get(b"schema", b""), found.get(b"salt", b""))
        return self._ask(self._ledger.run())

    def counts(self) -> Counts:
        """The accounting as of the last commit. O(1)."""
        return self._ask(self._ledger.counts())

    def files(self) -> Sequence[FileMark]:
        return self._ask(self._ledger.files())

    def know(self, key: bytes) -> Knowledge | None:
        return self._ask(self._ledger.know(key))

    def know_host(self, name: str) -> HostKnowledge | None:
        return self._ask(self._ledger.know_host(name))

    def hosts_below(self, domain: str) -> list[str]:
        return self._ask(self._ledger.hosts_below(domain))

    def members(self) -> Mapping[str, Member]:
        """The workers of the run, by name."""
        return self._ask(self._ledger.members())

    def close(self) -> None:
        try:
            self._ask(self._store.close())
        finally:
            self._runner.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
