"""Signals at random phases of a start: when each is sent, and what must be true of how the process then ends."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
import orjson

from tests.crash.world import SECONDS, World

#: Seconds: the grace period that the starts are given, and what may pass behind the second signal.
GRACE = 1.0
SECOND = 1.0
#: Two pages take longer than the grace period.
SLOW = {20: 1.5, 41: 1.5}
#: All of the workers ask the one host at a time.
IN_FLIGHT = 8
SETTINGS = {"CRAWLER_POLITENESS_PER_HOST": str(IN_FLIGHT)}
PHASES = ("starting", "seeding", "crawling", "committing", "finishing", "half finished")
#: Each with the signals that it sends, in order.
WAYS: dict[str, Sequence[signal.Signals]] = {
    "TERM": [signal.SIGTERM],
    "INT": [signal.SIGINT],
    "HUP": [signal.SIGHUP],
    "TERM INT": [signal.SIGTERM, signal.SIGINT],
    "INT INT": [signal.SIGINT, signal.SIGINT],
    "HUP TERM": [signal.SIGHUP, signal.SIGTERM],
    "PIPE": [signal.SIGPIPE],
    "PIPE TERM": [signal.SIGPIPE, signal.SIGTERM],
    "STOP CONT": [signal.SIGSTOP, signal.SIGCONT],
    "STOP TERM CONT": [signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT],
}
STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@dataclass(frozen=True)
class Case:
    """``number`` and ``seed`` say it all: the same two make the same case again."""

    number: int
    seed: int

    @property
    def phase(self) -> str:
        return PHASES[self.number % len(PHASES)]

    @property
    def way(self) -> str:
        # Each phase meets each way in turn.
        return list(WAYS)[(self.number // len(PHASES) + self.number) % len(WAYS)]

    def __str__(self) -> str:
        return f"{self.number} ({self.way} while {self.phase}, seed {self.seed})"


def prepare(world: World) -> None:
    """Slow pages, and a list of seeds that takes a while to be read: every URL of the site, many times. In the main
    thread: what is started from a shell's background ignores SIGINT, and so would the starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, seconds in SLOW.items():
        world.site.page(f"/{number}", world.links(number), wait=seconds)
    lines = sorted(world.expected) * 300
    random.Random(1).shuffle(lines)
    (world.folder / "many.txt").write_text("\n".join(lines))


@dataclass(frozen=True)
class Sent:
    """How a start ended that got signals. ``held``: seconds from the last of them to its end, without those that it
    waited for a processor; ``listening``: it had said that it begins before the first came."""

    code: int
    said: str
    held: float
    listening: bool


def send_signals(world: World, case: Case) -> float:
    """Do it, hold the ending to what is promised, go on. Answers by how much it was within its time (seconds)."""
    chance = random.Random(f"{case.seed}/{case.number}")
    output = half_finished(world) if case.phase == "half finished" else world.copy(world.base(), "signalled")
    world.seeds = str(world.folder / "many.txt") if case.phase == "seeding" else ""
    try:
        sent = _start_and_send(world, output, case, chance)
        left = _judge(world, output, case, sent)
    finally:
        world.seeds = ""
    if sent.code != 0:
        if case.phase != "half finished":
            world.is_kept(output)
        world.is_whole(output)
    return left


def _start_and_send(world: World, output: Path, case: Case, chance: random.Random) -> Sent:
    world.site.forget()
    log = world.folder / "said"
    began = time.monotonic()
    with open(log, "wb") as said:
        process = world.begin(output, "--grace", f"{GRACE}s", stderr=said)
    _MOMENTS[case.phase](world, output, process, chance, log)
    if case.phase == "crawling":
        world.boot = (world.boot + _first_asked(world, began)) / 2
    listening = b'"start"' in log.read_bytes()
    signals = WAYS[case.way]
    for number, one in enumerate(signals):
        if number:
            _hear(process, log, chance, same=one is signals[number - 1])
        _send(process, one)
    at, waited = time.monotonic(), _waited(process.pid)
    last = waited
    while process.poll() is None:
        assert time.monotonic() - at < SECONDS, f"{case}: it goes on and on"
        last = max(last, _waited(process.pid))
        time.sleep(0.005)
    held = time.monotonic() - at - (last - waited)
    return Sent(process.returncode, log.read_text("utf-8", "replace"), held, listening)


def _judge(world: World, output: Path, case: Case, sent: Sent) -> float:
    what = f"{case}: {sent}"
    signals = [one for one in WAYS[case.way] if one in STOPPING]
    trouble = ("Traceback", "Exception ignored", "Fatal Python error")
    if any(word in sent.said for word in trouble):
        # Before the first line of ours has run it is Python that answers Ctrl-C.
        assert not sent.listening, what
        assert "crawler" not in sent.said, what
    allowed = {0, 3} if signals else {0}
    if not sent.listening:
        # The kernel's own answer, or Python's; PIPE too, before Python is up.
        allowed |= {-one for one in WAYS[case.way]}
        if signal.SIGINT in signals:
            allowed |= {130} if "Traceback" not in sent.said else {130, 1}
    assert sent.code in allowed, what
    if sent.code == 0:
        world.is_published(output)
    if not signals:
        return GRACE
    within = SECOND if len(signals) > 1 else GRACE
    assert sent.held <= within + world.slack, what
    return within - sent.held


