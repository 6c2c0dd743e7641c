"""Every setting, with its default and unit: one frozen section for each part that reads it.

This table is the single truth: flags, ``CRAWLER_<SECTION>_<KEY>`` variables, config.toml, ``--help`` and the
reference are made from it. Each field's ``metadata`` carries ``help`` (one line), and where they differ from
the field's own name the ``flag`` and the ``unit``. Durations are seconds, sizes are bytes; ``None`` lifts a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

KIB = 1024
MIB = 1024 * KIB


def _setting(default: Any, help: str, *, unit: str = "", flag: str = "") -> Any:
    metadata = {"help": help, "unit": unit, "flag": flag}
    if isinstance(default, (dict, Mapping)):
        return field(default_factory=lambda: MappingProxyType(dict(default)), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Crawl:
    """``[crawl]``: how much at once."""

    job: str | None = _setting(None, "name of the job: its folder below the output", flag="--job")
    workers: int = _setting(
        256, "requests in flight in the whole run; fitted to `ulimit -n`", flag="--workers"
    )
    processes: int | None = _setting(
        1,
        "processes that crawl, each on a core of its own; auto: as many as there are cores to use",
        flag="--processes",
    )
    engine: str = _setting(
        "process",
        "who runs the processes: process (this machine), or ray (a Ray cluster, over a frontier in a store)",
        flag="--engine",
    )
    hosts_in_hand: int = _setting(10_000, "hosts leased at once, at most")
    urls_per_host: int = _setting(200, "URLs of one host held in memory, at most")
    parse_timeout: float = _setting(
        10.0, "reading one page or sitemap that is large or suspicious, in a process of its own", unit="s"
    )
    loop: str = _setting("uvloop", "event loop: uvloop or asyncio", flag="--loop")


@dataclass(frozen=True, slots=True)
class Scope:
    """``[scope]``: what belongs to the crawl. Judged for each URL against the seed it comes from."""

    kind: str = _setting("host", "host: the seed's host; domain: its registrable domain; any", flag="--scope")
    depth: int | None = _setting(
        3, "links followed from a seed; 0: the seeds alone; none: no limit", flag="--depth"
    )
    allow: tuple[str, ...] = _setting((), "regular expressions (RE2) on the canonical URL; one must match")
    deny: tuple[str, ...] = _setting(
        (), "regular expressions (RE2) on the canonical URL; none may match; wins"
    )
    seed_redirects: str = _setting(
        "domain", "how far a redirect of a seed may move its scope: domain (the same registrable one) or any"
    )
    types: tuple[str, ...] = _setting(
        (
            "text/*",
            "application/xhtml+xml",
            "application/xml",
            "application/*+xml",
            "application/json",
            "application/*+json",
        ),
        "content types to read; others are stopped after the headers",
    )
    use_sitemaps: bool = _setting(
        True,
        "read the sitemaps that robots.txt names on the hosts of seeds; not at depth 0",
        flag="--no-sitemaps",
    )
    sitemaps: tuple[str, ...] = _setting(
        (), "URLs of further sitemaps; what they list is in scope on their own host", flag="--sitemap"
    )
    max_sitemap: int = _setting(50 * MIB, "decoded sitemap; of a longer one the beginning", unit="bytes")
    max_url: int = _setting(2083, "longest URL", unit="characters")
    max_segments: int = _setting(20, "most path segments in a URL")
    max_repeats: int = _setting(2, "how often one path segment may stand in a URL")
    trap_pages: int | None = _setting(
        1000,
        "pages of one URL template in a row that bring nothing new, after which it is cut; none: no limit",
    )


@dataclass(frozen=True, slots=True)
class Politeness:
    """``[politeness]``: how a host is treated."""

    delay: float = _setting(
        1.0,
        "from an answer to the next question to the same host; adapts upwards; 0: none",
        unit="s",
        flag="--delay",
    )
    per_host: int = _setting(1, "requests in flight to one host", flag="--per-host")
    per_ip: int | None = _setting(
        None,
        "requests in flight to one address, whatever the names of its hosts, and the delay between them; none: names"
        " alone count",
    )
    max_crawl_delay: float = _setting(30.0, "a longer Crawl-delay counts as this", unit="s")
    patience: float = _setting(
        600.0, "a host that may not be asked for longer than this is closed for this run", unit="s"
    )
    tries: int = _setting(3, "tries for a URL before a failure is final")
    retry_base: float = _setting(5.0, "first wait before a retry; doubles, with jitter", unit="s")
    give_up_after: int = _setting(5, "connection failures in a row after which a host is given up")


@dataclass(frozen=True, slots=True)
class Robots:
    """``[robots]``: robots.txt, RFC 9309."""

    obey: bool = _setting(
        True, "obey robots.txt; false is said in the summary and in run.json", flag="--no-robots"
    )
    max_size: int = _setting(500 * KIB, "bytes of a robots.txt that are read", unit="bytes")
    keep: float = _setting(86_400.0, "how long a robots.txt is believed", unit="s")


@dataclass(frozen=True, slots=True)
class Http:
    """``[http]``: the one session."""

    user_agent: str | None = _setting(
        None, "default: crawler/<version>, and (+contact) if set", flag="--user-agent"
    )
    contact: str | None = _setting(None, "URL or address where a site's owner reaches you", flag="--contact")
    headers: Mapping[str, str] = _setting({}, "headers sent with every request")
    allow_networks: tuple[str, ...] = _setting(
        (), "CIDR that may be connected to although it is not public", flag="--allow-network"
    )
    nameservers: tuple[str, ...] = _setting(
        (), "HOST[:PORT] to ask instead of the system's", flag="--nameserver"
    )
    timeout: float = _setting(60.0, "whole of one request", unit="s", flag="--timeout")
    connect_timeout: float = _setting(10.0, "name look-up, connect and TLS", unit="s")
    headers_timeout: float = _setting(20.0, "from the request sent to the answer's headers", unit="s")
    dns_timeout: float = _setting(
        5.0, "a try of a name look-up; where answers come quickly it is asked again sooner", unit="s"
    )
    dns_tries: int = _setting(2, "a name look-up ends after so many times dns_timeout")
    dns_keep: float = _setting(300.0, "how long an address is believed", unit="s")
    min_rate: int = _setting(1024, "a body slower than this over 20 s is given up; 0: off", unit="bytes/s")
    max_body: int = _setting(
        10 * MIB, "decoded body; the rest is cut and marked", unit="bytes", flag="--max-body"
    )
    body_memory: int = _setting(
        32 * MIB,
        "bodies over 64 KiB in memory at once, from the wire to their result; beyond it reading waits",
        unit="bytes",
    )
    max_header_line: int = _setting(32 * KIB, "one header line", unit="bytes")
    max_headers: int = _setting(256, "header lines")
    max_head: int = _setting(512 * KIB, "all header lines of one answer", unit="bytes")
    max_redirects: int = _setting(10, "redirects followed from a URL")
    limit: int | None = _setting(None, "open connections, idle ones included; none: fitted to `ulimit -n`")
    keepalive: float = _setting(
        30.0, "an idle connection is kept so long, and always longer than the delay", unit="s"
    )
    ca_file: str | None = _setting(None, "PEM file of further certificate authorities")
    proxy: str | None = _setting(
        None, "http proxy for every request; the address guard cannot see through it"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]``: when a start stops by itself, and how fast it goes. Each counts from this start."""

    max_pages: int | None = _setting(None, "records with an HTTP answer; never exceeded", flag="--max-pages")
    max_time: float | None = _setting(None, "whole start", unit="s", flag="--max-time")
    max_bytes: int | None = _setting(None, "bytes on the wire", unit="bytes", flag="--max-bytes")
    grace: float = _setting(20.0, "from the first signal to the end of the process", unit="s", flag="--grace")
    rate: float | None = _setting(
        None,
        "requests a second over all hosts, robots.txt and sitemaps too",
        unit="requests/s",
        flag="--rate",
    )
    pages_per_host: int | None = _setting(10_000, "answers from one host in a run", flag="--pages-per-host")
    pages_per_domain: int | None = _setting(
        100_000,
        "pages asked of one registrable domain in a run, those that seeds name not counted",
        flag="--pages-per-domain",
    )

    @property
    def drain(self) -> float:
        """Seconds of the grace period for what is in flight. The last second, of a short one the last quarter, is for
        writing what came: the process is to be gone when the grace period is over."""
        return self.grace - min(1.0, self.grace / 4)


