"""``crawler doctor``: does this machine bear a crawl? It asks nobody on the network unless told to (``--dns NAME``)."""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import platform
import resource
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from crawler.cli.amounts import bytes_text, count_text, duration_text
from crawler.cli.escape import escape
from crawler.model.errors import UsageError
from crawler.model.settings import Settings
from crawler.run.configuration import current_folder, default_file, load, unknown_variables
from crawler.run.space import free_space
from crawler.run.values import without_credentials

GOOD, WARNING, BAD = "ok", "warning", "BAD"

#: What a run cannot do without, and what for.
_NEEDED: Final = {
    "aiohttp._http_parser": "HTTP parser in C",
    "uvloop": "event loop",
    "aiodns": "DNS",
    "apsw": "state",
    "orjson": "JSON",
    "turbohtml": "HTML",
    "lxml.etree": "sitemaps",
    "can_ada": "URLs",
    "re2": "scope expressions",
    "xxhash": "keys",
    "brotli": "br",
    "backports.zstd": "zstd",
    "isal": "gzip",
}

#: File systems over a network: SQLite's write-ahead log needs shared memory and locks that they don't have.
_REMOTE: Final = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "ceph", "glusterfs", "lustre")

#: A commit a second is the promise; slower than this a flush alone takes a tenth of it.
_SLOW_FLUSH: Final = 0.1
#: ``adjtimex`` says that nothing keeps the clock right.
_UNSYNCHRONISED: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """``word`` is :data:`GOOD`, :data:`WARNING` (a run works) or :data:`BAD` (it would fail); ``do``: what helps."""

    name: str
    word: str
    says: str
    do: str = ""


def doctor(
    *,
    dns: list[str] | None = None,
    processes: str | None = None,
    output: str | None = None,
    config: str | None = None,
    as_json: bool = False,
) -> int:
    """Exit code 0, or 2 where something is bad."""
    typed = {"output.path": output, "crawl.processes": processes}
    flags = {path: word for path, word in typed.items() if word is not None}
    settings, _ = load(flags, os.environ, default_file(config, current_folder()))
    found = list(examine(settings, dns or []))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print(_as_text(found))
    return 2 if any(finding.word == BAD for finding in found) else 0


def examine(settings: Settings, names: list[str]) -> Iterator[Finding]:
    """Every finding, in the order in which a run would meet it."""
    yield _python()
    yield _extensions()
    yield _sqlite()
    yield _open_files(settings, *resource.getrlimit(resource.RLIMIT_NOFILE))
    yield from _disk(settings)
    yield _clock()
    yield _tls(settings)
    yield _nameservers(settings)
    for name in names:
        yield _look_up(name, settings)
    yield from _environment(settings)


