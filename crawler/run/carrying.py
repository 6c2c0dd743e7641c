"""From one run to the next: the pages of the last published run, judged by this start's settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.engine.recrawl import Recrawl
from crawler.frontier import Carried, Earlier, FleetFrontier, Recall, Run, RunFrontier
from crawler.model.errors import UsageError
from crawler.model.reasons import Reason
from crawler.model.settings import Settings
from crawler.rules.recrawl import due_at
from crawler.rules.scope import ScopeRules
from crawler.rules.url import blocked_port, host_of
from crawler.run.assembly import Plan
from crawler.run.configuration import settings_as_dict
from crawler.run.late_digests import LateDigests
from crawler.run.start import Start
from crawler.run.values import without_credentials

log = logging.getLogger("crawler.run")

_BATCH: Final = 4_000
#: Seeds whose verdict is remembered.
_SEEDS: Final = 16_384
#: In the run's account beside the frontier: all is carried over.
CARRIED: Final = "carried_over"
#: In that account: what decided which links the last published run followed.
FOLLOWED: Final = "followed"
#: In that account: digests of main texts were put off; and the last published run has put them off.
LATE: Final = "late_digests"
LATE_IN: Final = "late_digests_in"
#: Of ``[scope]``.
_FOLLOWING: Final = (
    *("kind", "depth", "allow", "deny", "seed_redirects", "types"),
    *("max_url", "max_segments", "max_repeats"),
)


async def comparing(plan: Plan, frontier: RunFrontier) -> Recrawl | None:
    """What a crawl is to know of the runs before it; None where its frontier remembers nothing.

    Raises :class:`UsageError` where that is asked for.
    """
    settings = plan.settings
    if not settings.revisit.recrawl or not isinstance(frontier, Recall):
        if settings.output.only_changed:
            where = without_credentials(settings.frontier.url)
            raise UsageError(
                f"[output] only_changed: {where} remembers no earlier run: leave --only-changed out"
            )
        return None
    remembers = await frontier.remembers()
    compare = settings.revisit.compare
    late = (
        compare == "auto"
        and not remembers
        and settings.politeness.delay == 0
        and settings.output.body == "html"
        and settings.output.upload is None
    )
    look = LastLook(EarlierRun(plan, frontier, frontier), frontier).run if remembers else None
    return Recrawl(frontier, remembers, compare != "body", late, look_again=look)


async def recrawl_of(
    start: Start, frontier: RunFrontier, extra: dict[str, Any], runs: Path
) -> Recrawl | None:
    """The same, with what is still to be carried over. ``runs``: the folder of all runs."""
    recrawl = await comparing(start.plan, frontier)
    if recrawl is not None and recrawl.late and LATE not in extra:
        await _note(frontier, extra, {LATE: True})
    if recrawl is None or not recrawl.remembers or CARRIED in extra:
        return recrawl
    return replace(recrawl, carry_over=CarryOver(start.plan, frontier, recrawl.frontier, extra, runs).run)


async def _note(frontier: RunFrontier, extra: dict[str, Any], said: Mapping[str, Any]) -> None:
    """Have ``said`` in the run's account, and in ``extra``, which is what we know of it. None takes a word out."""

    def noted(before: Mapping[str, Any]) -> dict[str, Any]:
        return {name: what for name, what in {**before, **said}.items() if what is not None}

    if isinstance(frontier, FleetFrontier):
        # Others may say something at this moment.
        now = await frontier.fleet.amend(noted)
    else:
        now = noted(extra)
        await frontier.note_run(now)
    extra.clear()
    extra.update(now)


def published_of(known: Run | None) -> dict[str, Any]:
    """What a new run's account says of the last published run: what decided which links it followed."""
    if known is None:
        return {}
    if not (known.finished and known.extra.get("code") == 0):
        return {name: known.extra[name] for name in (FOLLOWED, LATE_IN) if name in known.extra}
    ways = {_followed(start.get("settings", {})) for start in known.extra.get("starts", [])}
    said = {FOLLOWED: ways.pop()} if len(ways) == 1 else {}
    return said | {LATE_IN: known.run_id} if known.extra.get(LATE) else said


def _followed(settings: Mapping[str, Any]) -> str:
    """A digest of the settings that decide which links are seen and followed."""
    scope = settings.get("scope", {})
    said = {name: scope.get(name) for name in _FOLLOWING}
    said["max_body"] = settings.get("http", {}).get("max_body")
    return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