@dataclass(frozen=True, slots=True)
class FrontierSettings:
    """``[frontier]``: where what is known is kept."""

    url: str = _setting(
        "sqlite",
        "sqlite (beside the output), sqlite:///PATH (absolute: sqlite:////PATH), memory, or a store that is shared:"
        " redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss://..., unix:///PATH",
        flag="--frontier",
    )
    commit_every: float = _setting(1.0, "longest time between commits", unit="s")
    commit_records: int = _setting(1000, "most records between commits")
    lease: float = _setting(
        30.0, "in a shared store, hosts of a worker that it has not heard of for so long go back", unit="s"
    )


@dataclass(frozen=True, slots=True)
class Output:
    """``[output]``: the records."""

    path: str = _setting("output", "folder of all jobs, or - for standard output", flag="--output")
    body: str = _setting("html", "html (the decoded text as it came), text, markdown or none", flag="--body")
    links: bool = _setting(True, "the list of links in each record", flag="--no-links")
    headers: bool = _setting(False, "the response headers in each record", flag="--headers")
    compress: str = _setting("none", "none, zstd or gzip", flag="--compress")
    metadata: bool = _setting(
        False, "Open Graph and JSON-LD in each record; a page is then looked through twice", flag="--metadata"
    )
    warc: bool = _setting(False, "the HTTP messages as well, in WARC files with a CDXJ index", flag="--warc")
    part_size: int = _setting(256 * MIB, "a part is closed when it has grown to this", unit="bytes")
    part_time: float = _setting(3600.0, "a part is closed when it is this old", unit="s")
    only_changed: bool = _setting(
        False,
        "records of what is new, changed or gone since the last published run only",
        flag="--only-changed",
    )
    upload: str | None = _setting(
        None,
        "where finished parts are uploaded, run.json last: s3://BUCKET[/PREFIX] or file:///PATH",
        flag="--upload",
    )
    keep_runs: int | None = _setting(
        None, "runs kept, the published one always among them; none: all", flag="--keep-runs"
    )
    keep_for: float | None = _setting(
        None, "a run older than this is deleted, the published one never", unit="s"
    )


