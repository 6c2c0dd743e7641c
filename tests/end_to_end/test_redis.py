"""`--frontier redis://...`: the same run as over the embedded state, whoever dies: the crawler, or the store."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from crawler.audit import audit, find_run
from tests.redis_server import RedisServer, free_port

HOSTS, PAGES = 8, 30
OFTEN = {"frontier": {"commit_every": 0.2}}


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", appendfsync=getattr(request, "param", "always")).start()
    yield server
    server.kill()


def build(site, wait: float = 0.01) -> list[str]:
    seeds = []
    for number in range(HOSTS):
        host = site.host(f"h{number}.test")
        for page in range(PAGES):
            host.page(f"/{page}", [f"/{page + 1}", f"/{page + 2}"] if page < PAGES - 2 else [], wait=wait)
        seeds.append(host.url("/0"))
    return seeds


def expected(site) -> set[str]:
    return {site.host(f"h{number}.test").url(f"/{page}") for number in range(HOSTS) for page in range(PAGES)}


def whole(site, ended) -> None:
    """Every page has its record, none two, and the accounting holds."""
    assert ended.code == 0, ended
    assert set(ended.by_url) == expected(site)
    assert audit(find_run(str(ended.folder), ended.job_folder.parent)).sound
    assert not list(ended.folder.glob("*.open"))


def options(dns, store: RedisServer) -> dict[str, object]:
    return {"nameserver": dns.address, "depth": "none", "frontier": store.url}


def until_served(site, count: int, running) -> None:
    until = time.monotonic() + 60
    while len(site.log) < count:
        assert not running.ended, running.wait()
        assert time.monotonic() < until, "the crawl does not get on"
        time.sleep(0.01)


def test_one_worker_over_a_store(site, dns, crawl, store) -> None:
    seeds = build(site)
    ended = crawl(seeds, **options(dns, store))
    whole(site, ended)
    first = ended.folder
    assert not ended.manifest["warnings"]
    again = crawl(seeds, **options(dns, store))
    assert "starting a new run" in again.stderr
    assert again.folder != first
    whole(site, again)
    keys = store.ask("KEYS", "*")
    assert keys
    assert all(key.startswith(b"crawler:{seeds}:") for key in keys), "one slot of a Cluster"
    left = [key for key in keys if key.startswith(b"crawler:{seeds}:1:")]
    assert left == [b"crawler:{seeds}:1:urls"], (
        "what the first run knew is gone, but for what it is compared by"
    )


def test_killed_and_run_again(site, dns, crawl, store) -> None:
    seeds = build(site)
    running = crawl.start(seeds, config=OFTEN, **options(dns, store))
    until_served(site, HOSTS * PAGES // 3, running)
    running.kill()
    running.wait()
    began = time.monotonic()
    ended = crawl(seeds, **options(dns, store))
    assert time.monotonic() - began < 29, (
        "the lock of its folder says that the dead one is dead: no lease is waited out"
    )
    whole(site, ended)
    assert len(ended.manifest["starts"]) == 2


def test_the_store_killed_and_started_again_under_the_crawl(site, dns, crawl, store) -> None:
    seeds = build(site)
    running = crawl.start(seeds, config=OFTEN, **options(dns, store))
    until_served(site, HOSTS * PAGES // 3, running)
    store.kill()
    running.wait_to_hear("the store is away")
    store.start()
    ended = running.wait()
    assert "the store is back" in ended.stderr
    whole(site, ended)


@pytest.mark.parametrize("store", ["everysec"], indirect=True)
def test_the_store_forgets_what_it_acknowledged(site, dns, crawl, store) -> None:
    """As `appendfsync everysec` and a power cut leave it: its log ends in the middle of what it had said yes to."""
    seeds = build(site, wait=0.03)
    running = crawl.start(seeds, config=OFTEN, **options(dns, store))
    until_served(site, HOSTS * PAGES // 4, running)
    (log,) = (store.folder / "appendonlydir").glob("*.incr.aof")
    size = log.stat().st_size
    until_served(site, HOSTS * PAGES // 2, running)
    store.kill()
    assert log.stat().st_size > size
    os.truncate(log, size)
    store.start()
    ended = running.wait()
    assert "refused a settlement" in ended.stderr
    whole(site, ended)
    asked = Counter((entry.host, entry.path) for entry in site.log)
    assert max(asked.values()) > 1, "what it forgot was asked again"


def test_a_store_that_forgets_all_ends_the_run(site, dns, crawl, store) -> None:
    seeds = build(site, wait=0.03)
    running = crawl.start(seeds, **options(dns, store))
    until_served(site, 20, running)
    store.ask("FLUSHALL")
    ended = running.wait()
    assert ended.code == 6
    assert "the run is not there any more" in ended.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("appendonly", "no", "appendonly no"),
        pytest.param("appendfsync", "no", "appendfsync no", marks=pytest.mark.slow),
    ],
)
def test_a_store_that_is_not_durable_is_a_warning(site, dns, crawl, tmp_path, setting, value, said) -> None:
    server = RedisServer(tmp_path / "redis", **{setting: value}).start()
    try:
        ended = crawl(build(site, wait=0), **options(dns, server))
    finally:
        server.kill()
    whole(site, ended)
    assert any(said in warning for warning in ended.manifest["warnings"])
    assert said in ended.stderr


def test_user_and_password_reach_nothing_that_is_written(site, dns, crawl, tmp_path) -> None:
    server = RedisServer(tmp_path / "redis", requirepass="other").start()
    try:
        server.ask("ACL", "SETUSER", "anna", "on", ">s3cret", "~crawler:*", "+@all", "-@admin")
        url = server.url.replace("://", "://anna:s3cret@")
        ended = crawl(build(site, wait=0), **{**options(dns, server), "frontier": url})
        whole(site, ended)
        wrong = crawl(
            ["http://h0.test/"], **{**options(dns, server), "frontier": url.replace("s3cret", "no")}
        )
        none = crawl(["http://h0.test/"], **options(dns, server))
        checked = crawl.start(["http://h0.test/"], command="check", frontier=url).wait()
    finally:
        server.kill()
    assert (wrong.code, none.code) == (2, 2)
    assert "the user or password" in wrong.stderr
    assert "it wants a password" in none.stderr
    assert "write redis://USER:PASSWORD@HOST" in none.stderr
    written = b"".join(path.read_bytes() for path in ended.job_folder.rglob("*") if path.is_file())
    assert b"s3cret" not in written
    assert "s3cret" not in ended.stderr + checked.stderr + checked.stdout.decode()


def test_over_a_socket(site, dns, crawl, tmp_path) -> None:
    path = tmp_path / "r.sock"
    server = RedisServer(tmp_path / "redis", unixsocket=str(path)).start()
    try:
        ended = crawl(build(site, wait=0), **{**options(dns, server), "frontier": f"unix://{path}?db=3"})
    finally:
        server.kill()
    whole(site, ended)


def test_over_tls_to_a_store_whose_certificate_is_known(site, dns, crawl, tmp_path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    port = free_port()
    server = RedisServer(
        tmp_path / "redis",
        **{
            "tls-port": str(port),
            "tls-cert-file": str(tmp_path / "chain.pem"),
            "tls-key-file": str(tmp_path / "key.pem"),
            "tls-ca-cert-file": str(tmp_path / "ca.pem"),
            "tls-auth-clients": "no",
        },
    ).start()
    given = {**options(dns, server), "frontier": f"rediss://127.0.0.1:{port}"}
    try:
        stranger = crawl(["http://h0.test/"], **given)
        known = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        ended = crawl(build(site, wait=0), environment=known, **given)
    finally:
        server.kill()
    assert stranger.code == 6
    assert "certificate verify failed" in stranger.stderr
    whole(site, ended)


def test_over_a_cluster(site, dns, crawl, tmp_path) -> None:
    server = RedisServer(tmp_path / "redis", appendfsync="everysec", **{"cluster-enabled": "yes"}).start()
    try:
        server.hold_all_slots()
        ended = crawl(build(site, wait=0), **options(dns, server))
    finally:
        server.kill()
    whole(site, ended)


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("redis://", 2, "the host is missing"),
        ("redis://h/x", 2, "not the number of a database"),
        ("redis://h?ssl=yes", 2, "nothing is known after ?"),
        ("unix://host/path", 2, "absolute path"),
        ("reddis://h", 2, "expected sqlite"),
        ("redis://127.0.0.1:1", 6, "no store answers there"),
    ],
)
def test_a_url_that_cannot_be_meant(crawl, url, code, said) -> None:
    ended = crawl(["http://h.test/"], frontier=url)
    assert ended.code == code
    assert said in ended.stderr


@contextmanager
def answering(line: bytes, once_for: bytes = b"") -> Iterator[str]:
    """The URL of a server that says ``line`` to whatever it is asked, but OK to what it is told of the client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            wire, _ = server.accept()
            with wire, suppress(ConnectionError):
                while data := wire.recv(65536):
                    wire.sendall(b"+OK\r\n" * data.count(b"SETINFO") if once_for else b"")
                    if once_for in data:
                        wire.sendall(line)

        threading.Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"


