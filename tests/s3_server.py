"""A real HTTP server that speaks S3, in a process of its own: moto's, which keeps its objects in memory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.redis_server import free_port

_ASKED = re.compile(r'"(?:\x1b\[[\d;]*m)*(GET|HEAD|PUT|POST|DELETE) (/[^ ]*) HTTP')


class S3Server:
    """``bucket`` is there from the start."""

    bucket = "crawls"

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("moto")
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the crawler must be told to find it."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> S3Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        serve = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{self.port}'])"
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen([sys.executable, "-c", serve], stdout=log, stderr=log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                self.make_bucket()
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def make_bucket(self) -> None:
        self._ask("PUT", f"/{self.bucket}")

    def forget(self) -> None:
        """No bucket, no object, nothing asked."""
        self._ask("POST", "/moto-api/reset")
        (self.folder / "log").write_bytes(b"")

    def objects(self) -> dict[str, bytes]:
        import obstore
        from obstore.store import S3Store

        store = S3Store(
            self.bucket,
            endpoint=self.address,
            access_key_id="me",
            secret_access_key="secret",
            region="us-east-1",
            client_options={"allow_http": True},
        )
        names = [found["path"] for batch in obstore.list(store) for found in batch]
        return {name: bytes(obstore.get(store, name).bytes()) for name in names}

    def asked(self, method: str) -> list[str]:
        """The names of the objects asked for by ``method``, in order."""
        found = _ASKED.findall((self.folder / "log").read_text("utf-8", "replace"))
        prefix = f"/{self.bucket}/"
        return [unquote(path).removeprefix(prefix) for how, path in found if how == method and prefix in path]

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(self.address + path, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())
