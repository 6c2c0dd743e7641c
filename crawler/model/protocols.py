"""What the engine needs of the rooms below it, and the three plain callables a library user may give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from crawler.model.exchange import Exchange
from crawler.model.frontier import Counts, FileMark, Held, Knowledge, RobotsEntry, Settled, Settlement, Taken
from crawler.model.request import Request
from crawler.model.response import Response
from crawler.model.results import Result

#: One line of output: the fields of the record ``page/1``, flat.
Record = Mapping[str, Any]


class Frontier(Protocol):
    """Everything known, and who may ask whom (after crawler-commons' URL Frontier API).

    Every method is atomic and raises :class:`~crawler.model.errors.StorageError` when the store cannot be
    read or written. ``now`` is Unix seconds.
    """

    async def add(self, requests: Sequence[Request]) -> int:
        """Put in what is not known; answer how many were new.

        A known, pending URL gets the smaller depth and priority of the two. A URL first found by a link and now
        given as a seed counts as a seed.
        """
        ...

    async def take(
        self,
        now: float,
        hosts: int,
        urls_per_host: int,
        *,
        held: Sequence[Held] = (),
        wanted: Sequence[str] = (),
    ) -> Taken:
        """Lease up to ``hosts`` due hosts with up to ``urls_per_host`` URLs each, earliest due first.

        ``held`` asks for further URLs of leases in hand (answered with ``refill`` set, none of ``keys`` among
        them). ``wanted`` names hosts to lease whether or not they have URLs (a robots.txt that redirects
        there), if nobody else holds them, due or not: the lease says when they may be asked.
        """
        ...

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        """One transaction, all or nothing, fenced by ``settlement.leases`` and the files' start positions."""
        ...

    async def counts(self) -> Counts: ...

    async def know(self, key: bytes) -> Knowledge | None: ...

    async def files(self) -> Sequence[FileMark]:
        """The stored position of every output file of this run."""
        ...

    async def close(self) -> None:
        """Give back every lease still held and close the store. Idempotent."""
        ...


@runtime_checkable
class Expiring(Protocol):
    """What a frontier has beside that whose leases run out when it has not heard of their holder for a while."""

    #: Called where leases have run out, and others may hold those hosts: up to which token, None: all in hand.
    on_expired: Callable[[int | None], None] | None
    #: Called with hosts in our hands that others want, to be given back when what is in flight has come.
    on_recalled: Callable[[Sequence[str]], None] | None

    def holds(self, seconds: float) -> bool:
        """Do our leases outlast the next ``seconds``, by the monotonic clock? O(1)."""
        ...


@runtime_checkable
class RobotsKeeper(Protocol):
    """A frontier that can be asked for a robots.txt that was settled: without it one whose rules had to go is asked of
    its server anew."""

    async def robots(self, origin: str) -> RobotsEntry | None: ...


class Sink(Protocol):
    """Where records go. A sink that isn't a file may answer ``()`` from :meth:`flush` and do nothing in the rest."""

    async def write(self, records: Sequence[Record]) -> None:
        """Take records in; they need not be durable yet."""
        ...

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        """Make everything written durable and say how far each file is true; ``last`` closes the open part."""
        ...

    async def settled(self) -> None:
        """The frontier has stored what the last :meth:`flush` said: parts it closed may get their final name."""
        ...

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        """The frontier refused: it says how far the ``files`` are true, and which records are still to be written.

        Everything behind the stored positions goes. ``kept`` has an entry for each record written since the last
        settled flush, in their order: those that are true are written again, behind the stored position. Raises
        :class:`~crawler.model.errors.StorageError` where a file is shorter than its stored position.
        """
        ...

    async def close(self) -> None: ...


class Archive(Sink, Protocol):
    """A sink that keeps the HTTP messages too."""

    async def archive(self, records: Sequence[Record], exchanges: Sequence[Exchange | None]) -> None:
        """As :meth:`write`, each record with its messages, where it has any."""
        ...


class Fetcher(Protocol):
    """One question, one answer."""

    async def fetch(self, request: Request) -> Response:
        """Ask. Raises :class:`~crawler.model.errors.FetchError` only."""
        ...

    async def close(self) -> None: ...


#: May this link be followed? ``None`` says yes; a text says no and names the rule.
ScopeRule = Callable[[Request], str | None]
#: When to ask again (Unix seconds), or ``None`` when this result is final.
NextVisit = Callable[[Result, float], float | None]
#: Called with every final result and its record, before it is written.
OnResult = Callable[[Result, Record], Awaitable[None] | None]