class EarlierRun:
    """URLs of the last published run, judged by this start's settings."""

    def __init__(self, plan: Plan, frontier: RunFrontier, recall: Recall) -> None:
        self._settings: Settings = plan.settings
        self._scope: ScopeRules = plan.scope
        self._key_of = plan.key_of(frontier)
        self._recall = recall
        self._seeds: dict[str, bool] = {}

    async def learn_seeds(self, pages: Sequence[Earlier]) -> None:
        """Have ready whether the seeds of these still are some: before any of them is judged. One look-up a seed."""
        if len(self._seeds) >= _SEEDS:
            self._seeds.clear()
        urls = {page.request.seed for page in pages if page.seed_known is None} - {None}
        keys = {self._key_of(url): url for url in urls if url is not None and url not in self._seeds}
        if keys:
            known = await self._recall.seeds_among(list(keys))
            self._seeds.update((url, key in known) for key, url in keys.items())

    def scope_now(self, page: Earlier) -> str | None:
        """The scope that it is in today; None where it is in none, beyond the depth, or its seed is none any more."""
        request = page.request
        depth = self._settings.scope.depth
        if depth is not None and request.depth > depth:
            return None
        seed = request.seed
        if seed is None or not (page.seed_known or (page.seed_known is None and self._seeds[seed])):
            return None
        # That of its seed, as ``[scope] kind`` may be another by now, else the one that a redirect of its seed had
        # moved it to.
        own = self._scope.scope_of(host_of(seed))
        if seed == request.url:
            return own
        for scope in (own, request.scope or own):
            if self._scope.refusal(request.url, request.host, scope) is None:
                return scope
        return None

    def page(self, page: Earlier, now: float, *, whole: bool) -> Carried | None:
        """A page, to be asked again: None where it isn't to be; ``whole``: with all its links."""
        scope = self.scope_now(page)
        if scope is None or self._scope.shape(page.request.url) is not None:
            return None
        due = due_at(page.before.memory, self._settings.revisit, now)
        if due > now and not whole:
            again = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            return Carried(page.id, scope, Reason.NOT_DUE, f"not before {again} ([revisit] every)")
        return Carried(page.id, scope, whole=whole)

    def unnamed(self, page: Earlier) -> Carried | None:
        """What was no page: as a link to it would be judged."""
        scope = self.scope_now(page)
        if scope is None:
            return None
        url, host = page.request.url, page.request.host
        if page.before.reason is Reason.URL_TOO_LONG:
            # Its beginning alone was kept, and the detail beside it.
            return Carried(page.id, scope, Reason.URL_TOO_LONG)
        if (shape := self._scope.shape(url)) is not None:
            return Carried(page.id, scope, *shape)
        if (port := blocked_port(url, host)) is not None:
            return Carried(page.id, scope, Reason.BLOCKED_PORT, port)
        return Carried(page.id, scope, whole=True)


class CarryOver:
    """Rule 1: a new run starts from its seeds and from every page that the last published run had, if it is still in
    scope and depth, and its seed is still one. Done again after a crash it does nothing twice.

    A 304 brings no links, and what is remembered of them is what was followed then: where other settings decide that
    now, all pages are asked whole, and where a seed has gone, those of its scope."""

    def __init__(
        self, plan: Plan, frontier: RunFrontier, recall: Recall, extra: dict[str, Any], runs: Path
    ) -> None:
        self._earlier = EarlierRun(plan, frontier, recall)
        self._frontier = frontier
        self._recall = recall
        self._extra = extra
        self._late: LateDigests | None = None
        if plan.settings.revisit.compare != "body" and LATE_IN in extra:
            self._late = LateDigests(runs / Path(str(extra[LATE_IN])).name, recall, plan.key_of(frontier))
        self._whole = extra.get(FOLLOWED) != _followed(settings_as_dict(plan.settings))

    async def run(self, stopped: Callable[[], bool]) -> None:
        """O(pages of the last published run): 20 microseconds each."""
        after = number = left = 0
        if self._late is not None:
            if not await self._late.run(stopped):
                return
            await _note(self._frontier, self._extra, {LATE_IN: None})
        if self._whole:
            log.info(
                "links are followed by other settings than in the last published run: all pages are read again"
            )
        while not stopped():
            some = await self._recall.earlier(after, _BATCH)
            await self._earlier.learn_seeds(some.pages)
            now = time.time()
            judged = [self._earlier.page(page, now, whole=self._whole) for page in some.pages]
            carried = [one for one in judged if one is not None]
            if carried:
                await self._recall.carry(carried)
            number += len(carried)
            left += len(some.pages) - len(carried)
            if some.following is None:
                await self._recall.read_whole()
                await _note(self._frontier, self._extra, {CARRIED: number})
                log.info("carried over from the last published run", extra={"pages": number, "left": left})
                return
            after = some.following


class LastLook:
    """When all else is done: what was no page in the last published run is remembered below the page that named it
    first. That one may name it no more, and another, which answered 304, still does: it is asked as well."""

    def __init__(self, earlier: EarlierRun, recall: Recall) -> None:
        self._earlier = earlier
        self._recall = recall

    async def run(self) -> int:
        """How many there were. O(URLs of both runs): a second a million."""
        after: int | None = 0
        number = 0
        while after is not None:
            some = await self._recall.unnamed(after, _BATCH)
            await self._earlier.learn_seeds(some.pages)
            judged = [self._earlier.unnamed(one) for one in some.pages]
            carried = [one for one in judged if one is not None]
            if carried:
                number += await self._recall.carry(carried)
            after = some.following
        return number