def test_what_answers_is_no_store_of_ours(crawl, store) -> None:
    def start(url: str):
        return crawl(["http://h.test/"], frontier=url)

    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        web = start(url)
    assert (web.code, "not a Redis" in web.stderr) == (2, True), web
    key = "crawler:{seeds}:meta"
    for words, code, said in [
        (("SET", key, "x"), 6, "not a crawler's"),
        (("HSET", key, "x", "1"), 6, "damaged"),
        (("HSET", key, "schema", "9", "salt", "1"), 6, "made by a newer crawler"),
    ]:
        store.ask("DEL", key)
        store.ask(*words)
        before = store.ask("DUMP", key)
        ended = start(store.url)
        assert (ended.code, said in ended.stderr) == (code, True), ended
        assert store.ask("DUMP", key) == before, "nothing was changed"
        assert store.ask("DBSIZE") == 1


def test_too_old_a_store_is_refused(crawl) -> None:
    """No Debian has one any more: a server that says so in the protocol's own words."""
    said = b"# Server\r\nredis_version:6.0.16\r\n"
    with answering(b"$%d\r\n%s\r\n" % (len(said), said), once_for=b"everything") as url:
        ended = crawl(["http://h.test/"], frontier=url)
    assert ended.code == 2, ended
    assert "Redis 6.0.16 is too old; a shared frontier needs 6.2 or later" in ended.stderr