@dataclass(frozen=True, slots=True)
class Revisit:
    """``[revisit]``: what a run does with what the last published run of its job has found."""

    recrawl: bool = _setting(
        True,
        "a new run asks what the last published one had whether it has changed; false: all is new to it",
        flag="--no-recrawl",
    )
    compare: str = _setting(
        "auto",
        "what tells changed from unchanged: text (the main text, not the shell), body (every byte), auto (text; the"
        " first run of a job whose delay is 0 leaves digests for the second to make)",
        flag="--compare",
    )
    every: float | None = _setting(None, "a page is asked again no sooner; none: by every run", unit="s")
    floor: float | None = _setting(
        None, "a page that changes is asked again sooner, down to this; none: as every", unit="s"
    )
    ceiling: float | None = _setting(
        None, "a page that stays as it is is asked again later, up to this; none: as every", unit="s"
    )


@dataclass(frozen=True, slots=True)
class Gate:
    """``[gate]``: what a finished run has to be to be published as ``latest``, beside having one good page."""

    max_failed: float | None = _setting(
        None, "share of the URLs that may have failed or answered 5xx or 429, 0 to 1"
    )
    least_of_median: float | None = _setting(
        0.7, "good pages, as a share of the median of earlier published runs, at least"
    )
    most_of_median: float | None = _setting(
        None, "good pages, as a share of the median of earlier published runs, at most"
    )
    runs: int = _setting(5, "earlier published runs that make the median")
    max_gone: float | None = _setting(
        0.3, "share of the last published run's pages that may be gone (404 or 410), 0 to 1"
    )
    required: tuple[str, ...] = _setting((), "URLs that must have come well (2xx or not modified)")


