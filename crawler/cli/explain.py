"""``crawler explain URL``: why a page is here or missing, from the rules and from the state of a job. It only reads."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crawler.audit.places import frontier_of, newest_run, read_json, state_of
from crawler.cli.advice import advice
from crawler.cli.amounts import duration_text, many
from crawler.cli.escape import escape
from crawler.cli.status import job_folder
from crawler.cli.summary import WIDTH
from crawler.cli.verify import store_url
from crawler.content.robots import Robots, product_token
from crawler.frontier import is_shared, open_readonly, open_store
from crawler.frontier.reader import StateReader
from crawler.model.errors import StorageError
from crawler.model.frontier import HostKnowledge, Knowledge
from crawler.model.settings import Settings
from crawler.rules.scope import ScopeRules, registrable
from crawler.rules.url import Url, UrlRefused, key_of, origin_of, seed_url
from crawler.run.agent import user_agent
from crawler.run.configuration import Key, current_folder, default_file, load
from crawler.run.joining import flags_of_start
from crawler.run.values import MASK

if TYPE_CHECKING:
    from crawler.frontier.redis.reader import StoreReader

_LABEL: Final = 12

#: What a start was told that decides about a URL; the rest is the machine's.
_DECIDING: Final = ("scope", "robots", "http.user_agent", "http.contact", "limits.pages_per_host")


@dataclass(slots=True)
class Answer:
    """What is known of one URL. ``facts`` are label and words for a person, ``plain`` the same for a program."""

    typed: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    plain: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None

    def say(self, label: str, words: str) -> None:
        self.facts.append((label, words))


@dataclass(frozen=True, slots=True)
class _Job:
    """A job that has run: where its state is, and the settings of its last start."""

    folder: Path
    state: Path | None
    told: Mapping[str, Any]
    store: str | None = None

    def open(self) -> StateReader | StoreReader | None:
        """Its state, where there is one to be read."""
        if self.store is not None:
            return open_store(self.store, self.folder.name)
        if self.state is None or not self.state.is_file():
            return None
        return open_readonly(self.state)


def explain(
    url: str,
    *,
    job: str | None = None,
    output: str | None = None,
    config: str | None = None,
    frontier: str | None = None,
    as_json: bool = False,
) -> int:
    """Exit code 0, or 2 where there is no such job."""
    flags = {} if output is None else {"output.path": output}
    file = default_file(config, current_folder())
    settings, _ = load(flags, os.environ, file)
    known = _job(job, Path(settings.output.path), store_url(frontier, config))
    if known is not None:
        settings, _ = load({**known.told, **flags}, os.environ, file)
    answer = answer_for(url, settings, known, time.time())
    print(json.dumps(answer.plain, indent=2) if as_json else _as_text(answer))
    return 0


def answer_for(typed: str, settings: Settings, job: _Job | None, now: float) -> Answer:
    """Everything that decides about ``typed``: O(1) look-ups, but O(hosts) where scope is a domain."""
    answer = Answer(typed)
    answer.plain["typed"] = typed
    try:
        url, bare = seed_url(typed, max_length=settings.scope.max_url)
    except UrlRefused as refused:
        answer.reason = refused.reason.value
        answer.plain |= {"url": None, "reason": refused.reason.value, "detail": refused.detail}
        answer.say("refused", f"{refused.reason}: {refused.detail}")
        answer.say("verdict", "never asked: its shape alone decides")
        return answer
    answer.plain |= {"url": url.href, "host": url.host, "domain": registrable(url.host)}
    if bare:
        answer.say("scheme", "none was typed: read as https://, as in a seeds file")
    answer.say("host", f"{url.host} (registrable domain {registrable(url.host)})")
    opened = job.open() if job is not None else None
    if job is None or opened is None:
        _without_state(answer, url, settings, job)
        return answer
    with opened as reader:
        run = reader.run()
        answer.plain["job"] = job.folder.name
        answer.plain["run_id"] = run and run.run_id
        answer.say("job", f"{job.folder.name}, run {run.run_id}" if run else job.folder.name)
        found, host = reader.know(key_of(url.href, reader.salt)), reader.know_host(url.host)
        barred = _scope(answer, url, settings, found, _scopes(reader, url, host, settings))
    barred = _robots(answer, url, settings, host, now) or barred
    _host(answer, host, settings, now)
    _frontier(answer, found, now, barred)
    return answer


def _without_state(answer: Answer, url: Url, settings: Settings, job: _Job | None) -> None:
    rules = ScopeRules(settings.scope)
    if shape := rules.shape(url.href):
        answer.reason = shape[0].value
        answer.say("shape", f"{shape[0]}: {shape[1]}")
    refused = rules.refusal(url.href, url.host, "")
    answer.plain |= {"scope": {"allowed": refused is None, "rule": refused}, "robots": None, "frontier": None}
    kind = settings.scope.kind
    answer.say(
        "scope", refused or f"as a seed it is in; as a link, where [scope] kind = {kind} lets its page lead"
    )
    why = "no job has run here" if job is None else f"{job.folder.name} keeps no state on this disk"
    answer.say("robots.txt", f"not known: {why}, and this command asks nobody")
    answer.say("frontier", f"not known: {why}")


def _scopes(
    reader: StateReader | StoreReader, url: Url, host: HostKnowledge | None, settings: Settings
) -> list[str]:
    """The scopes of this run that ``url`` could belong to; with none it can be in no seed's."""
    if settings.scope.kind == "any":
        return [""]
    if settings.scope.kind == "host":
        return [url.host] if host is not None and host.seen else []
    domain = registrable(url.host)
    return [domain] if reader.hosts_below(domain) else []


