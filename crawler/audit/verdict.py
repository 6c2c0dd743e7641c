"""The story of an audit: what the run says of itself, what its files hold, and where the two differ."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.audit.archive import ArchiveAudit, is_archive
from crawler.audit.identities import Identities, only_left, twice
from crawler.audit.part import PartFile, Unreadable
from crawler.audit.places import Place, frontier_of, read_json
from crawler.audit.schema import page_check
from crawler.audit.state import AuditedState, Known, Mark, Recount, StateUnreadable, name_of
from crawler.audit.store import AuditedStore, StateAway, is_store

#: What stands for a password in run.json.
_MASK: Final = "***"
#: Faults that are told; all are counted.
MOST_TOLD: Final = 100
_OPEN: Final = ".open"
_COUNTS: Final = ("seeds", "discovered", "final", "pending")
_OVER: Final = ("finished", "gated", "abandoned", "stopped")
_LINE_BITS: Final = 40
#: Line ends to some readers (U+2028, U+2029, U+0085), which must stand escaped.
_RAW: Final = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85", b"\x7f")
_HEX: Final = re.compile("[0-9a-f]{32}")


@dataclass(slots=True)
class Verdict:
    """``source`` says what was counted again: ``state`` (every row of it), ``ledger`` (its own account, as it is in
    use) or ``run.json``. ``unseen``: records in parts that are not on this machine.

    ``under_way``: the run goes on or was killed, and was judged as far as it is committed.
    """

    folder: Path
    outcome: str = "unknown"
    source: str = "run.json"
    under_way: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    records: int = 0
    withheld: int = 0
    parts: int = 0
    size: int = 0
    archives: int = 0
    answers: int = 0
    archive_size: int = 0
    faults: list[str] = field(default_factory=list)
    unseen: int = 0
    untold: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.faults

    def fault(self, text: str) -> None:
        if len(self.faults) < MOST_TOLD:
            self.faults.append(text)
        else:
            self.untold += 1


def audit(place: Place, store: str | None = None) -> Verdict:
    """Read a run once, from the first byte to the last, and say whether its accounting holds. ``store``: the
    ``[frontier] url`` with the password that run.json doesn't have.

    O(bytes of its parts + URLs in its state). Memory: the longest line, and 24 bytes a record up to 48 MiB, more of
    them in a temporary file.
    """
    verdict = Verdict(place.folder)
    with ExitStack() as stack:
        _Audit(verdict, place, stack, store).run()
    return verdict


class _Audit:
    def __init__(self, verdict: Verdict, place: Place, stack: ExitStack, store: str | None) -> None:
        self._store = store
        self._verdict = verdict
        self._place = place
        self._stack = stack
        self._fault = verdict.fault
        self._names = stack.enter_context(Identities())
        self._archive = ArchiveAudit(verdict.fault, stack)
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._failed = 0
        self._ended: Counter[tuple[str, str | None]] = Counter()
        self._part_names: list[str] = []

    def run(self) -> None:
        verdict = self._verdict
        manifest = self._read_manifest()
        state, known = self._open_state(manifest)
        if manifest is None and known is None:
            if (self._place.folder / "start.json").is_file():
                self._fault(
                    "its frontier is in memory, and it goes on or has died: nothing speaks for it; if it has died, the"
                    " next start of the job abandons it"
                )
            else:
                self._fault("run.json is missing, and there is no state that knows this run")
            return
        marks: list[Mark] | None = None
        if manifest is not None:
            verdict.outcome = str(manifest.get("outcome"))
            marks = self._listed(manifest)
        # A start writes itself into the state when it begins, and into run.json when it ends.
        verdict.under_way = known is not None and (
            manifest is None
            or known.starts > len(_list(manifest.get("starts")))
            or (isinstance(state, AuditedStore) and _has_gone_on(manifest, known))
        )
        if known is not None and verdict.under_way:
            verdict.outcome = "finished by others" if known.finished else "under way or killed"
            self._keeps(marks or [], known)
            marks = known.marks
        elif known is not None and marks is not None:
            self._agrees(marks, known)
        assert marks is not None
        self._read_parts(marks)
        self._look_around(marks)
        self._archive.compare(self._where)
        archive = self._archive
        verdict.archives, verdict.answers, verdict.archive_size = archive.files, archive.answers, archive.size
        for name, first, other in twice(self._names):
            self._fault(f"record_id {name.hex()} is twice: {self._where(first)} and {self._where(other)}")
        if manifest is not None and not verdict.under_way and not verdict.unseen:
            self._matches(manifest)
        if isinstance(state, AuditedStore) and known is not None and state.in_use():
            verdict.source = "ledger"
            verdict.counts = dict(known.counts)
            verdict.notes.append("workers are at it: URLs are not compared with records one by one")
        elif state is not None and known is not None:
            verdict.source = "state"
            self._count_state(state, known)
            if manifest is not None and not verdict.under_way:
                self._same_counts("run.json", _dict(manifest.get("counts")), "the state", verdict.counts)
        elif manifest is not None:
            verdict.counts = {name: _int(_dict(manifest.get("counts")).get(name)) for name in _COUNTS}
        self._balance(verdict.counts, "run.json" if verdict.source == "run.json" else "the state")
        if verdict.source == "ledger":
            return
        if verdict.counts.get("final") != verdict.records + verdict.unseen + verdict.withheld:
            withheld = f" and {verdict.withheld} withheld" if verdict.withheld else ""
            records = verdict.records + verdict.unseen
            self._fault(
                f"{verdict.counts.get('final')} URLs are final, but there are {records} records{withheld}"
            )
        if verdict.outcome in ("finished", "gated") and verdict.counts.get("pending"):
            self._fault(f"the run is {verdict.outcome}, but {verdict.counts['pending']} URLs are pending")

    # -- what the run says of itself ---------------------------------------------------------------------------

    def _read_manifest(self) -> Mapping[str, Any] | None:
        path = self._place.folder / "run.json"
        try:
            content = read_json(path)
        except (OSError, ValueError) as error:
            self._fault(f"run.json cannot be read: {error}")
            return None
        if content is None:
            return None
        if not isinstance(content, dict) or content.get("schema") != "run/1":
            self._fault("run.json is no manifest of a run (schema run/1)")
            return None
        if content.get("run_id") != self._place.run_id:
            self._fault(f"run.json is of another run: {content.get('run_id')}")
        if content.get("outcome") not in _OVER:
            self._fault(f"run.json: outcome {content.get('outcome')!r} is none of {', '.join(_OVER)}")
        return content

    def _open_state(
        self, manifest: Mapping[str, Any] | None
    ) -> tuple[AuditedState | AuditedStore, Known] | tuple[None, None]:
        url = self._store if self._store is not None else frontier_of(manifest)
        if is_store(url):
            if self._store is None and _MASK in url:
                self._verdict.notes.append(
                    "the password of its store is not in run.json (--frontier names it): counted again from run.json"
                )
                return None, None
            return self._open(lambda: AuditedStore(url, self._place.job.name))
        path = self._place.state(frontier_of(manifest))
        if path is None:
            self._verdict.notes.append("the run had no state on disk: counted again from run.json")
            return None, None
        if not path.is_file():
            self._verdict.notes.append(f"there is no state at {path}: counted again from run.json")
            return None, None
        return self._open(lambda: AuditedState(path))

    def _open(
        self, opened: Callable[[], AuditedState | AuditedStore]
    ) -> tuple[AuditedState | AuditedStore, Known] | tuple[None, None]:
        try:
            state = opened()
            self._stack.callback(state.close)
            known = state.known()
        except StateAway as error:
            self._verdict.notes.append(f"{error}: counted again from run.json")
            return None, None
        except StateUnreadable as error:
            self._fault(str(error))
            return None, None
        if known is None or known.run_id != self._place.run_id:
            later = "no run" if known is None else f"run {known.run_id}"
            self._verdict.notes.append(f"the state has {later} by now: counted again from run.json")
            return None, None
        return state, known

    def _listed(self, manifest: Mapping[str, Any]) -> list[Mark]:
        marks = []
        for part in [*_list(manifest.get("parts")), *_list(manifest.get("archive"))]:
            match part:
                case {"name": str(name), "rows": int(rows), "bytes": int(size), "sha256": str(sha)}:
                    where = [
                        part[key] if isinstance(part.get(key), str) else None for key in ("machine", "path")
                    ]
                    marks.append(Mark(name, size, rows, True, sha, *where))
                case _:
                    self._fault(f"run.json: a part without name, rows, bytes and sha256: {part!r:.200}")
        for name, count in Counter(mark.name for mark in marks).items():
            if count > 1:
                self._fault(f"run.json lists {name} {count} times")
        return list({mark.name: mark for mark in marks}.values())

    def _keeps(self, listed: list[Mark], known: Known) -> None:
        """What an earlier start closed stands as it was."""
        now = {mark.name: mark for mark in known.marks}
        for mark in listed:
            if now.get(mark.name) != mark:
                self._fault(
                    f"{mark.name}: run.json has it as whole, the state has {_short(now.get(mark.name))}"
                )

    def _agrees(self, listed: list[Mark], known: Known) -> None:
        """The run is over: state and run.json name the same parts."""
        now = {mark.name: mark for mark in known.marks}
        for mark in listed:
            if now.get(mark.name) != mark:
                self._fault(
                    f"{mark.name}: run.json has {_short(mark)}, the state has {_short(now.get(mark.name))}"
                )
        for name in sorted(now.keys() - {mark.name for mark in listed}):
            self._fault(f"{name}: the state has {_short(now[name])}, run.json does not list it")

    # -- the files ---------------------------------------------------------------------------------------------

    def _read_parts(self, marks: list[Mark]) -> None:
        for mark in marks:
            number = len(self._part_names)
            self._part_names.append(mark.name)
            opened = self._open_part(mark)
            if opened is None:
                continue
            part, name = opened
            with part:
                if is_archive(mark.name):
                    rows, sha = self._archive.read(part, mark.name, finished=not name.endswith(_OPEN))
                else:
                    rows, sha = self._read_part(part, mark.name, number), part.sha256
                    self._verdict.parts += 1
                    self._verdict.size += part.size
                if part.size != mark.end:
                    self._fault(f"{name}: {part.size} bytes, committed and listed are {mark.end}")
                elif mark.closed and sha != mark.sha256:
                    self._fault(f"{name}: its sha256 is {sha}, listed is {mark.sha256}")
                if rows != mark.rows:
                    self._fault(f"{name}: {rows} lines, committed and listed are {mark.rows}")

    def _open_part(self, mark: Mark) -> tuple[PartFile, str] | None:
        """The part, and the name that it has. A run under way may rename it between two looks."""
        names = [mark.name]
        if self._verdict.under_way:
            names = [mark.name, mark.name + _OPEN, mark.name]
        for path in [folder / name for folder in self._folders(mark) for name in names]:
            name = path.name
            try:
                part = PartFile(path, None if mark.closed else mark.end)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._fault(f"{name}: {error.strerror}")
                return None
            if not mark.closed and not name.endswith(_OPEN):
                self._fault(f"{name}: it has its final name, but is not whole")
            return part, name
        if mark.machine is not None and mark.machine != socket.gethostname():
            # Another machine has written it.
            if not is_archive(mark.name):
                self._verdict.unseen += mark.rows
            self._verdict.notes.append(
                f"{mark.name}: not seen, {mark.rows} records; it is {mark.path} on {mark.machine}"
            )
            return None
        self._fault(f"{mark.name}: it is missing, with {mark.rows} records")
        return None

    def _folders(self, mark: Mark) -> list[Path]:
        """Where the part may be: in the folder of the run, or where a worker of this machine has written it."""
        folders = [self._place.folder]
        if mark.path is not None and mark.machine == socket.gethostname():
            folders.append(Path(mark.path).parent)
        return folders

    def _read_part(self, part: PartFile, name: str, number: int) -> int:
        rows = 0
        try:
            for line in part.lines(name):
                rows += 1
                self._read_line(line, number << _LINE_BITS | rows)
        except Unreadable as error:
            self._fault(f"{name}: it cannot be unpacked after line {rows}: {error}")
        return rows

    def _read_line(self, line: bytes, place: int) -> None:
        verdict = self._verdict
        verdict.records += 1
        if not line.endswith(b"\n"):
            self._fault(f"{self._where(place)}: the line is torn")
        for raw in _RAW:
            if raw in line:
                self._fault(f"{self._where(place)}: a raw control character")
        try:
            record = orjson.loads(line)
        except ValueError as error:
            self._fault(f"{self._where(place)}: no JSON: {error}")
            return
        wrong = page_check()(record)
        if wrong is not None:
            self._fault(f"{self._where(place)}: {wrong}")
            if not isinstance(record, dict):
                return
        self._archive.point(record, place)
        run_id, url = record.get("run_id"), record.get("url")
        if run_id != self._place.run_id:
            self._fault(f"{self._where(place)}: it is of run {run_id!r:.100}")
        name = record.get("record_id")
        if isinstance(name, str) and _HEX.fullmatch(name):
            identity = bytes.fromhex(name)
            self._names.add(identity, place)
            whole = isinstance(url, str) and record.get("host") and record.get("reason") != "url_too_long"
            if whole and identity != name_of(str(run_id), str(url)):
                self._fault(f"{self._where(place)}: record_id {name} is not that of {url!r:.200}")
        outcome, reason, status = record.get("outcome"), record.get("reason"), record.get("status")
        self._outcomes[str(outcome)] += 1
        self._ended[str(outcome), None if reason is None else str(reason)] += 1
        if reason is not None:
            self._reasons[str(reason)] += 1
        if isinstance(status, int):
            self._statuses[f"{status // 100}xx"] += 1
        self._failed += outcome == "failed" or (isinstance(status, int) and (status >= 500 or status == 429))

    def _look_around(self, marks: list[Mark]) -> None:
        """No part that nobody speaks for, none that should be whole and isn't."""
        known = {mark.name: mark for mark in marks}
        for path in sorted(self._place.folder.glob("pages-*")):
            name = path.name.removesuffix(_OPEN)
            if path.name in known:
                continue
            if not path.name.endswith(_OPEN):
                self._fault(f"{path.name}: it is not in run.json")
            elif not self._verdict.under_way:
                self._fault(f"{path.name}: it is open although the run has ended")
            elif name not in known:
                self._verdict.notes.append(
                    f"{path.name}: nothing in it is committed; the next start removes it"
                )

    # -- the sums ----------------------------------------------------------------------------------------------

    def _matches(self, manifest: Mapping[str, Any]) -> None:
        """The counts in run.json are those of the records, and of those that it says are withheld."""
        apart = _dict(manifest.get("withheld"))
        self._verdict.withheld = _int(apart.get("count", 0))
        self._same_sums("outcome", _dict(manifest.get("outcomes")), self._outcomes, apart.get("outcomes"))
        reasons = {name: _dict(entry).get("count") for name, entry in _dict(manifest.get("reasons")).items()}
        self._same_sums("reason", reasons, self._reasons, apart.get("reasons"))
        self._same_sums("status", _dict(manifest.get("statuses")), self._statuses, apart.get("statuses"))
        failed = {"failed_or_5xx": self._failed}
        self._same_sums("", {"failed_or_5xx": manifest.get("failed_or_5xx")}, failed, apart)

    def _same_sums(
        self, what: str, listed: Mapping[str, Any], found: Mapping[str, int], apart: object
    ) -> None:
        withheld = _dict(apart)
        for name in sorted(listed.keys() | found.keys()):
            said, counted = _int(listed.get(name, 0)), found.get(name, 0) + _int(withheld.get(name, 0))
            if said != counted:
                self._fault(f"{what} {name}: run.json says {said}, there are {counted} records".strip())

    def _same_counts(self, left: str, a: Mapping[str, Any], right: str, b: Mapping[str, Any]) -> None:
        for name in _COUNTS:
            if a.get(name) != b.get(name):
                self._fault(f"{name}: {left} says {a.get(name)}, {right} {b.get(name)}")

    def _balance(self, counts: Mapping[str, int], whose: str) -> None:
        seeds, discovered, final, pending = (counts.get(name, -1) for name in _COUNTS)
        if seeds + discovered != final + pending:
            self._fault(
                f"{whose}: seeds {seeds} + discovered {discovered} is not final {final} + pending {pending}"
            )

    def _count_state(self, state: AuditedState | AuditedStore, known: Known) -> None:
        """Every URL that the state has as done has its record, and the other way round."""
        recount = Recount()
        withheld = 0
        ended: Counter[tuple[str, str | None]] = Counter()
        with Identities() as done:
            try:
                for url in state.ended(known.run_id, recount):
                    if url.withheld:
                        withheld += 1
                        continue
                    done.add(url.name, url.row)
                    ended[url.outcome, url.reason] += 1
                for name, row in only_left(done, self._names) if not self._verdict.unseen else ():
                    self._fault(
                        f"lost: {state.url(row)!r:.200} is done, and no record has its id {name.hex()}"
                    )
            except StateUnreadable as error:
                self._fault(str(error))
                return
            for name, place in only_left(self._names, done):
                self._fault(f"{self._where(place)}: the state does not have record_id {name.hex()} as done")
        if not self._verdict.under_way and withheld != self._verdict.withheld:
            self._fault(f"withheld: run.json says {self._verdict.withheld}, the state has {withheld}")
        self._verdict.withheld = withheld
        self._verdict.counts = recount.as_dict()
        self._same_counts("the state's ledger", known.counts, "its rows", self._verdict.counts)
        for key in sorted(ended.keys() | self._ended.keys(), key=str) if not self._verdict.unseen else ():
            if ended[key] != self._ended[key]:
                what = " ".join(word for word in key if word)
                self._fault(f"{what}: the state has {ended[key]}, there are {self._ended[key]} records")

    def _where(self, place: int) -> str:
        return f"{self._part_names[place >> _LINE_BITS]}:{place & ((1 << _LINE_BITS) - 1)}"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _int(value: object) -> int:
    return value if isinstance(value, int) else -1


def _has_gone_on(manifest: Mapping[str, Any], known: Known) -> bool:
    """Have others of the run, who were there when this start stopped, gone on without it? Over a store they may."""
    then = _int(_dict(manifest.get("counts")).get("final"))
    return manifest.get("outcome") == "stopped" and known.counts["final"] > then


def _short(mark: Mark | None) -> str:
    if mark is None:
        return "no such part"
    sha = f", sha256 {mark.sha256[:12]}..." if mark.sha256 else ""
    return f"{'whole' if mark.closed else 'open'}, {mark.rows} rows, {mark.end} bytes{sha}"
