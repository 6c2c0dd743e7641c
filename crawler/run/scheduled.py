"""The runs of a schedule as processes. How one knows that it is one: ``origin.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from crawler.run.origin import SCHEDULE, SCHEDULED_FOR
from crawler.run.start import iso


class Process:
    """One ``crawler run``, in a session of its own: Ctrl-C in a terminal reaches the schedule, which passes it on."""

    def __init__(self, words: Sequence[str], moment: str) -> None:
        environment = {**os.environ, SCHEDULED_FOR: moment, SCHEDULE: str(os.getpid())}
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def code(self) -> int | None:
        """As a shell has it: 128 and the signal that ended it."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)


class Processes:
    """Starts ``crawler run --job NAME`` of this same program. ``flags`` go to each."""

    def __init__(self, flags: Sequence[str]) -> None:
        self._flags = flags

    def start(self, job: str, due: float, fresh: bool) -> Process:
        # The same interpreter and modules as here, whatever the current folder holds.
        words = [
            sys.executable,
            "-P",
            "-m",
            "crawler",
            "run",
            "--job",
            job,
            "--progress",
            "never",
            *self._flags,
        ]
        return Process([*words, "--fresh"] if fresh else words, iso(due))
