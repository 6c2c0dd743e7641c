"""``[on_finish] command``: told of each start that ends, by its run.json."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any, Final

import orjson

from crawler.model.settings import OnFinish

#: The exit code that the start will end with.
EXIT_CODE: Final = "CRAWLER_EXIT_CODE"


def tell_finish(settings: OnFinish, manifest: Mapping[str, Any], code: int) -> str | None:
    """Run the command to its end; the answer is what went wrong, None where nothing did.

    It has run.json on standard input and :data:`EXIT_CODE` in its environment; what it prints goes to standard error,
    for standard output may hold records. When its time is up it is killed with all that it has started.
    """
    if settings.command is None:
        return None
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", settings.command],
            stdin=subprocess.PIPE,
            stdout=2,
            env={**os.environ, EXIT_CODE: str(code)},
            start_new_session=True,
        )
    except OSError as error:
        return f"[on_finish] command: cannot be started ({error.strerror})"
    try:
        # A command that reads nothing is no fault: communicate() takes the closed pipe for an answer.
        process.communicate(orjson.dumps(manifest) + b"\n", settings.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"[on_finish] command: not ready after {settings.timeout:g} s, killed"
    if process.returncode < 0:
        return f"[on_finish] command: ended by signal {-process.returncode}"
    return f"[on_finish] command: exit code {process.returncode}" if process.returncode else None
