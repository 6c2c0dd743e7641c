"""One child that parses, as the thread that owns it sees it: asked, waited for with a deadline, killed by its id."""

from __future__ import annotations

import fcntl
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from crawler.engine.parser_wire import END, HEADER, READY, Garbled

#: Seconds until a new child says that it is ready; 0.3 on a quiet machine.
_START: Final = 30.0
_PIPE: Final = 1024 * 1024


class Late(Exception):
    """The deadline has passed."""


class Gone(Exception):
    """The child has ended; the text says how."""


class Child:
    """One process and its two pipes. Belongs to one thread, which is also what its life hangs on (``prctl``).

    Raises :class:`OSError` where no process can be started.
    """

    def __init__(self) -> None:
        # The same modules as here, whatever the working folder holds, and nothing of the environment: a password may
        # stand in it. Small arenas, given back at once.
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_TRIM_THRESHOLD_": "1048576",
        }
        environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "crawler.engine.parser_process", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            close_fds=True,
            env=environment,
            # Ctrl-C in a terminal goes to every process of the group.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._to, self._from):
            os.set_blocking(pipe, False)
            with suppress(OSError, AttributeError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        """Seconds of CPU time that it has used; without ``/proc`` all that anybody may use."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as stat:
                fields = stat.read().rpartition(b") ")[2].split()
        except OSError:
            return math.inf
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(
        self, task: Iterable[bytes], deadline: float, *, most: int
    ) -> tuple[list[tuple[int, bytes]], bool]:
        """The reply's frames before ``END``, and whether the child ends by itself now.

        ``deadline``: seconds of ``time.monotonic()``; the start of a new child is not counted. ``most``: bytes of the
        whole reply. Raises :class:`Late`, :class:`Gone`, :class:`Garbled`.
        """
        if not self._ready:
            began = time.monotonic()
            kind, _ = self._frame(began + _START, 0)
            if kind != READY:
                raise Garbled("not ready")
            self._ready = True
            deadline += time.monotonic() - began
        for part in task:
            self._write(part, deadline)
        frames: list[tuple[int, bytes]] = []
        while True:
            kind, payload = self._frame(deadline, most)
            if kind == END:
                return frames, payload != b""
            most -= len(payload)
            frames.append((kind, payload))

    def kill(self) -> None:
        """May be called from any thread; whoever waits for a reply hears :class:`Gone`."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, if it is still there, and reap it. Idempotent."""
        process = self._process
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()

    def _frame(self, deadline: float, most: int) -> tuple[int, bytes]:
        kind, size = HEADER.unpack(self._read(HEADER.size, deadline))
        if size > most:
            raise Garbled(f"more than {most} bytes")
        return kind, self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        pieces = []
        while size:
            try:
                piece = os.read(self._from, min(size, _PIPE))
            except BlockingIOError:
                _wait(self._from, select.POLLIN, deadline)
                continue
            if not piece:
                raise self._gone()
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                _wait(self._to, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise self._gone() from None

    def _gone(self) -> Gone:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return Gone("the parser closed its pipe")
        if code == 1:
            # An exception in the child: MemoryError, as everything read_page says of itself is that it never raises.
            return Gone("the parser ran out of memory")
        return Gone(f"the parser ended by signal {-code}" if code < 0 else f"the parser ended with {code}")


def _wait(descriptor: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Late
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll(left * 1000)