@dataclass(frozen=True, slots=True)
class Log:
    """``[log]``: what is said on standard error."""

    progress: str = _setting("auto", "live display: auto (on a terminal), always, never", flag="--progress")
    format: str = _setting(
        "auto", "log lines: auto (text on a terminal, else json), text, json", flag="--log-format"
    )
    every: float = _setting(30.0, "between two progress lines when there is no display", unit="s")
    level: str = _setting("info", "error, warning, info or debug; -q and -v move it", flag="")


@dataclass(frozen=True, slots=True)
class Metrics:
    """``[metrics]``: figures for Prometheus; needs the extra ``crawler[metrics]``."""

    listen: str | None = _setting(
        None,
        "[ADDRESS:]PORT to serve them at, while a run lasts; a port alone is of 127.0.0.1",
        flag="--metrics-listen",
    )
    textfile: str | None = _setting(
        None,
        "file for node_exporter's textfile collector, replaced whole; {job} in it stands for the job's name",
        flag="--metrics-textfile",
    )
    every: float = _setting(15.0, "between two writes of the textfile", unit="s")


@dataclass(frozen=True, slots=True)
class OnFinish:
    """``[on_finish]``: a command of yours behind each start, with its run.json on standard input."""

    command: str | None = _setting(
        None,
        "shell command; that it fails is said, and does not change the exit code",
        flag="--on-finish",
    )
    timeout: float = _setting(60.0, "after which it is killed", unit="s")


@dataclass(frozen=True, slots=True)
class Job:
    """``[jobs."NAME"]``: what `crawler run --job NAME` crawls, and when `crawler schedule` runs it."""

    seeds: tuple[str, ...] = _setting((), "files with one URL a line, or URLs")
    cron: str | None = _setting(
        None, "minute, hour, day of month, month, day of week; six fields: seconds stand first"
    )
    time_zone: str = _setting("UTC", "whose clock that is, such as Europe/Vienna")
    overlap: str = _setting(
        "skip",
        "when its time comes and it still runs: skip this time, wait for the end, or replace (stop it, start anew)",
    )


@dataclass(frozen=True, slots=True)
class HostOverride:
    """``[hosts."NAME"]``: what is different for one host. ``None`` leaves the general setting."""

    delay: float | None = _setting(None, "as [politeness] delay", unit="s")
    per_host: int | None = _setting(None, "as [politeness] per_host")
    headers: Mapping[str, str] = _setting(
        {}, "further headers for this host only: over https at the default port, and to the origin of a seed"
    )
    timeout: float | None = _setting(None, "as [http] timeout", unit="s")
    connect_timeout: float | None = _setting(None, "as [http] connect_timeout", unit="s")
    headers_timeout: float | None = _setting(None, "as [http] headers_timeout", unit="s")
    user_agent: str | None = _setting(
        None, "as [http] user_agent; robots.txt and robots tags of this host are read by its name"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of config.toml, frozen. Each part of the program is given its own section."""

    crawl: Crawl = field(default_factory=Crawl)
    scope: Scope = field(default_factory=Scope)
    politeness: Politeness = field(default_factory=Politeness)
    robots: Robots = field(default_factory=Robots)
    http: Http = field(default_factory=Http)
    limits: Limits = field(default_factory=Limits)
    frontier: FrontierSettings = field(default_factory=FrontierSettings)
    output: Output = field(default_factory=Output)
    revisit: Revisit = field(default_factory=Revisit)
    gate: Gate = field(default_factory=Gate)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    on_finish: OnFinish = field(default_factory=OnFinish)
    jobs: Mapping[str, Job] = field(default_factory=lambda: MappingProxyType({}))
    hosts: Mapping[str, HostOverride] = field(default_factory=lambda: MappingProxyType({}))
