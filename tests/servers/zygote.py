"""The program started by a fork of one process that has its modules already (Android's word for it is zygote).

Every start is a process of its own, with its own words, environment, folder, streams, signals and end. But 400 starts a
suite would import the same modules, 0.35 s of CPU time each: two minutes of the suite. A fork takes 10 ms.

The zygote has one thread, one socket, a loop over ``poll`` and no signal handler, so that a child finds nothing of it.
A start that says something of its own to the interpreter (``PYTHONPATH``, ``strace``) is no case for it: see
:meth:`tests.servers.program.Program.start`.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import json
import os
import pkgutil
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

#: A start in bytes: its words and environment.
_LONGEST = 2**20
_ROOT = Path(__file__).parents[2]
#: Nothing unclosed, nothing never awaited, no warning.
STRICT = ("-X", "dev", "-W", "error")
_MAIN = "from tests.servers.zygote import main; main()"


class Forked:
    """A process that a zygote has forked: what :class:`subprocess.Popen` is to one of our own."""

    def __init__(self, news: socket.socket) -> None:
        self.stdin: BinaryIO | None = None
        self.stdout: BinaryIO | None = None
        self.stderr: BinaryIO | None = None
        self._news = news
        self.returncode: int | None = None
        self.pid = int(self._hear(None) or 0)
        assert self.pid, "the zygote is gone"

    def poll(self) -> int | None:
        return self._end(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._end(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("crawler", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(9)

    def _end(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            said = self._hear(timeout)
            if said is not None:
                self.returncode = os.waitstatus_to_exitcode(int(said or 9))
                self._news.close()
        return self.returncode

    def _hear(self, timeout: float | None) -> str | None:
        """A line; empty where nothing will come any more, ``None`` where nothing has come yet."""
        waiting = select.poll()
        waiting.register(self._news, select.POLLIN)
        if not waiting.poll(None if timeout is None else timeout * 1000):
            return None
        return self._news.recv(32).decode()


class Zygote:
    """The process, and how it is told to fork. It ends with our end of the socket."""

    def __init__(self, python: Sequence[str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *python, "-c", _MAIN, str(theirs.fileno())],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def fork(self, order: bytes, streams: Sequence[int]) -> Forked:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._ours, [order], [*streams, theirs.fileno()])
        return Forked(ours)

    def _close(self) -> None:
        self._ours.close()
        self._process.wait()


@cache
def _zygote(python: tuple[str, ...]) -> Zygote:
    """One a process of the suite, from the first such start on."""
    return Zygote(python)


def fork(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    streams: Sequence[int],
    python: Sequence[str] = (),
) -> Forked:
    """``crawler WORDS`` in that folder and environment; ``streams`` are its standard input, output and error, and
    ``python`` the options of its interpreter: none, or :data:`STRICT`."""
    order = json.dumps([list(words), str(folder), dict(environment)]).encode()
    return _zygote(tuple(python)).fork(order, streams)


def fork_with_pipes(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    with_input: bool = False,
    python: Sequence[str] = (),
) -> Forked:
    """The same with pipes, as ``PIPE`` makes them for :class:`subprocess.Popen`; without input it is empty."""
    stdin = os.pipe() if with_input else (os.open(os.devnull, os.O_RDONLY), None)
    (read_out, stdout), (read_error, stderr) = os.pipe(), os.pipe()
    forked = fork(words, folder, environment, [stdin[0], stdout, stderr], python)
    for theirs in (stdin[0], stdout, stderr):
        os.close(theirs)
    forked.stdin = None if stdin[1] is None else os.fdopen(stdin[1], "wb")
    forked.stdout, forked.stderr = os.fdopen(read_out, "rb"), os.fdopen(read_error, "rb")
    return forked


def load() -> None:
    """Every module of the program, also those that a command imports when it is called."""
    import crawler

    for module in pkgutil.walk_packages(crawler.__path__, "crawler."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def serve(orders: socket.socket) -> bool:
    """Fork as ordered and tell how each child ended. True in a child, False when nobody orders any more."""
    living: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == orders.fileno():
                said, descriptors, _, _ = socket.recv_fds(orders, _LONGEST, 4)
                if not said:
                    return False
                *streams, answer = descriptors
                pid = os.fork()
                if pid == 0:
                    become(*json.loads(said), streams)
                    for _, news in living.values():
                        news.detach()
                    return True
                for stream in streams:
                    os.close(stream)
                news = socket.socket(fileno=answer)
                news.send(b"%d" % pid)
                end = os.pidfd_open(pid)
                living[end] = pid, news
                poll.register(end, select.POLLIN)
            else:
                pid, news = living.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                with news:
                    _tell(news, os.waitpid(pid, 0)[1])


def _tell(news: socket.socket, status: int) -> None:
    try:
        news.send(b"%d" % status)
    except BrokenPipeError:
        pass  # nobody waits for it


def become(words: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[int]) -> None:
    """What an exec would have made of this process."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, 2**20)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    # A terminal's lines are written as they end.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]
    sys.path[0] = folder
    sys.argv = ["crawler", *words]


def main() -> None:
    """The zygote's life, and then each child's: the program from its entry on, to the end of the interpreter."""
    faulthandler.enable()
    load()
    orders = socket.socket(fileno=int(sys.argv[1]))
    if serve(orders):
        orders.detach()
        from crawler.cli import main as program

        program()
