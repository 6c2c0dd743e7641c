"""The whole hostile web at once: every case of the table and every raw reply, each on a host of its own.

``python -m tests.servers.hostile_web`` serves it until standard input ends. The first line that it prints is JSON: the
``seeds`` to ask, what must come of each URL (``required``) and the ``config`` that the crawl needs (name server,
networks, certificates, short deadlines). ``--only good --good 20000`` serves a web with nothing wrong instead, from a
process of its own, and prints its ``good`` seeds; their names are known to the hostile web's name server.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import json
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crawler.model.reasons import Reason
from tests.servers import hostile
from tests.servers.authority import Authority
from tests.servers.names import NameServer
from tests.servers.reply import Reply, html, reply
from tests.servers.request_log import Asked
from tests.servers.site import Host, Site
from tests.servers.socket_server import RawSite

#: Where everything is served; nothing else is opened. Loopback proper stays closed: it is what attacks aim at.
ADDRESS: Final = "127.1.0.1"
OPENED: Final = ("127.1.0.0/24", "::1/128")
#: Words of a case's ``required`` that are no reason: an answer, or a record of any kind.
OK: Final = "ok"
#: Where the table has the total time-out, the shorter deadline for headers or the next byte may come first.
_SOONER: Final[dict[str, tuple[str, ...]]] = {
    "endless_100": ("timeout_headers",),
    "endless_103": ("timeout_headers",),
    "chunk_ext_flood": ("timeout_body",),
}
#: The drip is slow only over the program's own window of 20 s, so that it outlasts every other case.
SLOW_CASES: Final = frozenset({"body_drip"})


@dataclass
class Required:
    """What must come of a URL: one of these reasons, or ``ok`` for none; and a status, where one is asked for."""

    case: str
    reasons: set[str]
    status: int | None = None

    def fault(self, record: Mapping[str, Any]) -> str | None:
        """What is wrong with this record, or ``None``."""
        got = record["reason"] or OK
        if got not in self.reasons:
            return f"{self.case}: {got} ({record['detail']}), not {' or '.join(sorted(self.reasons))}"
        if self.status is not None and record["status"] != self.status:
            return f"{self.case}: status {record['status']}, not {self.status}"
        return None


@dataclass
class Plan:
    """``config`` is config.toml by sections."""

    seeds: list[str] = field(default_factory=list)
    required: dict[str, Required] = field(default_factory=dict)
    config: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ask(self, url: str, case: str, *reasons: str, status: int | None = None, seed: bool = True) -> None:
        if seed:
            self.seeds.append(url)
        self.required[url] = Required(case, set(reasons), status)


def _name(case: str) -> str:
    return case.replace("_", "-") + ".test"


# -- documents -------------------------------------------------------------------------------------------------

_NASTY_TITLE: Final = "a\x1b]0;owned\x07\u202eb\u2028c\r\nd"


@functools.cache
def _documents() -> dict[str, bytes]:
    return {
        "bad_charset_label": hostile.PAGE,
        "utf8_lie": b"<title>caf\xe9</title>",
        "deep_nesting": b"<div>" * 1_000_000,
        "open_tags": b"<a " * 20_000,
        "open_comments": b"<!--" * 20_000,
        "nul_bytes": bytes(1_000_000) + b"<a href=/after>x</a>",
        "bad_href_port": b"<a href=http://x.test:99999999999999999999/>x</a><a href=/fine>y</a>",
        # out of scope, all of them: a page of a million links is what is tried, not a crawl of them
        "href_million": b"".join(b"<a href=//x%d/>" % number for number in range(1_000_000)),
        "title_escape": f"<title>{_NASTY_TITLE}</title>".encode(),
    }


_TYPES: Final = {"bad_charset_label": "text/html; charset=nonsense", "utf8_lie": "text/html; charset=utf-8"}


def _documents_on(host: Callable[[str], Host], plan: Plan) -> None:
    for case in _documents():

        def send(_: Asked, case: str = case) -> Reply:
            return reply(_documents()[case], type=_TYPES.get(case, "text/html"))

        reasons = (OK, "parse_timeout") if case in ("deep_nesting", "open_tags", "open_comments") else (OK,)
        plan.ask(host(case).answer("/", send), case, *reasons)
    for case, path in (("nul_bytes", "/after"), ("bad_href_port", "/fine")):
        plan.ask(host(case).page(path), case, OK, seed=False)


# -- redirects -------------------------------------------------------------------------------------------------


def _redirects_on(host: Callable[[str], Host], plan: Plan) -> None:
    def to(case: str, location: str, *reasons: str) -> None:
        plan.ask(host(case).redirect("/", location, 302), case, *reasons)

    to("redirect_loop", "/", "redirect_too_many")
    to("redirect_badhost", "http://[::1", "redirect_invalid")
    to("redirect_badport", "http://other.test:99999999/", "redirect_invalid")
    to("redirect_huge", "/" + "x" * 7000, "redirect_invalid")
    to("redirect_longlabel", f"http://{'a' * 300}.test/", "redirect_invalid")
    plan.ask(host("redirect_noloc").redirect("/", None, 302), "redirect_noloc", OK, status=302)
    latin = host("redirect_latin1")
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /caf\xe9\r\n\r\n"
    plan.ask(latin.answer("/", Reply(head, 302)), "redirect_latin1", OK)
    plan.ask(latin.page("/caf%E9"), "redirect_latin1", OK, seed=False)
    creds = host("redirect_creds")
    target = creds.page("/in")
    to("redirect_creds", target.replace("://", "://bob:hunter2@"), OK)
    plan.ask(target, "redirect_creds", OK, seed=False)
    to("redirect_apikey", host("www.redirect_apikey").page("/in"), OK)
    plan.ask(host("www.redirect_apikey").url("/in"), "redirect_apikey", OK, seed=False)
    plan.config["hosts." + json.dumps(_name("redirect_apikey"))] = {"headers": {"X-Api-Key": "secret"}}
    scope = host("redirect_scope")
    plan.ask(scope.page("/", ["/away"]), "redirect_scope", OK)
    plan.ask(
        scope.redirect("/away", "http://elsewhere.test/"),
        "redirect_scope",
        "redirect_out_of_scope",
        seed=False,
    )


# -- addresses and names ---------------------------------------------------------------------------------------


def _addresses_on(host: Callable[[str], Host], dns: NameServer, port: int, plan: Plan) -> None:
    spelt = {
        "ip_literal": "127.0.0.1",
        "ip_mapped": "[::ffff:127.0.0.1]",
        "ip_fullwidth": "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "ip_decimal": "2130706433",
        "ip_hex_threaded": "0x7f.0.0.1",
        "ip_hex_aiodns": "0x7f000001",
    }
    canonical = {"ip_mapped": "[::ffff:7f00:1]", "ip_fullwidth": "127.0.0.1"}
    for case, text in spelt.items():
        plan.seeds.append(f"http://{text}:{port}/{case}")
        shown = canonical.get(case, "127.0.0.1")
        plan.ask(f"http://{shown}:{port}/{case}", case, "blocked_address", "url_invalid", seed=False)
    rebind = host("dns_rebind")
    dns.turns(rebind.name, (ADDRESS,), ("127.0.0.1",))
    plan.ask(rebind.page("/", then="close", wait=1.6), "dns_rebind", OK)
    plan.ask(rebind.page("/inside"), "dns_rebind", "blocked_address")
    names = hostile.misname(dns)
    for row in hostile.cases("dns"):
        case = row["id"]
        reasons = (OK, "connect_unreachable") if case == "dns_v6_only" else (row["required"],)
        plan.ask(f"http://{names[case]}:{port}/", case, *reasons)


# -- robots.txt, traps, sitemaps -------------------------------------------------------------------------------


def _robots_on(host: Callable[[str], Host], plan: Plan) -> None:
    lines = b"User-agent: *\nDisallow: /private\n"
    robots: dict[str, Callable[[Asked], Reply]] = {
        "robots_huge": lambda _: Reply(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000000\r\n\r\n"
            + lines
            + _filler(),
            then="close",
        ),
        "robots_bomb": lambda _: reply(
            gzip.compress(lines, mtime=0) + _bomb(), type="text/plain", headers={"Content-Encoding": "gzip"}
        ),
        "robots_delay_year": lambda _: reply(lines + b"Crawl-delay: 31536000\n", type="text/plain"),
    }
    for case, answer in robots.items():
        host(case).answer("/robots.txt", answer)
        plan.ask(host(case).page("/", ["/private"]), case, OK)
        plan.ask(host(case).page("/private"), case, "robots_disallowed", seed=False)
    year = host("retry_after_year")
    year.anything(reply("later", 503, {"Retry-After": "31536000"}))
    year.robots(status=404)
    plan.ask(year.url("/"), "retry_after_year", OK, status=503)
    plan.ask(year.url("/next"), "retry_after_year", "deferred_retry_after")
    for number, value in enumerate(
        ("-1", "NaN", "1" + "0" * 400, "Fri, 31 Dec 99999 23:59:59 GMT", "\u0661")
    ):
        # its own back-off is a minute, and longer than this crawl's patience
        bad = host(f"retry_after_bad_{number}")
        url = bad.answer("/", reply("later", 503, {"Retry-After": value}))
        plan.ask(url, "retry_after_bad", OK, "deferred_retry_after")


@functools.cache
def _filler() -> bytes:
    return (
        b"# nothing to read here, and much of it, much more of it than anybody should have to\n" * 1_200_000
    )


@functools.cache
def _bomb() -> bytes:
    return hostile.answer("bomb_gzip").payload.partition(b"\r\n\r\n")[2]


def _traps_on(host: Callable[[str], Host], plan: Plan) -> None:
    def endless(case: str, links: Callable[[str], list[str]]) -> Host:
        on = host(case)
        on.anything(lambda asked: reply(html(links(asked.path), "trap")))
        on.robots(status=404)
        return on

    sessions = endless(
        "session_ids", lambda path: [f"/?sid={hash((path, n)) & 0xFFFFFFFF:x}" for n in range(3)]
    )
    plan.ask(sessions.url("/"), "session_ids", OK)
    plan.ask(
        endless("soft_404", lambda path: [f"{path.rstrip('/')}/{n}" for n in range(3)]).url("/"),
        "soft_404",
        OK,
    )
    repeat = endless("repeat_path", lambda path: [f"{path.rstrip('/')}/a"])
    plan.ask(repeat.url("/"), "repeat_path", OK)
    plan.ask(repeat.url("/a/a/a"), "repeat_path", "trap_path", seed=False)
    long = host("long_urls")
    plan.ask(long.page("/", ["/" + "x" * 3000]), "long_urls", OK)
    farm = host("infinite_subdomains")
    farm.anything(reply(html([f"http://{n}.{farm.name}/" for n in range(20)], "farm")))
    plan.ask(farm.url("/"), "infinite_subdomains", OK)


def _sitemaps_on(host: Callable[[str], Host], plan: Plan) -> None:
    def listed(case: str, files: Mapping[str, bytes]) -> None:
        on = host(case)
        for path, body in files.items():
            on.page(path, body=body, type="application/xml")
        on.robots("".join(f"Sitemap: {on.url(path)}\n" for path in files))
        plan.ask(on.page("/"), case, OK)

    def index(*locations: str) -> bytes:
        rows = "".join(f"<sitemap><loc>{one}</loc></sitemap>" for one in locations)
        return f"<sitemapindex>{rows}</sitemapindex>".encode()

    xxe = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset><url><loc>/&e;</loc></url></urlset>'
    listed("sitemap_xxe", {"/xxe.xml": xxe})
    loop = host("sitemap_loop")
    listed(
        "sitemap_loop",
        {"/a.xml": index(loop.url("/a.xml"), loop.url("/b.xml")), "/b.xml": index(loop.url("/a.xml"))},
    )
    deep = host("sitemap_depth")
    for number in range(50):
        deep.page(f"/{number}.xml", body=index(deep.url(f"/{number + 1}.xml")), type="application/xml")
    listed("sitemap_depth", {"/start.xml": index(deep.url("/0.xml"))})
    listed("sitemap_bomb", {"/bomb.xml.gz": _bomb() * 4})


# -- all of it -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hostile_web(*, slow: bool = True) -> Iterator[Plan]:
    """Serves until left. ``slow`` false leaves out the cases that take longer than their own deadline
    (:data:`SLOW_CASES`)."""
    plan = Plan()
    _make()
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        dns = enter(NameServer(ttl=0))
        dns.a("*.test", ADDRESS)
        site = enter(Site(address="0.0.0.0", remember=False))
        with contextlib.suppress(OSError):  # no IPv6 here: the table allows that
            enter(Site(address="::1", port=site.port, remember=False)).page("/")

        def host(case: str) -> Host:
            return site.host(_name(case))

        plan.config = {
            "http": {
                "nameservers": [dns.address],
                "allow_networks": list(OPENED),
                "timeout": 12,
                "connect_timeout": 6,
                "headers_timeout": 6,
                "dns_timeout": 2,
                "dns_tries": 1,
                "dns_keep": 1,
            },
            "politeness": {"tries": 1, "patience": 20, "max_crawl_delay": 1},
            "scope": {"depth": 4},
        }
        _answers_on(host, plan, slow)
        _documents_on(host, plan)
        _redirects_on(host, plan)
        _addresses_on(host, dns, site.port, plan)
        _robots_on(host, plan)
        _traps_on(host, plan)
        _sitemaps_on(host, plan)
        _tls_on(enter, plan)
        for number, (name, payload) in enumerate(hostile.raw_replies()):
            url = host(f"raw_{number}").answer("/", Reply(payload, None, then="close"))
            # one record each, and never `internal`
            plan.ask(url, name, OK, *(reason.value for reason in Reason if reason is not Reason.INTERNAL))
        yield plan


def _make() -> None:
    """The large ones take seconds to make: not on the server's time."""
    for case in hostile.ANSWERS:
        hostile.answer(case)
    _documents()
    _filler()
    _bomb()