def _scope(
    answer: Answer, url: Url, settings: Settings, found: Knowledge | None, scopes: list[str]
) -> str | None:
    """Say what scope says; the answer is why it keeps the URL out, if so."""
    rules = ScopeRules(settings.scope)
    if found is not None and found.request.is_seed:
        answer.say("scope", "in: it is a seed, and whoever names a URL means it")
        answer.plain["scope"] = {"allowed": True, "rule": "seed"}
        return None
    if found is not None:
        scopes = [found.request.scope]
    shape = rules.shape(url.href)
    if shape is not None:
        words: str | None = f"{shape[0]}: {shape[1]}"
    elif not scopes:
        words = f"scope {settings.scope.kind}: no seed of this run is on this {settings.scope.kind}"
    else:
        words = rules.refusal(url.href, url.host, scopes[0])
    answer.plain["scope"] = {"allowed": words is None, "rule": words, "kind": settings.scope.kind}
    if words is None:
        within = f"{settings.scope.kind} {scopes[0]}" if scopes[0] else "any host"
        patterns = [name for name in ("allow", "deny") if getattr(settings.scope, name)]
        answer.say("scope", f"in: {within}" + (f", and {' and '.join(patterns)} let it" if patterns else ""))
    else:
        answer.say("scope", f"OUT: {words}")
    return words


def _robots(
    answer: Answer, url: Url, settings: Settings, host: HostKnowledge | None, now: float
) -> str | None:
    """Say what robots.txt says; the answer is its line that forbids the URL, if so."""
    origin = origin_of(url.href)
    override = settings.hosts.get(url.host)
    token = product_token((override and override.user_agent) or user_agent(settings.http))
    if not settings.robots.obey:
        answer.say("robots.txt", "not asked: [robots] obey = false")
        answer.plain["robots"] = {"obeyed": False}
        return None
    entry = host.robots.get(origin) if host is not None else None
    if entry is None:
        answer.say("robots.txt", f"{origin}/robots.txt has not been asked yet; this command asks nobody")
        answer.plain["robots"] = None
        return None
    place = f"{origin}/robots.txt, had {_ago(now - entry.fetched_at)}"
    plain: dict[str, Any] = {"obeyed": True, "fetched_at": entry.fetched_at, "token": token, "rule": None}
    answer.plain["robots"] = plain
    if entry.reason is not None:
        plain |= {"allowed": False, "reason": entry.reason.value, "detail": entry.detail}
        detail = f": {entry.detail}" if entry.detail else ""
        answer.say("robots.txt", f"FORBIDS all ({entry.reason}{detail}) until it can be had; {place}")
        return entry.reason.value
    rules = Robots.parse(entry.body)
    line, allowed = rules.rule(token, url.href), rules.allows(token, url.href)
    plain |= {"allowed": allowed, "rule": line, "status": entry.status}
    why = (
        f"line `{line}`"
        if line
        else "no line says anything of it"
        if entry.body
        else f"status {entry.status}"
    )
    verb = "allows it" if allowed else "FORBIDS it"
    answer.say("robots.txt", f"{verb}: {why}, as {token} is to read it ({place})")
    return None if allowed else f"robots.txt: {line}"


