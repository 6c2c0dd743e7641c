"""Watches the hosts in hand for traps: looks at their pages, demotes what barren ones name, ends what is cut.

A host is watched from its 50th page on, and of its pages about one in eight is looked at while nothing is suspected:
an ordinary crawl pays for neither.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from crawler.content.novelty import Novelty
from crawler.engine.meter import Meter
from crawler.engine.workbench import Visit
from crawler.frontier.known import Known
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.results import Page
from crawler.rules.traps import DEMOTED, HostTraps, templates_of, without_visit

log = logging.getLogger("crawler.engine")

#: A host with fewer pages is not watched.
_WATCHED_FROM: Final = 50
#: Hosts watched at once: at most 70 kB each.
_MOST_WATCHED: Final = 2_000
#: Pages that must have been looked at before one that is new counts for its templates: after a restart the first ones
#: are new to us alone.
_WARM: Final = 32
#: Traps named in run.json and the summary; the rest is counted.
MOST_NAMED: Final = 100

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_SHAPES: Final = frozenset({Reason.TRAP_PATH, Reason.TRAP_DEPTH})


class Watch:
    """One host: what its pages have shown of its templates, and what they have lately said."""

    __slots__ = ("novelty", "traps")

    def __init__(self, traps: HostTraps) -> None:
        self.traps = traps
        self.novelty = Novelty()


class TrapWatch:
    """``budget``: ``[scope] trap_pages``, None: nothing is watched. ``key_of``: by which pages are sampled, so that no
    site can tell which."""

    def __init__(
        self, budget: int | None, known: Known, meter: Meter, key_of: Callable[[str], bytes]
    ) -> None:
        self._budget = budget
        self._key_of = key_of
        self._known = known
        self._meter = meter
        self._watches: dict[str, Watch] = {}
        self._named: set[str] = set()

    def release(self, visit: Visit) -> None:
        """It has been given back, and the frontier told what is known of it."""
        self._watches.pop(visit.host, None)

    def read(self, visit: Visit, page: Page) -> None:
        """A page has come: look at it, if it is worth that, and demote what it names if it is barren."""
        if self._budget is None or visit.state.pages < min(_WATCHED_FROM, self._budget):
            return
        facts = page.facts
        if facts.content_type not in _HTML or (facts.charset or "").lower().startswith("utf-16"):
            return
        watch = self._watch(visit)
        if watch is None:
            if len(self._watches) >= _MOST_WATCHED:
                return
            watch = self._watches[visit.host] = Watch(HostTraps(self._budget))
        request, traps = page.request, watch.traps
        templates = templates_of(request.url)
        demoted = request.priority >= DEMOTED
        suspect = demoted or traps.suspects(templates)
        traps.saw(templates)
        if not suspect and not self._sampled(request):
            return
        fresh = watch.novelty.brings(page.response.body, request.url, suspect=suspect)
        if not fresh:
            self._demote(page)
        elif watch.novelty.read <= _WARM:
            return
        cut = traps.judge(request.url, templates, fresh=fresh, demoted=demoted)
        if cut is not None:
            log.warning("trap cut", extra={"host": visit.host, "trap": str(cut)})
            self._name(visit.host, cut.template, cut.example, 0)
            self._meter.count(f"trap_pages.{visit.host}{cut.template}", cut.pages)

    def refusal(self, visit: Visit, request: Request) -> str | None:
        """Why a URL that is pending isn't to be asked, or None. O(1) unless it is demoted and its host has a trap."""
        if request.priority < DEMOTED:
            return None
        watch = self._watch(visit)
        cut = watch.traps.cut_of(request.url) if watch is not None else None
        if cut is None:
            return None
        self._name(visit.host, cut.template, cut.example, 1)
        return str(cut)

    def refused(self, request: Request) -> None:
        """A URL ends for its shape: the trap that it comes from is named like the others."""
        if request.refused in _SHAPES:
            path = request.url[request.url.index("/", 8) + 1 :]
            self._name(request.host, f"/{path.partition('/')[0][:40]}/**", request.url, 1)

    def evidence(self, visit: Visit, *, last: bool) -> str | None:
        """What the next settlement is to say of the host's traps; None: nothing new."""
        watch = self._watches.get(visit.host)
        return watch.traps.write(last=last) if watch is not None else None

    def _watch(self, visit: Visit) -> Watch | None:
        """The watch over a host: the one that there is, or one that goes on with what an earlier lease has seen."""
        written, visit.evidence = visit.evidence, None
        if written is None or self._budget is None:
            return self._watches.get(visit.host)
        watch = self._watches[visit.host] = Watch(HostTraps(self._budget, written))
        for cut in watch.traps.cuts.values():
            self._name(visit.host, cut.template, cut.example, 0)
        return watch

    def _sampled(self, request: Request) -> bool:
        """One page in eight; of those with a query, one in four by what they show, so that a page is looked at again
        when another visit leads to it, also in the next start."""
        if request.key[0] & 7 == 0:
            return True
        url = request.url
        return ("?" in url or ";" in url) and self._key_of(without_visit(url))[1] & 3 == 0

    def _demote(self, page: Page) -> None:
        found = []
        for request in page.found:
            if request.priority < DEMOTED:
                request = replace(request, priority=request.priority + DEMOTED)
            # A better page may name it yet.
            self._known.lower(request.key)
            found.append(request)
        page.found = found

    def _name(self, host: str, template: str, example: str, by: int) -> None:
        """Count ``by`` URLs cut of a trap, under its name as long as there are few."""
        name = f"{host}{template}"
        if name not in self._named:
            if len(self._named) >= MOST_NAMED:
                self._meter.count("cut.in_other_traps", by)
                return
            self._named.add(name)
            self._meter.examples.setdefault(f"trap {name}", (example, None))
        self._meter.count(f"trap_cut.{name}", by)
