"""What the engine and a frontier say to each other: leases out, settlements in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host has taught us, kept between leases, starts and runs. Times are Unix seconds.

    ``due``: the next moment it may be asked. ``mean``: smoothed answer time in seconds, 0 when unknown.
    ``backoff``: seconds of the slow-down in force after 429 or 503, 0 when none; ``troubled_at``: when that
    incident was last seen. ``failures``: connection failures in a row. ``pages``: answers had in this run.
    ``crawl_delay``: the longest Crawl-delay its robots.txt asks of us, seconds.
    ``closed``: the reason its pending URLs end with for the rest of this run.
    """

    due: float = 0.0
    mean: float = 0.0
    backoff: float = 0.0
    troubled_at: float = 0.0
    failures: int = 0
    pages: int = 0
    crawl_delay: float = 0.0
    closed: Reason | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class RobotsEntry:
    """One origin's robots.txt as it was had: kept 24 h (RFC 9309, 2.4).

    ``status`` is the HTTP status, 0 where none came. ``reason`` is set where it could not be had: it is what
    the origin's URLs end with until ``expires``. ``body`` is at most 500 KiB, decoded from content encodings.
    """

    origin: str
    fetched_at: float
    expires: float
    status: int
    body: bytes = b""
    reason: Reason | None = None
    detail: str | None = None


@dataclass(slots=True)
class Lease:
    """The right to be the only one that asks one host, and some of its URLs, best first.

    ``token`` fences: a settlement under a token that is no longer the host's writes nothing.
    ``more`` says that the frontier holds further URLs of this host that are due.
    ``refill`` marks further URLs for a lease that was held already. ``evidence`` is what a settlement last said of the
    host's traps in this run; ``domain_pages`` how often its registrable domain has been asked for URLs that no seed
    named, as of the last settlement.
    """

    host: str
    token: int
    requests: list[Request]
    state: HostState
    robots: Mapping[str, RobotsEntry] = field(default_factory=dict)
    more: bool = False
    refill: bool = False
    evidence: str | None = None
    domain_pages: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A lease in hand that has room for more URLs; ``keys`` are those of its URLs not settled yet."""

    host: str
    token: int
    keys: AbstractSet[bytes]


@dataclass(frozen=True, slots=True)
class Taken:
    """What :meth:`Frontier.take` gives. ``next_due``: Unix seconds at which the next free host falls due, or None.
    ``look_again``: others share the frontier, and by then (Unix seconds) may have found or given back what is due
    sooner; None where nobody does. ``recalled``: hosts in our hands that others want (a robots.txt redirects there), to
    be given back as soon as what is in flight has come."""

    leases: list[Lease]
    next_due: float | None = None
    look_again: float | None = None
    recalled: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What later runs of the job want to know of an answer: the server's words for it, and what it is compared by.

    ``digest`` and ``text_digest`` are the first 8 bytes of them (b"" where there is none): they are only ever compared
    with those of the same URL, and 2^-64 is less than what goes wrong on a disk. ``visited`` is when it was last asked,
    ``interval`` how long it need not be asked again; both in Unix seconds. ``was``: of an answer that says nothing (it
    failed) the digests are those of the last that did, and this is that one's :class:`~crawler.rules.recrawl.Shape`.
    """

    etag: str | None = None
    last_modified: str | None = None
    digest: bytes = b""
    text_digest: bytes = b""
    visited: int = 0
    interval: int = 0
    was: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """A URL that came to its end. ``status`` is the HTTP status or None. ``withheld``: it has no record, as nothing has
    changed (``--only-changed``); ``change`` is what its record says, or would."""

    request: Request
    outcome: Outcome
    reason: Reason | None
    status: int | None
    memory: Memory | None = None
    withheld: bool = False
    change: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """A URL to be asked again, no earlier than ``not_before`` (Unix seconds); ``attempt`` tries were made."""

    request: Request
    not_before: float
    attempt: int


@dataclass(frozen=True, slots=True)
class HostReturn:
    """What the holder says of a host. ``release``: the lease ends and the host goes back, due at ``state.due``
    or when the first of its URLs may be asked, whichever is later."""

    host: str
    token: int
    state: HostState
    release: bool


@dataclass(frozen=True, slots=True)
class FileMark:
    """How far one output file is true: the settlement moves it from ``start`` to ``end`` (bytes).

    ``rows`` is the number of lines up to ``end``. ``closed`` marks a part that is whole: it gets its final
    name, and ``sha256``, once the settlement is durable.
    """

    name: str
    start: int
    end: int
    rows: int
    closed: bool = False
    sha256: str | None = None


@dataclass(slots=True)
class Settlement:
    """Everything one batch changes: all of it is written, in one transaction, or nothing is.

    ``tally`` adds to the run's named counters, which thereby survive ``kill -9`` like everything else. ``evidence`` is
    what is known of the traps of hosts, by name, in place of what was known before; ``domains`` adds to the questions
    counted for registrable domains.
    """

    leases: dict[str, int] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)
    found: list[Request] = field(default_factory=list)
    hosts: list[HostReturn] = field(default_factory=list)
    robots: list[RobotsEntry] = field(default_factory=list)
    files: Sequence[FileMark] = ()
    tally: dict[str, int] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """The frontier's answer. ``lost`` (hosts) or ``moved`` (file names whose stored position differs) non-empty:
    nothing was written. Else ``new`` counts the found URLs that were unknown, ``grown`` names their hosts. ``domains``:
    what is counted by now for those that the settlement counted for, where others count as well."""

    new: int = 0
    grown: AbstractSet[str] = frozenset()
    lost: Sequence[str] = ()
    moved: Sequence[str] = ()
    domains: Mapping[str, int] = field(default_factory=dict)

    @property
    def written(self) -> bool:
        return not self.lost and not self.moved


#: The tally's name for what the crawler asks for itself (sitemaps) and has not asked yet.
OWN_PENDING: Final = "own_pending"


@dataclass(frozen=True, slots=True)
class Counts:
    """The accounting of a run (``seeds + discovered = final + pending``) and its named counters.

    Only pages are in it: what the crawler asks for itself gives no record, and is in the tally alone.
    """

    seeds: int = 0
    discovered: int = 0
    final: int = 0
    pending: int = 0
    hosts: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """All that is still to be asked, the crawler's own requests too."""
        return self.pending + self.tally.get(OWN_PENDING, 0)


@dataclass(frozen=True, slots=True)
class HostLoad:
    """What a host has before it: ``urls`` pending ones, at the pace that ``state`` allows."""

    host: str
    urls: int
    state: HostState


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a frontier knows of one URL, for ``crawler explain``."""

    request: Request
    pending: bool
    outcome: Outcome | None
    reason: Reason | None
    status: int | None
    not_before: float
    host: HostState | None


@dataclass(frozen=True, slots=True)
class HostKnowledge:
    """What a frontier knows of one host. ``seen``: it has URLs in this run; ``waiting``: how many of them are pending;
    ``leased``: somebody is asking it now; ``robots`` by origin."""

    state: HostState
    seen: bool
    waiting: int
    leased: bool
    robots: Mapping[str, RobotsEntry]
