"""A worker's presence in a store: there by one heartbeat, gone by its silence."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from crawler.frontier.redis.clock import ServerClock
from crawler.frontier.redis.connection import StorageAway, Store
from crawler.frontier.redis.scripts import Script
from crawler.model.errors import JobActive, StorageError

log = logging.getLogger("crawler.frontier")

SCHEMA: Final = 1
#: Heartbeats in the life of a lease: three may be lost.
_BEATS: Final = 4
#: Seconds until a heartbeat that found nobody is tried again.
_AGAIN: Final = 0.5
#: Seconds that the last words to a store may take.
_FAREWELL: Final = 5.0


class Presence:
    """``worker`` is this incarnation: where it writes, and a part that no other start has. ``life``: seconds that its
    leases outlive its last sign; ``delay``: by which hosts that it leaves behind are put off."""

    def __init__(self, store: Store, place: str, delay: float, life: float, clock: ServerClock) -> None:
        self._store = store
        self._place = place
        self.worker = f"{place}.{secrets.token_hex(4)}"
        self.delay = delay
        self.life = life
        self._clock = clock
        self._alive_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        #: By the server's clock: what it may have forgotten of who was asked when is a delay old.
        self.quiet_until = 0.0
        #: The last token given when our leases last ran out: nothing up to it is ours.
        self._lapsed = 0
        #: Called where leases have run out, and others may hold those hosts: up to which token, None: all in hand.
        self.on_expired: Callable[[int | None], None] | None = None
        #: To be called where the store has forgotten that this worker crawls; None: it doesn't.
        self.on_forgotten: Callable[[], Awaitable[None]] | None = None

    async def join(self, job: str, *, alone: bool, vacant: Sequence[str] = ()) -> int:
        """Make the job where it isn't there, and be one of its workers, the only one where that is asked for. Its
        salt. ``vacant``: further places that nobody is in. Raises :class:`JobActive`."""
        places = " ".join([self._place, *vacant])
        is_ = f"process {os.getpid()} on {socket.gethostname()}"
        while True:
            schema, salt, others, left = await self._store.ask_once(
                *(Script.JOIN, self._clock.given, self.worker, places, self.life, self.delay, is_),
                *(SCHEMA, str(secrets.randbits(64)), "1" if alone else "", ""),
            )
            salt = salt_of(self._store, job, schema, salt)
            if others:
                who = ", ".join(other.decode("utf-8", "replace") for other in others)
                raise JobActive(
                    f"another run of this job is active: {who} ({self._store}); wait for its end, or stop it"
                )
            if not left:
                return salt

    async def begin(self) -> None:
        """The heartbeat, from now on."""
        await self._beat()
        await self._note_start()
        self._tasks = [
            asyncio.create_task(self._live(), name="heartbeat"),
            asyncio.create_task(self._watch(), name="store"),
        ]

    def holds(self, seconds: float) -> bool:
        """Do our leases outlast the next ``seconds``, as far as we know? By the monotonic clock."""
        return time.monotonic() + seconds < self._alive_until

    def require(self) -> None:
        """Raises what has ended the heartbeat or the watch over the wire: without them a worker would sit there for
        good, with hosts that it may not ask."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def hear(self, lapsed: bytes) -> None:
        """Each answer says up to which token our leases have run out, in whatever order they come: what was leased
        since is ours."""
        if int(lapsed) <= self._lapsed:
            return
        if self.quiet_until < math.inf:
            # Else we have just said so ourselves.
            log.warning(
                f"{self._store}: it has not heard of this worker for {self.life:.0f} s: leases have run out"
            )
        self._lose(int(lapsed))

    async def _note_start(self) -> None:
        # A clock of a test's own says nothing of when the store was started.
        self.quiet_until = 0.0 if self._clock.given else await self._store.booted() + self.delay

    def _lose(self, lapsed: int | None) -> None:
        if lapsed is not None:
            self._lapsed = max(self._lapsed, lapsed)
        if self.on_expired is not None:
            self.on_expired(lapsed)

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(self.life / _BEATS)
            try:
                await self._beat()
            except StorageAway:
                # Whoever has a question waits for the store and says so. Until it is back our leases run out.
                await asyncio.sleep(_AGAIN)

    async def _watch(self) -> None:
        """A store that was restarted may have forgotten leases that it had given: until it is there again nothing is
        sent, and then all hosts go back, so that nobody asks one that somebody else was given."""
        while True:
            await self._store.until_lost()
            # At once, and not when they have gone back: a heartbeat that comes before that would let them be asked
            # after the moment from which the store counts their delay. Nor may a question that waits take new ones.
            self._alive_until, self.quiet_until = 0.0, math.inf
            self._lose(None)
            left = 1
            while left:
                left, lapsed = await self._store.ask(
                    Script.DROP, self._clock.given, self.worker, self.delay, ""
                )
                # What was on its way to us meanwhile has gone back too.
                self._lose(int(lapsed))
            await self._note_start()
            with suppress(StorageAway):
                await self._beat()

    async def _beat(self) -> None:
        sent, began = time.monotonic(), self._clock.began()
        # Of whatever run: presence is of the job.
        said, lapsed, is_known = await self._store.ask_once(
            Script.BEAT, self._clock.given, self.worker, self.life, self.delay, ""
        )
        self._clock.learn(began, float(said))
        if self._lapsed:
            self.hear(lapsed)
        else:
            # Who has just come has lost nothing.
            self._lapsed = int(lapsed)
        self._alive_until = sent + self.life
        if not is_known and self.on_forgotten is not None:
            await self.on_forgotten()

    async def leave(self) -> None:
        """Give back every lease still held, each host due no earlier than one delay from now. Where the store is away
        they run out by themselves."""
        left = set(self._tasks)
        while left:
            # Again, until it is heard: the client may swallow one that comes with the end of its own timeout.
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_AGAIN)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_FAREWELL):
                while await self._store.ask_once(
                    Script.LEAVE, self._clock.given, self.worker, self.delay, ""
                ):
                    pass
        except (StorageError, TimeoutError) as error:
            log.warning(f"{self._store}: hosts in hand go back when their leases run out ({error})")


def salt_of(store: Store, job: str, schema: bytes, salt: bytes) -> int:
    """The salt of a job whose schema is ours. Raises :class:`StorageError`."""
    try:
        version, number = int(schema), int(salt)
    except ValueError:
        version = number = -1
    if version > SCHEMA:
        raise StorageError(
            f"{store}: the state of job {job} was made by a newer crawler (schema {version}, this one knows"
            f" {SCHEMA}): update this one, or give the job another name"
        )
    if version != SCHEMA or not 0 <= number < 1 << 64:
        raise StorageError(
            f"{store}: the state of job {job} is damaged (schema {schema!r:.40}); give the job another name"
        )
    return number