def _host(answer: Answer, host: HostKnowledge | None, settings: Settings, now: float) -> None:
    if host is None:
        answer.plain["host_state"] = None
        return
    state = host.state
    answer.plain["host_state"] = {
        "pages": state.pages,
        "pending": host.waiting,
        "asked_now": host.leased,
        "due": state.due,
        "failures": state.failures,
        "closed": state.closed,
        "detail": state.detail,
    }
    words = f"{many(state.pages, 'answer')} in this run, {many(host.waiting, 'URL')} pending"
    most = settings.limits.pages_per_host
    if most is not None and state.pages >= most:
        words += f"; its budget of {most:,} is spent ([limits] pages_per_host)"
    if state.closed is not None:
        words += f"; given up for this run: {state.closed}" + (f", {state.detail}" if state.detail else "")
    elif state.due > now:
        words += f"; may be asked again in {duration_text(state.due - now)}"
    if state.crawl_delay:
        words += f"; asks for a Crawl-delay of {state.crawl_delay:g} s"
    if state.failures:
        words += f"; {many(state.failures, 'connection failure')} in a row"
    answer.say("its host", words)


def _frontier(answer: Answer, found: Knowledge | None, now: float, barred: str | None) -> None:
    if found is None:
        answer.plain["frontier"] = None
        end = (
            "what stands above keeps it out"
            if barred
            else "no page of this run named it, or only beyond the depth"
        )
        answer.say("frontier", f"does not know it: {end}")
        return
    request = found.request
    answer.plain["frontier"] = {
        "pending": found.pending,
        "outcome": found.outcome,
        "reason": found.reason,
        "status": found.status,
        "depth": request.depth,
        "attempt": request.attempt,
        "via": request.via,
        "seed": request.seed,
        "not_before": found.not_before or None,
    }
    if found.pending:
        words = "pending: it has not been asked yet"
        if request.attempt:
            words = f"pending: {many(request.attempt, 'try', 'tries')} failed"
        if found.not_before > now:
            words += f", again in {duration_text(found.not_before - now)}"
    else:
        words = f"{found.outcome}" + (f", status {found.status}" if found.status is not None else "")
        if found.reason is not None:
            words += f", {found.reason}" + (f": {request.detail}" if request.detail else "")
            answer.reason = found.reason.value
    answer.say("frontier", words)
    answer.say("found", f"depth {request.depth}" + (f", from {request.via}" if request.via else ", a seed"))
    if request.via and request.seed and request.seed != request.via:
        answer.say("seed", request.seed)
    if answer.reason is not None:
        answer.say("do", advice(answer.reason))


def _as_text(answer: Answer) -> str:
    lines = [escape(str(answer.plain.get("url") or answer.typed))]
    for label, words in answer.facts:
        lines += textwrap.wrap(
            escape(words),
            WIDTH,
            initial_indent=f"  {label:<{_LABEL}}",
            subsequent_indent=" " * (_LABEL + 2),
            break_on_hyphens=False,
            break_long_words=False,
        )
    return "\n".join(lines)


def _job(word: str | None, output: Path, store: str | None) -> _Job | None:
    """The job meant; None where none was named and none has run. Raises :class:`NoSuchRun`."""
    if word is None and not any(output.glob("*/runs")):
        return None
    folder = job_folder(word, output, store)
    newest = newest_run(folder)
    try:
        manifest = newest and next(
            filter(None, (read_json(newest / n) for n in ("run.json", "start.json"))), None
        )
    except (OSError, ValueError) as error:
        raise StorageError(f"{newest}/run.json: it cannot be read ({error}); run the job again") from error
    frontier = store if store is not None else frontier_of(manifest)
    state = state_of(folder, frontier)
    told: Any = manifest.get("settings") if isinstance(manifest, dict) else None
    known = _Job(folder, state, {}, frontier if is_shared(frontier) and MASK not in frontier else None)
    opened = known.open()
    if opened is not None:
        with opened as reader:
            run = reader.run()
        if run is None and known.store is not None:
            # The store does not know the job.
            known = replace(known, store=None)
        starts = run.extra.get("starts") if run is not None else None
        if starts and isinstance(starts[-1], dict):
            told = starts[-1].get("settings") or told
    return replace(known, told=flags_of_start(told if isinstance(told, dict) else {}, _decides))


def _decides(key: Key) -> bool:
    return key.section in _DECIDING or key.path in _DECIDING


def _ago(seconds: float) -> str:
    return f"{duration_text(max(0.0, seconds))} ago"
