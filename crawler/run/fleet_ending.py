"""How a worker of a run over a store ends: stopped, as the last that speaks for the run, or with what that one says."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crawler.engine.crawler import Ended, Stopped
from crawler.engine.meter import Meter
from crawler.engine.timeline import joined, summed
from crawler.frontier import Closed, FleetFrontier, Member, Verdict
from crawler.model.errors import StorageError
from crawler.model.frontier import Counts, FileMark
from crawler.run.account import Account, merged_meter, merged_wire
from crawler.run.ending import (
    FINISHED,
    GATED,
    NO_ROOM,
    STOPPED,
    UPLOAD,
    Crawled,
    Ending,
    missing_of,
    places,
    point_to,
    run_json,
    verdict,
    warn_of_no_contact,
)
from crawler.run.failures import write_failed
from crawler.run.gate import Counted
from crawler.run.layout import JobFolder, read_json, write_json
from crawler.run.retention import delete_outdated
from crawler.run.seeding import SeedCounts
from crawler.run.start import Start, iso
from crawler.sink.series import worker_of


@dataclass(frozen=True, slots=True)
class Told:
    """What one worker's work has come to. ``began``: Unix seconds."""

    account: Account
    began: float
    timeline: Mapping[str, Any]
    without_scheme: int
    warnings: Sequence[str]

    def stopped(self, why: Stopped) -> Told:
        """The same, of one that was stopped so."""
        return replace(self, account=replace(self.account, stopped=why))

    @classmethod
    def of(cls, start: Start, crawled: Sequence[Crawled]) -> Told:
        accounts = [Account.of(one.meter, one.wire) for one in crawled]
        merged = Account.of(merged_meter(accounts), merged_wire(accounts), crawled[-1].ended.stopped)
        without_scheme = sum(one.seeds.without_scheme for one in crawled[:1])
        return cls(merged, start.at, crawled[0].timeline, without_scheme, start.warnings)

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account.as_dict(),
            "began": self.began,
            "timeline": self.timeline,
            "without_scheme": self.without_scheme,
            "warnings": list(self.warnings),
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Told:
        """The inverse of :meth:`as_dict`, through JSON."""
        return cls(
            Account.read(told["account"]),
            told["began"],
            told["timeline"],
            told["without_scheme"],
            told["warnings"],
        )


