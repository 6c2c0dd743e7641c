"""Power loss, replayed: a recorded trace of a crawl's calls on its files, cut anywhere, with what wasn't synced lost.

Data is safe once its file was synced; that syncs the file's own name as well, as ext4 and xfs do. Renames, removals and
new folders are safe once their folder was synced. Of the rest a cut keeps nothing, the first half, or all of it
with the last write torn at a multiple of 512 bytes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tests.crash.world import World

SECTOR = 512
WORDS = [
    *("strace", "-f", "-qq", "-y", "-xx", "-s", "16777216"),
    *(
        "-e",
        "trace=openat,lseek,write,pwrite64,ftruncate,truncate,fsync,fdatasync,rename,unlink,symlink,mkdir",
    ),
]
_CALL = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
_FD = re.compile(r"^(\d+)<([^>]*)>")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class Loss(StrEnum):
    """What is lost of what wasn't synced."""

    ALL = "all of it"
    HALF = "the second half"
    TORN = "the end of the last write"


@dataclass(eq=False)
class Inode:
    """A file, a folder (``data`` is None) or a link (``data`` is its target)."""

    kind: str
    data: bytearray | None = None


@dataclass
class Change:
    """``step`` of the trace; ``safe`` is the step that made it durable, if any did."""

    step: int
    what: str
    inode: Inode
    name: str = ""
    offset: int = 0
    data: bytes = b""
    safe: int | None = None


@dataclass
class Trace:
    """``changes`` in order; ``steps`` is how many calls there were."""

    base: dict[str, Inode]
    changes: list[Change] = field(default_factory=list)
    steps: int = 0


def read_base(root: Path) -> dict[str, Inode]:
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        if path.is_symlink():
            found[str(path)] = Inode("link", bytearray(str(path.readlink()).encode()))
        elif path.is_dir():
            found[str(path)] = Inode("folder")
        elif not path.name.endswith("-shm"):
            found[str(path)] = Inode("file", bytearray(path.read_bytes()))
    return found


def read_trace(log: Path, root: Path, base: dict[str, Inode]) -> Trace:
    """The changes below ``root`` that began as ``base``."""
    trace = Trace(base)
    names = dict(base)
    opened: dict[tuple[str, str], int] = {}
    for call, words, result in _calls(log):
        if result.startswith(("-1", "?")):
            continue
        trace.steps += 1
        step = trace.steps
        _read_call(trace, names, opened, step, call, words, result, str(root))
    return trace