def _answers_on(host: Callable[[str], Host], plan: Plan, slow: bool) -> None:
    for row in hostile.cases("status line", "headers", "framing", "time", "content coding"):
        case = row["id"]
        if case in SLOW_CASES:
            if not slow:
                continue
            plan.config["hosts." + json.dumps(_name(case))] = {"timeout": 60, "headers_timeout": 20}
        if case in hostile.ANSWERS:
            url = hostile.play(host(case), [case])[case]
            status = 999 if case == "status_999" else None
            plan.ask(url, case, *hostile.accepted(row["required"]), *_SOONER.get(case, ()), status=status)


def _tls_on(enter: Callable[[Any], Any], plan: Plan) -> None:
    authority = Authority()
    folder = Path(enter(tempfile.TemporaryDirectory(prefix="hostile-")))
    plan.config["http"]["ca_file"] = str(authority.write(folder / "ca.pem"))
    required = {row["id"]: row["required"] for row in hostile.cases("tls")}
    for case, (name, context) in hostile.certificates(authority).items():
        secure = enter(Site(address=ADDRESS, tls=context, remember=False))
        secure.page("/")
        plan.ask(f"https://{name}:{secure.port}/", case, required.get(case, OK))
    reset = enter(RawSite(then="reset", address=ADDRESS))  # what a server that has only TLS 1.0 does
    plan.ask(f"https://tls10.test:{reset.port}/", "tls10", "tls_protocol")
    mute = enter(RawSite(then="hold", after_request=False, address=ADDRESS))
    plan.ask(f"https://tls-mute.test:{mute.port}/", "tls_mute", "timeout_connect")