class FleetEnding:
    """The last steps of a worker, in the order that they have: parts are closed; run.json, the mark, ``latest``.

    The mark comes first here: until it is set somebody may join and bring more to do, and ``latest`` would stand on a
    run that goes on, and may be stopped or gated yet. Who is cut off behind the mark leaves ``latest`` to the next
    start in its folder (:func:`~crawler.run.beginning.complete`).
    """

    def __init__(self, start: Start, frontier: FleetFrontier, folder: JobFolder, run_id: str) -> None:
        self._start = start
        self._frontier = frontier
        self._fleet = frontier.fleet
        self._folder = folder
        self._run_id = run_id

    async def stop(self, own: Told) -> Ending:
        """This worker goes and leaves work behind. What it says of the run is as it stands; others may go on. Where it
        is over by now nothing is left behind, and it says that."""
        if await self._is_over():
            return await self.follow(own)
        stopped = own.account.stopped or Stopped.SIGNAL
        line = {"at": iso(own.began), **own.timeline}

        def noted(extra: Mapping[str, Any]) -> dict[str, Any]:
            meter = merged_meter([_named(extra), own.account])
            lines = joined(extra.get("timeline"), line["at"], own.timeline)
            return {**extra, "examples": meter.examples, "noted": meter.noted, "timeline": lines}

        extra = await self._fleet.amend(noted)
        counts = await self._frontier.counts()
        code = NO_ROOM if self._start.no_room or self._start.upload_cut == UPLOAD else STOPPED
        content = await self._content("stopped", stopped, counts, extra, before=True)
        write_json(self._folder.run(self._run_id) / "run.json", content)
        if await self._is_over():
            # Meanwhile: in the same folder that was a run.json too many.
            return await self.follow(own)
        return Ending(code, "stopped", content, places(self._start, self._folder, self._run_id, code))

    async def decide(self, closed: Closed) -> Ending | None:
        """This worker is the last. None where others have joined meanwhile: it goes on."""
        counts = await self._frontier.counts()
        run = await self._frontier.run()
        extra = dict(run.extra) if run is not None else {}
        lacks = await self._lacks(closed)
        if lacks is None:
            missing = await missing_of(self._start, self._frontier)
            ended = Ended(Stopped.FINISHED, counts, 0.0)
            code, outcome, gate = verdict(
                ended, counts, extra.get("past", []), missing, self._start.settings.gate
            )
        else:
            code, outcome, gate = STOPPED, "stopped", []
        warn_of_no_contact(self._start, counts)
        await write_failed(self._frontier, self._folder.run(self._run_id))
        content = await self._content(outcome, Stopped.FINISHED, counts, extra, gate=gate, lacks=lacks)
        write_json(self._folder.run(self._run_id) / "run.json", content)
        over = code in (FINISHED, GATED)
        if over:
            if self._start.upload is not None:
                await self._start.upload.manifest(self._run_id, content)
            good = Counted.of(counts, []).good
            extra |= {"finished_at": content["finished_at"], "code": code, "good": good}
        else:
            extra |= {"timeline": content["timeline"]}
        if not await self._fleet.decide(self._run_id, Verdict(code, content), extra, finished=over):
            return None
        # One that stops in our folder may have written what it knew before.
        self._keep(content)
        if code == FINISHED:
            await point_to(self._start, self._folder, self._run_id, content)
        return self._end(code, content)

    async def follow(self, own: Told) -> Ending:
        """The run has its verdict: this worker has no other."""
        found = await self._fleet.verdict(self._run_id)
        if found is None:
            # Another run has begun and ended while the store was away, or the state was given up by --fresh.
            raise StorageError(
                f"run {self._run_id} is over, and what came of it is not known here any more: crawler verify"
                f" {self._folder.run(self._run_id)}"
            )
        self._keep(found.manifest)
        if found.code == FINISHED:
            self._folder.publish(self._run_id)
        return self._end(found.code, found.manifest)

    async def _is_over(self) -> bool:
        return await self._fleet.verdict(self._run_id) is not None

    def _keep(self, content: Mapping[str, Any]) -> None:
        """Have the run's last word in its folder."""
        path = self._folder.run(self._run_id) / "run.json"
        if read_json(path) != content:
            write_json(path, content)

    def _end(self, code: int, content: Mapping[str, Any]) -> Ending:
        if code in (FINISHED, GATED):
            delete_outdated(self._folder, self._run_id, time.time(), self._start.settings.output)
        return Ending(
            code, str(content["outcome"]), content, places(self._start, self._folder, self._run_id, code)
        )

    async def _lacks(self, closed: Closed) -> str | None:
        """What keeps the run from being finished, although nothing is left to be asked; said in the warnings."""
        members = await self._fleet.members()
        rows = {mark.name: mark.rows for mark in await self._frontier.files()}
        for name in closed.open:
            worker = worker_of(name) or name
            self._start.warnings.append(
                f"{name}: {rows.get(name, 0)} records are in a part that worker {worker}"
                f" ({_where(members.get(worker))}) has left open; start a worker where its folder is, or give"
                " the part up and ask those URLs again:"
                f" crawler worker --abandon {worker}"
            )
        for worker, seeds in closed.owing.items():
            self._start.warnings.append(
                f"worker {worker} ({_where(members.get(worker))}) died before it had read its seeds to their end:"
                f" crawler run {seeds.partition(chr(10))[0]}"
            )
        if closed.open or closed.owing or self._start.upload is None:
            return "open_parts" if closed.open else "unread_seeds" if closed.owing else None
        missing = await self._start.upload.missing(self._run_id, await self._frontier.files())
        for mark in missing:
            worker = worker_of(mark.name) or ""
            self._start.warnings.append(
                f"{mark.name}: worker {worker} ({_where(members.get(worker))}) has not uploaded it: start a worker"
                " where its folder is, which does"
            )
        return UPLOAD if missing else None

    async def _content(
        self,
        outcome: str,
        stopped: Stopped,
        counts: Counts,
        extra: Mapping[str, Any],
        *,
        gate: Sequence[str] = (),
        lacks: str | None = None,
        before: bool = False,
    ) -> dict[str, Any]:
        """run.json, of what all that are or were present together have told."""
        start = self._start
        told = [Told.read(one) for one in await self._fleet.accounts()]
        session = await self._fleet.session()
        members = await self._fleet.members()
        accounts = [_named(extra), *(one.account for one in told)]
        for warning in (text for one in told for text in one.warnings):
            if warning not in start.warnings:
                start.warnings.append(warning)
        crawled = Crawled(
            Ended(stopped, counts, time.time() - session.began),
            merged_meter(accounts),
            merged_wire(accounts),
            SeedCounts(without_scheme=max((one.without_scheme for one in told), default=0)),
            summed([(one.began, one.timeline) for one in told]),
        )
        content = run_json(
            *(start, self._run_id, outcome, crawled, counts, await self._frontier.files(), extra, gate),
            workers=[{"name": name, **member.who} for name, member in members.items() if member.crawls],
            place_of=lambda mark: _place(mark, members, self._run_id),
            lacks=lacks,
        )
        content["started_at"] = extra.get("started_at", content["started_at"])
        if not before:
            # Those who have gone before us have left their own lines: they are in the sum.
            theirs = {iso(one.began) for one in told}
            own = content["timeline"][-1]
            earlier = [line for line in content["timeline"][:-1] if line.get("at") not in theirs]
            content["timeline"] = [*earlier, {**own, "at": min(theirs, default=own["at"])}]
        else:
            # This worker's line stands in the run's account already.
            content["timeline"] = list(extra.get("timeline", []))
        return content


def _named(extra: Mapping[str, Any]) -> Account:
    """What earlier starts have named, as the run's account keeps it."""
    meter = Meter()
    for reason, (url, detail) in extra.get("examples", {}).items():
        meter.examples[reason] = (url, detail)
    return Account(examples=meter.examples, noted=extra.get("noted", {}))


def _place(mark: FileMark, members: Mapping[str, Member], run_id: str) -> dict[str, Any]:
    """Where a part is: the machine, and its path there."""
    member = members.get(worker_of(mark.name) or "")
    if member is None:
        return {"machine": None, "path": None}
    folder = JobFolder(Path(str(member.who.get("folder"))))
    return {"machine": member.who.get("machine"), "path": str(folder.run(run_id) / mark.name)}


def _where(member: Member | None) -> str:
    if member is None:
        return "nobody knows where"
    return f"{member.who.get('folder')} on {member.who.get('machine')}"
