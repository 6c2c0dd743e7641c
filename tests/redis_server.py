"""A real redis-server for tests: on a free loopback port, in a folder of its own, killed and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

#: Debian's package has it; `.ci/run` installs it.
PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


def require_redis() -> None:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed (apt install redis-server)")


def free_port() -> int:
    """Below 55,536: a node of a Cluster listens 10,000 above it too."""
    for _ in range(1000):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            if port <= 55_535:
                return port
    raise AssertionError("no free port below 55,536")


class RedisServer:
    """``options`` are lines of its configuration. It keeps its port and its folder when started again.

    It syncs what it acknowledges: one with ``everysec``, as most are, is waited for, two seconds for each part.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        require_redis()
        self.folder = folder
        self.port = free_port()
        self.options = {"appendonly": "yes", "appendfsync": "always", "save": "", **options}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def syncing_thread(self) -> int:
        """The one that syncs what ``everysec`` has written: who delays it (strace) leaves the others alone."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return int(next(each.name for each in threads if (each / "comm").read_text().startswith("bio_aof")))

    def start(self) -> RedisServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        assert PROGRAM is not None
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self.options}
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen([PROGRAM, *arguments], stdout=log, stderr=log)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as wire:
                    wire.sendall(b"PING\r\n")
                    said = wire.recv(64)
                    if said.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM")):
                        return self
            except OSError:
                pass
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """As a power cut ends a process: nothing is written any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def hold_all_slots(self) -> None:
        """Be a whole Cluster alone; started with ``cluster-enabled``."""
        self.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        until = time.monotonic() + 20
        while b"cluster_state:ok" not in self.ask("CLUSTER", "INFO"):
            assert time.monotonic() < until, "no cluster"
            time.sleep(0.05)

    def ask(self, *words: str) -> Any:
        """One question beside the crawler's own."""
        import redis

        client = redis.Redis(host="127.0.0.1", port=self.port, password=self.options.get("requirepass"))
        try:
            return client.execute_command(*words)
        finally:
            client.close()