def half_finished(world: World) -> Path:
    """A run whose parts and run.json are there, and which died before ``latest`` and its finished mark."""
    base = world.output("half")
    if not base.exists():
        shutil.copytree(world.base(), base, symlinks=True)
        ended = world.start(base)
        assert ended.code == 0, ended
        (base / "j" / "latest").unlink()
        db = apsw.Connection(str(base / "j" / "state.db"))
        (extra,) = db.execute("SELECT extra FROM run").fetchall()[0]
        kept = {
            key: value for key, value in orjson.loads(extra).items() if key not in ("finished_at", "code")
        }
        db.execute("UPDATE run SET finished = 0, extra = ?", (orjson.dumps(kept).decode(),))
        db.close()
    return world.copy(base, "signalled")


# -- when the first signal is sent --------------------------------------------------------------------------

Moment = Callable[[World, Path, "subprocess.Popen[bytes]", random.Random, Path], None]


def _starting(
    world: World, _: Path, process: subprocess.Popen[bytes], chance: random.Random, __: Path
) -> None:
    _pass(process, chance.uniform(0.0, 1.0) * world.boot)


def _half(world: World, _: Path, process: subprocess.Popen[bytes], chance: random.Random, __: Path) -> None:
    _pass(process, chance.uniform(0.6, 1.2) * world.boot)


def _seeding(_: World, __: Path, process: subprocess.Popen[bytes], chance: random.Random, log: Path) -> None:
    _until(process, lambda: b'"start"' in log.read_bytes())
    _pass(process, chance.uniform(0.0, 0.5))


def _crawling(
    world: World, _: Path, process: subprocess.Popen[bytes], chance: random.Random, __: Path
) -> None:
    count = chance.randint(1, len(world.expected) - 10)
    _until(process, lambda: world.site.requests >= count)
    _pass(process, chance.uniform(0.0, 0.05))


def _committing(
    world: World, output: Path, process: subprocess.Popen[bytes], chance: random.Random, _: Path
) -> None:
    """As a line, or a page of the log, comes to be written."""
    count = chance.randint(1, len(world.expected) // 2)
    _until(process, lambda: world.site.requests >= count)
    watched = "runs/*/*.open" if chance.random() < 0.5 else "state.db-wal"
    before = _sizes(output, watched)
    _until(process, lambda: _sizes(output, watched) != before)


def _finishing(
    world: World, output: Path, process: subprocess.Popen[bytes], chance: random.Random, _: Path
) -> None:
    """From the last request on, from run.json on, or from ``latest`` on."""
    old = max((path.stat().st_mtime_ns for path in output.glob("j/runs/*/run.json")), default=0)
    sights: list[Callable[[], bool]] = [
        lambda: world.site.requests >= len(world.expected) - 10,
        lambda: any(path.stat().st_mtime_ns != old for path in output.glob("j/runs/*/run.json")),
        (output / "j" / "latest").exists,
    ]
    _until(process, chance.choice(sights))
    _pass(process, chance.uniform(0.0, 0.08))


_MOMENTS: dict[str, Moment] = dict(
    zip(PHASES, (_starting, _seeding, _crawling, _committing, _finishing, _half), strict=True)
)


def _sizes(output: Path, pattern: str) -> list[int]:
    found = []
    for path in sorted((output / "j").glob(pattern)):
        try:
            found.append(path.stat().st_size)
        except FileNotFoundError:
            found.append(-1)
    return found


def _pass(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def _until(process: subprocess.Popen[bytes], seen: Callable[[], bool]) -> None:
    began = time.monotonic()
    while process.poll() is None and not seen():
        assert time.monotonic() - began < SECONDS, "the moment never came"
        time.sleep(0.001)


def _first_asked(world: World, began: float) -> float:
    first = next(iter(world.site.log), None)
    return first.at - began if first is not None else world.boot


def _hear(process: subprocess.Popen[bytes], log: Path, chance: random.Random, *, same: bool) -> None:
    """Some time between two signals; of two equal ones the kernel makes one as long as nobody has taken the first."""
    if same:
        began = time.monotonic()
        while process.poll() is None and b"stopping" not in log.read_bytes():
            if time.monotonic() - began > 0.5:
                return
            time.sleep(0.005)
    _pass(process, chance.uniform(0.0, 0.3))


def _send(process: subprocess.Popen[bytes], one: signal.Signals) -> None:
    if process.poll() is None:
        os.kill(process.pid, one)


def _waited(pid: int) -> float:
    """Seconds that the threads of a process were ready and waited for a processor: not the program's own."""
    total = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        pass
    return total / 1e9
