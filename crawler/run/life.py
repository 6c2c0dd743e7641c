"""One process of a worker, from its start to its end, seen from its parent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from crawler.engine.snapshot import Snapshot
from crawler.model.errors import CrawlerError, StorageError
from crawler.run.account import Account
from crawler.run.orders import Orders, line, say_again

#: A report may name a few hundred URLs.
_LONGEST_LINE: Final = 16 * 1024 * 1024


class WorkerFailed(CrawlerError):
    """A worker met a bug, or dies whenever it is started."""


class Life:
    """``resting``: nothing is left for it to do, and others of the run are still at it."""

    def __init__(self, orders: Orders, process: asyncio.subprocess.Process) -> None:
        self.orders = orders
        self.process = process
        self.snapshot = Snapshot()
        self.account = Account()
        self.ready = False
        self.resting = False
        self.ended = False
        self.error: CrawlerError | None = None

    @classmethod
    async def begin(cls, orders: Orders, descriptors: Sequence[int]) -> Life:
        """``descriptors``: of ours that it has as well. Raises :class:`WorkerFailed`."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", *_interpreter_flags(), "-m", "crawler.run.member"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
                # Ctrl-C is for us: who is still starting would not know what to do with it.
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            raise WorkerFailed(f"no worker process can be started: {error.strerror or error}") from error
        life = cls(orders, process)
        life._write(orders.packed())
        return life

    def tell(self, command: Mapping[str, Any]) -> None:
        self._write(line(command))

    def _write(self, data: bytes) -> None:
        """It may have died: then nobody is told, and the end of its own pipe says so."""
        assert self.process.stdin is not None
        with suppress(OSError, RuntimeError):
            self.process.stdin.write(data)

    async def hear(self) -> bool:
        """Take in its next report; false where its end of the pipe is closed."""
        assert self.process.stdout is not None
        report = await self.process.stdout.readline()
        if not report.endswith(b"\n"):
            # It has gone, perhaps in the middle of the word.
            return False
        said = orjson.loads(report)
        if "log" in said:
            say_again(said["log"])
        else:
            self._take(said)
        return True

    def _take(self, said: Mapping[str, Any]) -> None:
        if "snapshot" in said:
            self.snapshot = Snapshot(**said["snapshot"])
        if "account" in said:
            self.account = Account.read(said["account"])
        # Who has found nothing to do is waited for no more than who is about to begin.
        self.ready = self.ready or "ready" in said or "ended" in said
        self.resting = said.get("resting", self.resting)
        self.ended = self.ended or "ended" in said
        if "error" in said:
            code, text = said["error"]["code"], said["error"]["text"]
            self.error = StorageError(text) if code == StorageError.exit_code else WorkerFailed(text)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


def _interpreter_flags() -> list[str]:
    """The warnings and the mode that this interpreter was started with."""
    flags = [f"-W{each}" for each in sys.warnoptions]
    return [*flags, "-X", "dev"] if sys.flags.dev_mode else flags