# -- and a good one --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def good_web(pages: int, hosts: int = 20) -> Iterator[list[str]]:
    """A web with nothing wrong: on each host a tree of pages of 8 kB, ten links down and ten across. Answers the seeds;
    page ``n`` of a host is ``/p/<n>``."""
    text = "<p>" + "Nothing is wrong with this page, and it says so at some length. " * 110 + "</p>"
    with Site(address=ADDRESS, remember=False) as site:
        each = pages // hosts
        for number in range(hosts):
            host = site.host(f"good-{number}.test")
            host.robots(status=404)
            for page in range(each):
                down = [f"/p/{child}" for child in range(page * 10 + 1, page * 10 + 11) if child < each]
                across = [f"/p/{(page * 7 + step * 31) % each}" for step in range(10)]
                host.page(f"/p/{page}", [*down, *across], body=text, title=f"good {page}")
        yield [site.host(f"good-{number}.test").url("/p/0") for number in range(hosts)]


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.servers.hostile_web", description=__doc__)
    options.add_argument(
        "--good", type=int, default=0, metavar="PAGES", help="pages with nothing wrong beside it"
    )
    options.add_argument(
        "--only", choices=("good", "hostile"), help="one of the two, for a process of its own"
    )
    options.add_argument("--no-slow", action="store_true", help="leave out what takes over 20 s")
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        said: dict[str, Any] = {}
        if chosen.only != "good":
            plan = stack.enter_context(hostile_web(slow=not chosen.no_slow))
            required = {
                url: [one.case, sorted(one.reasons), one.status] for url, one in plan.required.items()
            }
            said |= {"seeds": plan.seeds, "required": required, "config": plan.config}
        if chosen.good:
            said["good"] = stack.enter_context(good_web(chosen.good))
        print(json.dumps(said), flush=True)
        with contextlib.suppress(KeyboardInterrupt, socket.error):
            sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