def _python() -> Finding:
    return Finding("python", GOOD, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _extensions(load: Callable[[str], object] = importlib.import_module) -> Finding:
    missing = []
    for name, purpose in _NEEDED.items():
        try:
            load(name)
        except ImportError as error:
            missing.append(f"{name} ({purpose}: {error})")
    if missing:
        return Finding(
            "extensions",
            BAD,
            ", ".join(missing),
            "install the program again: pip install --force-reinstall crawler",
        )
    return Finding("extensions", GOOD, f"all {len(_NEEDED)} load")


def _sqlite() -> Finding:
    import apsw

    from crawler.frontier.schema import LEAST_SQLITE

    version = apsw.sqlite_lib_version()
    if tuple(map(int, version.split("."))) < LEAST_SQLITE:
        least = ".".join(map(str, LEAST_SQLITE))
        return Finding(
            "sqlite",
            BAD,
            f"{version} can corrupt a shared log; {least} is needed",
            "pip install --upgrade apsw",
        )
    return Finding("sqlite", GOOD, version)


def _open_files(settings: Settings, soft: int, hard: int) -> Finding:
    """The limit is of each process: several divide the workers, and each has the whole limit for its own."""
    from crawler.fetch.budget import fit
    from crawler.run.shares import share_of, with_processes

    unlimited = hard == resource.RLIM_INFINITY
    most = max(soft, 65_536) if unlimited else hard
    shown = f"{count_text(soft)}, hard {'unlimited' if unlimited else count_text(hard)}"
    more = "raise it: ulimit -n 65536 (LimitNOFILE= of a systemd unit)"
    try:
        whole = with_processes(settings)
    except UsageError as error:
        return Finding("processes", BAD, str(error), "--processes 1")
    number = whole.crawl.processes or 1
    share = share_of(whole, 0)
    try:
        budget = fit(share.crawl.workers, share.http.limit, most)
    except UsageError as error:
        return Finding("open files", BAD, str(error), more)
    room = f"{count_text(budget.workers)} workers and {count_text(budget.connections)} connections"
    room = f"room for {room}" if number == 1 else f"room for {room} in each of {number} processes"
    if budget.workers < share.crawl.workers:
        wanted = f"{count_text(share.crawl.workers)} workers are wanted" + (" in each" if number > 1 else "")
        return Finding("open files", WARNING, f"{shown}: {room}, {wanted}", more)
    return Finding("open files", GOOD, f"{shown}: {room}")


def _disk(settings: Settings) -> Iterator[Finding]:
    if settings.output.path == "-":
        yield Finding("output", GOOD, "standard output")
        return
    wanted = Path(settings.output.path).absolute()
    folder = wanted
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        yield Finding("output", BAD, f"{folder} is not a folder", "name another with --output")
        return
    try:
        free = free_space(folder)
        taken = _flush(folder)
    except OSError as error:
        yield Finding(
            "output", BAD, f"{folder}: {error.strerror}", "name a folder that can be written: --output DIR"
        )
        return
    room = f"{wanted}: {bytes_text(free.free)} free of {bytes_text(free.total)}"
    if free.low:
        yield Finding(
            "output", BAD, f"{room}: a run would stop at once", "make room, or name another: --output DIR"
        )
    elif free.scarce:
        yield Finding("output", WARNING, room, "make room, or name another: --output DIR")
    else:
        yield Finding("output", GOOD, room)
    flushed = f"a flush takes {1000 * taken:.1f} ms"
    if taken > _SLOW_FLUSH:
        yield Finding(
            "disk",
            WARNING,
            flushed,
            "commits will hold the crawl: name a faster disk for the state ([frontier] url)",
        )
    else:
        yield Finding("disk", GOOD, flushed)
    kind = file_system(folder)
    if kind.startswith(_REMOTE) and settings.frontier.url == "sqlite":
        yield Finding(
            "state",
            BAD,
            f"{folder} is on {kind}: no place for a state",
            "[frontier] url = sqlite:///PATH on a local disk",
        )
    else:
        yield Finding(
            "state",
            GOOD,
            kind
            if settings.frontier.url == "sqlite"
            else without_credentials(settings.frontier.url.partition("?")[0]),
        )


def file_system(folder: Path) -> str:
    """Its type, by the longest mount point above it; empty where the kernel doesn't say."""
    best, kind = "", ""
    try:
        lines = Path("/proc/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    at = str(folder.resolve())
    for line in lines:
        _, point, its_kind, *_ = line.split(" ")
        inside = at == point or at.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, its_kind
    return kind


def _flush(folder: Path) -> float:
    """Seconds to make one page durable there; the median of three. Nothing is left behind."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(3):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[1]


def _clock() -> Finding:
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
    # No clock of today stands before this file was written.
    if now < os.stat(__file__).st_mtime - 86_400:
        return Finding(
            "clock",
            BAD,
            f"{stamp} UTC lies in the past: certificates and politeness need it right",
            "set it (timedatectl set-ntp true)",
        )
    if _kernel_clock() == _UNSYNCHRONISED:
        return Finding(
            "clock",
            WARNING,
            f"{stamp} UTC; nothing keeps it right",
            "timedatectl set-ntp true, unless the host of this container does",
        )
    return Finding("clock", GOOD, f"{stamp} UTC")


def _kernel_clock() -> int:
    """The answer of ``adjtimex``, asked to change nothing; 0 where there is none to ask."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024)))
    except (OSError, AttributeError):
        return 0


def _tls(settings: Settings) -> Finding:
    file = settings.http.ca_file
    try:
        context = ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        return Finding("tls", BAD, f"[http] ca_file {file}: {error}", "name a PEM file of certificates")
    known = context.cert_store_stats()["x509_ca"]
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    if not known and not (folder and any(folder.glob("*.0"))):
        return Finding(
            "tls",
            BAD,
            f"{ssl.OPENSSL_VERSION}: no authorities: every https page would fail",
            "apt-get install ca-certificates, or [http] ca_file",
        )
    return Finding("tls", GOOD, f"{ssl.OPENSSL_VERSION}, {count_text(known)} authorities")


def _nameservers(settings: Settings) -> Finding:
    servers, place = list(settings.http.nameservers), "[http] nameservers"
    if not servers:
        place = "/etc/resolv.conf"
        try:
            rows = [line.split() for line in Path(place).read_text(errors="replace").splitlines()]
            servers = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]
        except OSError as error:
            return Finding("dns", WARNING, f"{place}: {error.strerror}", "name one: --nameserver ADDRESS")
    if not servers:
        return Finding("dns", WARNING, f"{place} names no server", "name one: --nameserver ADDRESS")
    return Finding("dns", GOOD, f"{', '.join(servers)} ({place}); not asked: --dns NAME would")


def _look_up(name: str, settings: Settings) -> Finding:
    from crawler.fetch.resolver import NameFailure, Resolver

    async def ask() -> list[str]:
        resolver = Resolver(settings.http)
        try:
            return [found["host"] for found in await resolver.resolve(name, 443)]
        finally:
            await resolver.close()

    began = time.monotonic()
    try:
        addresses = asyncio.run(ask())
    except NameFailure as error:
        return Finding(
            f"dns {name}",
            BAD,
            f"{error.reason}: {error.detail}",
            "is the name right? else ask another server: --nameserver",
        )
    took = duration_text(time.monotonic() - began)
    return Finding(f"dns {name}", GOOD, f"{', '.join(addresses)} in {took}")


def _environment(settings: Settings) -> Iterator[Finding]:
    proxies = [
        name
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        if os.environ.get(name)
    ]
    if proxies and settings.http.proxy is None:
        yield Finding(
            "proxy",
            WARNING,
            f"{', '.join(proxies)} is set and not heeded",
            "[http] proxy = URL, if it is meant for crawls",
        )
    for warning in unknown_variables(os.environ):
        yield Finding("settings", WARNING, warning)
    if not settings.http.contact:
        yield Finding("contact", WARNING, "sites cannot reach you", "[http] contact = a mail address or page")


def _as_text(found: list[Finding]) -> str:
    wide = min(max(len(finding.name) for finding in found), 30)
    lines = []
    for finding in found:
        lines.append(f"{finding.word:<8} {escape(finding.name, 30):<{wide}}  {escape(finding.says)}")
        if finding.do:
            lines.append(f"{'':<{wide + 11}}do: {escape(finding.do)}")
    bad, warned = (sum(f.word == word for f in found) for word in (BAD, WARNING))
    if bad:
        lines.append(f"\na crawl would fail here: {bad} bad, {warned} to look at")
    else:
        lines.append("\nready to crawl" + (f"; {warned} to look at" if warned else ""))
    return "\n".join(lines)
