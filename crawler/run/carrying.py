"""From one run to the next: the pages of the last published run, judged by this start's settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from crawler.engine.recrawl import Recrawl
from crawler.frontier import Carried, Earlier, Recall, RunFrontier
from crawler.model.errors import UsageError
from crawler.model.reasons import Reason
from crawler.model.request import Kind
from crawler.model.settings import Settings
from crawler.rules.recrawl import due_at
from crawler.rules.scope import ScopeRules
from crawler.rules.url import host_of
from crawler.run.start import Start
from crawler.run.values import without_credentials

log = logging.getLogger("crawler.run")

_BATCH: Final = 4_000
#: Seeds whose verdict is remembered.
_SEEDS: Final = 16_384
#: In the run's account beside the frontier: all is carried over.
CARRIED: Final = "carried_over"


async def comparing(settings: Settings, frontier: RunFrontier) -> Recrawl | None:
    """What a crawl is to know of the runs before it; None where its frontier remembers nothing.

    Raises :class:`UsageError` where that is asked for.
    """
    if not settings.revisit.recrawl or not isinstance(frontier, Recall):
        if settings.output.only_changed:
            where = without_credentials(settings.frontier.url)
            raise UsageError(f"[output] only_changed: {where} remembers no earlier run")
        return None
    remembers = await frontier.remembers()
    compare = settings.revisit.compare
    text = compare == "text" or (compare == "auto" and (remembers or settings.politeness.delay > 0))
    return Recrawl(frontier, remembers, text)


async def recrawl_of(start: Start, frontier: RunFrontier, extra: dict[str, Any]) -> Recrawl | None:
    """The same, with what is still to be carried over."""
    recrawl = await comparing(start.settings, frontier)
    if recrawl is None or not recrawl.remembers or CARRIED in extra:
        return recrawl
    return replace(recrawl, carry_over=CarryOver(start, frontier, recrawl.frontier, extra).run)


class CarryOver:
    """Rule 1: a new run starts from its seeds and from every page that the last published run had, if it is still in
    scope and depth, and its seed is still one. Done again after a crash it does nothing twice."""

    def __init__(self, start: Start, frontier: RunFrontier, recall: Recall, extra: dict[str, Any]) -> None:
        self._settings: Settings = start.settings
        self._scope: ScopeRules = start.plan.scope
        self._key_of = start.plan.key_of(frontier)
        self._frontier = frontier
        self._recall = recall
        self._extra = extra
        self._seeds: dict[str, bool] = {}

    async def run(self, stopped: Callable[[], bool]) -> None:
        """O(pages of the last published run): 20 microseconds each."""
        after = number = left = 0
        while not stopped():
            pages = await self._recall.earlier(after, _BATCH)
            if not pages:
                self._extra[CARRIED] = number
                await self._frontier.note_run(self._extra)
                log.info("carried over from the last published run", extra={"pages": number, "left": left})
                return
            now = time.time()
            carried = [one for page in pages if (one := await self._judge(page, now)) is not None]
            if carried:
                await self._recall.carry(carried)
            number += len(carried)
            left += len(pages) - len(carried)
            after = pages[-1].id

    async def _judge(self, page: Earlier, now: float) -> Carried | None:
        request, settings = page.request, self._settings
        depth = settings.scope.depth
        if depth is not None and request.depth > depth:
            return None
        seed = request.seed
        if seed is None or not (page.seed_known or (page.seed_known is None and await self._is_seed(seed))):
            return None
        scope = self._scope_now(page, seed)
        if scope is None or self._scope.shape(request.url) is not None:
            return None
        due = due_at(page.before.memory, settings.revisit)
        if due > now:
            again = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            return Carried(page.id, scope, Reason.NOT_DUE, f"not before {again} ([revisit] every)")
        return Carried(page.id, scope)

    def _scope_now(self, page: Earlier, seed: str) -> str | None:
        """The scope that the page is in today, None where it is in none: that of its seed, as ``[scope] kind`` may be
        another by now, else the one that a redirect of its seed had moved it to."""
        request = page.request
        own = self._scope.scope_of(host_of(seed))
        if seed == request.url:
            return own
        for scope in (own, request.scope or own):
            if self._scope.refusal(request.url, request.host, scope) is None:
                return scope
        return None

    async def _is_seed(self, url: str) -> bool:
        known = self._seeds.get(url)
        if known is None:
            if len(self._seeds) >= _SEEDS:
                self._seeds.clear()
            found = await self._frontier.know(self._key_of(url))
            known = found is not None and (found.request.is_seed or found.request.kind is not Kind.PAGE)
            self._seeds[url] = known
        return known
