"""What a frontier remembers of the last published run of its job, for those that can: the part of a recrawl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from crawler.model.frontier import Memory
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request


@dataclass(frozen=True, slots=True)
class Before:
    """How the last published run ended one URL, and what is remembered of the answer."""

    outcome: Outcome
    reason: Reason | None
    status: int | None
    memory: Memory


@dataclass(frozen=True, slots=True)
class Earlier:
    """A page that the last published run had. ``id`` names it there.

    ``seed_known``: the seed that it comes from is a seed, or a sitemap, of this run too; None where only the text of
    its URL (``request.seed``) is known.
    """

    id: int
    request: Request
    before: Before
    seed_known: bool | None


@dataclass(frozen=True, slots=True)
class Slice:
    """Pages of the last published run, and the place behind which the others are: None where there are none."""

    pages: Sequence[Earlier]
    following: int | None


@dataclass(frozen=True, slots=True)
class Carried:
    """A URL of the last published run that this one starts from. ``refused``: it need not be asked (``not_due``).
    ``whole``: it is asked without the server's words for it, so that all of it comes."""

    id: int
    scope: str
    refused: Reason | None = None
    detail: str | None = None
    whole: bool = False


@runtime_checkable
class Recall(Protocol):
    """A frontier that keeps the last published run beside the one under way. Every method is atomic."""

    async def begin_next(self, run_id: str, now: float, extra: Mapping[str, Any], *, published: bool) -> None:
        """As ``begin_run`` behind a finished run. ``published``: what that one knows of its URLs takes the place of
        what was remembered; else what was remembered stays."""
        ...

    async def remembers(self) -> bool:
        """Is there a published run to compare with?"""
        ...

    async def earlier(self, after: int, most: int) -> Slice:
        """Its pages (2xx, not modified, not due), about ``most`` of those behind the place ``after`` (0: all are). One
        may be given twice."""
        ...

    async def seeds_among(self, keys: Sequence[bytes]) -> AbstractSet[bytes]:
        """Which of these are seeds, or sitemaps, of the run under way?"""
        ...

    async def carry(self, pages: Sequence[Carried]) -> int:
        """Put these into the run under way, with their way here and the server's words for them, as found; answer how
        many were new. A pending URL that is known already gets those words, and ``refused``, unless it is nearer to a
        seed than it was: then its links count where they did not."""
        ...

    async def read_whole(self) -> None:
        """A page or seed of the last published run that is not known in this one was left behind, and with it what only
        its own way here remembers: pending URLs of the same scope are asked whole, so that they name what they lead
        to."""
        ...

    async def unnamed(self, after: int, most: int) -> Slice:
        """URLs that were no pages in the last published run and that this one does not know, where a page in their
        scope has not been read again (not modified, not due) and may lead to them; by places as :meth:`earlier`."""
        ...

    async def recall(self, keys: Sequence[bytes]) -> Mapping[bytes, Before]:
        """How the last published run ended each of these URLs; those that it did not have are missing."""
        ...

    async def below(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[str]]:
        """For each of these pages of the last published run: URLs that it has led to and which were no pages then, so
        that nothing but its links would ask them again."""
        ...

    async def add_texts(self, digests: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        """Key, digest and digest of the main text (their first 8 bytes) of pages of the last published run whose main
        texts were not digested then."""
        ...

    async def compact(self) -> None:
        """Give back to the disk what earlier runs took, where that is worth it."""
        ...


@dataclass(frozen=True, slots=True)
class Failed:
    """URLs that failed, and the place behind which the others are: None where there are none."""

    urls: Sequence[str]
    following: int | None


@runtime_checkable
class Failures(Protocol):
    """A frontier that can say which URLs failed."""

    async def failed(self, after: int, most: int) -> Failed:
        """URLs of this run that failed, or ended with a 5xx or 429: about ``most`` of those behind the place ``after``
        (0: all are). One may be given twice."""
        ...