def _read_call(
    trace: Trace,
    names: dict[str, Inode],
    opened: dict[tuple[str, str], int],
    step: int,
    call: str,
    words: str,
    result: str,
    root: str,
) -> None:
    def mine(path: str) -> bool:
        return (path == root or path.startswith(root + "/")) and not path.endswith("-shm")

    def note(what: str, inode: Inode, **more: object) -> None:
        trace.changes.append(Change(step, what, inode, **more))  # type: ignore[arg-type]

    texts = [_bytes(text) for text in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', words)]
    if call == "openat":
        match = _FD.match(result)
        assert match is not None, result
        path = _bytes(match[2]).decode()
        if not mine(path):
            return
        if path not in names:
            names[path] = Inode("file", bytearray())
            note("link", names[path], name=path)
        elif "O_TRUNC" in words:
            note("truncate", names[path], offset=0)
        opened[match[1], path] = 0
        return
    if call in ("rename", "unlink", "symlink", "mkdir", "truncate"):
        paths = [_absolute(text.decode(), root) for text in texts]
        if call == "symlink":
            if mine(paths[1]):
                names[paths[1]] = Inode("link", bytearray(texts[0]))
                note("link", names[paths[1]], name=paths[1])
        elif call == "mkdir":
            if mine(paths[0]):
                names[paths[0]] = Inode("folder")
                note("link", names[paths[0]], name=paths[0])
        elif call == "truncate":
            if mine(paths[0]):
                note("truncate", names[paths[0]], offset=int(words.rsplit(",", 1)[1].rstrip(") ")))
        elif call == "unlink":
            if mine(paths[0]):
                note("unlink", names.pop(paths[0]), name=paths[0])
        elif mine(paths[0]):
            inode = names.pop(paths[0])
            names[paths[1]] = inode
            note("rename", inode, name=paths[1], data=paths[0].encode())
        return
    match = _FD.match(words)
    if match is None:
        return
    path = _bytes(match[2]).decode().removesuffix(" (deleted)")
    if not mine(path) or path not in names:
        return
    inode, handle = names[path], (match[1], path)
    numbers = [int(word) for word in re.findall(r", (-?\d+)", words)]
    if call == "lseek":
        opened[handle] = int(result.split()[0])
    elif call == "write":
        count = int(result.split()[0])
        at = opened.get(handle, 0)
        note("write", inode, offset=at, data=texts[0][:count])
        opened[handle] = at + count
    elif call == "pwrite64":
        note("write", inode, offset=numbers[-1], data=texts[0][: int(result.split()[0])])
    elif call == "ftruncate":
        note("truncate", inode, offset=numbers[-1])
    elif call in ("fsync", "fdatasync"):
        _make_safe(trace, inode, path, step)


def _make_safe(trace: Trace, inode: Inode, path: str, step: int) -> None:
    for change in trace.changes:
        if change.safe is not None:
            continue
        own = inode.kind == "file" and change.inode is inode and change.what in ("write", "truncate", "link")
        if own or (inode.kind == "folder" and change.name.rpartition("/")[0] == path):
            change.safe = step


def _calls(log: Path) -> Iterator[tuple[str, str, str]]:
    """Name, arguments and result of each call, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in log.read_text("latin-1").splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        thread, resumed, call, rest = match.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed is not None:
            rest = begun.pop(thread, "") + rest
        words, separator, result = rest.rpartition(" = ")
        if separator:
            yield resumed or call, words, result


def _bytes(text: str) -> bytes:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")


def _absolute(path: str, root: str) -> str:
    return path if path.startswith("/") else str(Path(root).parent / path)


def cut(trace: Trace, step: int, loss: Loss) -> dict[str, Inode]:
    """The files as they are found after a loss of power behind ``step``."""
    made = [change for change in trace.changes if change.step <= step]
    open_ = [change for change in made if change.safe is None or change.safe > step]
    if loss is Loss.ALL:
        lost = set(map(id, open_))
    elif loss is Loss.HALF:
        lost = set(map(id, open_[len(open_) // 2 :]))
    else:
        lost = set()
    torn = next((change for change in reversed(open_) if change.what == "write"), None)
    copies: dict[int, Inode] = {}

    def copy(inode: Inode) -> Inode:
        known = copies.get(id(inode))
        if known is None:
            data = trace_base_data.get(id(inode))
            if data is None and inode.kind != "folder":
                data = bytearray(inode.data or b"") if inode.kind == "link" else bytearray()
            known = copies[id(inode)] = Inode(inode.kind, None if data is None else bytearray(data))
        return known

    trace_base_data = {id(inode): inode.data for inode in trace.base.values()}
    names = {name: copy(inode) for name, inode in trace.base.items()}
    for change in made:
        if id(change) in lost:
            continue
        inode = copy(change.inode)
        match change.what:
            case "link":
                names[change.name] = inode
            case "unlink":
                names.pop(change.name, None)
            case "rename":
                names.pop(change.data.decode(), None)
                names[change.name] = inode
            case "truncate":
                assert inode.data is not None
                _resize(inode.data, change.offset)
            case "write":
                assert inode.data is not None
                data = change.data
                if loss is Loss.TORN and change is torn:
                    data = data[: len(data) // 2 // SECTOR * SECTOR]
                _resize(inode.data, max(len(inode.data), change.offset))
                inode.data[change.offset : change.offset + len(data)] = data
    return names


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def put(names: dict[str, Inode], old: Path, new: Path) -> None:
    """Write the files, which were below ``old``, below ``new``."""
    for name, inode in sorted(names.items()):
        path = new / Path(name).relative_to(old)
        if not path.parent.is_dir():
            continue  # its folder was lost
        if inode.kind == "folder":
            path.mkdir(exist_ok=True)
        elif inode.kind == "link":
            assert inode.data is not None
            path.symlink_to(inode.data.decode())
        else:
            assert inode.data is not None
            path.write_bytes(inode.data)


def spread_steps(trace: Trace, count: int) -> Sequence[int]:
    """``count`` steps behind which something had changed, evenly over the trace."""
    steps = sorted({change.step for change in trace.changes})
    return [steps[int(at * len(steps) / count)] for at in range(min(count, len(steps)))]


def record(world: World, *, begun: bool) -> tuple[Trace, Path]:
    """The trace of a whole start, of a run that has ``begun`` or of the first."""
    output = world.output("powered")
    shutil.rmtree(output, ignore_errors=True)
    if begun:
        world.copy(world.base(), "powered")
    else:
        output.mkdir()
    base = read_base(output)
    log = world.folder / "power.log"
    ended = world.start(output, prefix=[*WORDS, "-o", str(log)])
    assert ended.code == 0, ended
    trace = read_trace(log, output, base)
    log.unlink()
    return trace, output


def commits(trace: Trace) -> list[int]:
    """The steps behind which one more part of the state's log was safe: what it speaks of must be so too."""
    log = next(change.inode for change in trace.changes if change.name.endswith("state.db-wal"))
    safe = {change.safe for change in trace.changes if change.inode is log and change.what == "write"}
    return sorted(step for step in safe if step is not None)


def lose_power(world: World, trace: Trace, old: Path, step: int, loss: Loss) -> bool:
    """The state that a loss of power behind ``step`` leaves, and the same command on it."""
    output = world.output("found")
    shutil.rmtree(output, ignore_errors=True)
    put(cut(trace, step, loss), old, output)
    world.is_whole(output)
    return True
