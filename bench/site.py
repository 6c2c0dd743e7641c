"""Real pages on loopback: nginx with the HTML of Debian's python3-doc and postgresql-doc-15, on several hosts.

``python -m bench.site --hosts 12 --port 8080`` prints a seed URL for each host and serves until Ctrl-C.
As a library: ``with nginx_site(hosts=12) as site: site.seeds, site.access_log``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: URL prefix, and where Debian has the files. Each tree links to itself and hardly anywhere else.
DOCUMENTS = {
    "/python/": (Path("/usr/share/doc/python3.11/html"), Path("/usr/share/doc/python3-doc/html")),
    "/postgresql/": (Path("/usr/share/doc/postgresql-doc-15/html"),),
}
START_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Documentation</title></head>
<body><h1>Documentation</h1>
<p><a href="/python/index.html">Python</a>, <a href="/postgresql/index.html">PostgreSQL</a></p></body></html>
"""
MIME_TYPES = Path("/etc/nginx/mime.types")
ACCESS_FORMAT = r"$connection\t$msec\t$request_time\t$host\t$request_uri\t$status\t$bytes_sent"
CONFIG = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    include {mime_types};
    default_type application/octet-stream;
    charset utf-8;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    open_file_cache max=10000 inactive=300s;
    open_file_cache_valid 300s;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    log_format crawl '{access_format}';
    access_log {access_log};
    gzip {gzip};
    gzip_types text/html text/plain text/css application/javascript;
    server {{
{listens}
        root {folder}/html;
        location = /robots.txt {{ return 404; }}
{locations}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Access:
    """One request as nginx logged it. ``ended`` is Unix seconds (to the millisecond), ``seconds`` its length."""

    connection: int
    ended: float
    seconds: float
    host: str
    path: str
    status: int
    bytes_sent: int

    @property
    def started(self) -> float:
        return self.ended - self.seconds


@dataclass(frozen=True, slots=True)
class DocumentationSite:
    """A running nginx. ``folders`` is what :class:`tests.oracle.Oracle` walks; ``pid`` is nginx's master."""

    seeds: tuple[str, ...]
    hosts: tuple[str, ...]
    port: int
    folders: dict[str, Path]
    access_log: Path
    pid: int

    def accesses(self, since: int = 0) -> list[Access]:
        """The access log from byte ``since`` on, in the order in which answers ended."""
        kinds = (int, float, float, str, str, int, int)
        with self.access_log.open() as log:
            log.seek(since)
            return [
                Access(*(kind(value) for kind, value in zip(kinds, line.split("\t"), strict=True)))  # type: ignore[arg-type]
                for line in log.read().splitlines()
            ]

    @property
    def logged(self) -> int:
        """Bytes in the access log: where the next run's begin."""
        return self.access_log.stat().st_size


def available() -> str | None:
    """What is missing on this machine to run the site, or ``None``."""
    if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return "nginx is not installed (Debian: nginx-light)"
    for prefix, places in DOCUMENTS.items():
        if not any((place / "index.html").exists() for place in places):
            return f"no documentation for {prefix} (Debian: python3-doc, postgresql-doc-15)"
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def nginx_site(
    hosts: int = 12,
    port: int | None = None,
    *,
    log: bool = True,
    gzip: bool = False,
    cpu: int | None = None,
    first: int = 11,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[DocumentationSite]:
    """nginx as a child process, one worker, on ``127.0.0.first`` and the following ``hosts - 1`` addresses.

    ``cpu`` pins it. ``log`` writes the access log. ``tls``: its certificate and key, in PEM; then it
    speaks HTTPS only. Raises ``RuntimeError`` where something is missing.
    """
    missing = available()
    if missing is not None:
        raise RuntimeError(missing)
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None
    port = port or _free_port()
    names = tuple(f"127.0.0.{first + number}" for number in range(hosts))
    with tempfile.TemporaryDirectory(prefix="site-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker may be another user
        (folder / "html").mkdir()
        (folder / "html" / "index.html").write_text(START_PAGE)
        folders = {"/": folder / "html"}
        for prefix, places in DOCUMENTS.items():
            folders[prefix] = next(place for place in places if (place / "index.html").exists())
        log_file = folder / "access.log"
        config = CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            mime_types=MIME_TYPES,
            access_format=ACCESS_FORMAT,
            access_log=f"{log_file} crawl" if log else "off",
            gzip="on" if gzip else "off",
            listens="\n".join(
                f"        listen {host}:{port} {'ssl ' if tls else ''}backlog=4096;" for host in names
            )
            + (f"\n        ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""),
            locations="\n".join(
                f"        location {prefix} {{ alias {place}/; }}"
                for prefix, place in folders.items()
                if prefix != "/"
            ),
        )
        (folder / "nginx.conf").write_text(config)
        pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
        with (folder / "stderr").open("wb") as errors:
            child = subprocess.Popen(
                [
                    *pin,
                    program,
                    "-p",
                    str(folder),
                    "-c",
                    str(folder / "nginx.conf"),
                    "-e",
                    str(folder / "error.log"),
                ],
                stdout=errors,
                stderr=errors,
            )
        try:
            _wait_for(child, names[-1], port, folder)
            yield DocumentationSite(
                seeds=tuple(f"{'https' if tls else 'http'}://{host}:{port}/" for host in names),
                hosts=names,
                port=port,
                folders=folders,
                access_log=log_file,
                pid=child.pid,
            )
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _wait_for(child: subprocess.Popen[bytes], host: str, port: int, folder: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        if child.poll() is not None:
            raise RuntimeError(f"nginx ended at once: {(folder / 'stderr').read_text()}")
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.site", description=__doc__)
    parser.add_argument("--hosts", type=int, default=12, help="addresses 127.0.0.11 and following (12)")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--cpu", type=int, help="pin nginx to this CPU")
    parser.add_argument("--no-log", action="store_true", help="write no access log")
    parser.add_argument("--gzip", action="store_true", help="compress what it serves")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with nginx_site(
        arguments.hosts, arguments.port, log=not arguments.no_log, gzip=arguments.gzip, cpu=arguments.cpu
    ) as site:
        print(*site.seeds, sep="\n", flush=True)
        if not arguments.no_log:
            print(f"access log: {site.access_log}", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
