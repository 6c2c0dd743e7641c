"""Look-ups: how many at once, how often a name is asked for, and what c-ares reads for it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crawler.fetch import resolver as module
from crawler.fetch.resolver import Resolver
from crawler.model.settings import Http
from tests.servers import NameServer


@asynccontextmanager
async def resolver(dns: NameServer, **http: Any) -> AsyncIterator[Resolver]:
    made = Resolver(Http(nameservers=(dns.address,), **http))
    try:
        yield made
    finally:
        await made.close()


async def test_a_burst_of_names_is_asked_for_a_hundred_at_a_time(
    dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffer of a socket holds 277 packets: of 512 sent at once some are lost, and waited for in vain."""
    monkeypatch.setattr(module, "_SILENCE", 60.0)
    wait = 0.1
    dns.slow("*.slow.test", wait, "127.0.0.1")
    async with resolver(dns) as names:
        await asyncio.gather(*(names.resolve(f"n{number}.slow.test") for number in range(250)))
    asked = [(query.at, query.name) for query in dns.log]
    # A name asked for less than the server's pause ago (its timer may be a little early) has no answer yet.
    waiting = [len({name for at, name in asked if now - 0.9 * wait < at <= now}) for now, _ in asked]
    assert max(waiting) <= 100
    assert len({name for _, name in asked}) == 250


async def test_names_without_an_answer_make_way(dns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE", 0.05)
    dns.silent("*.silent.test")
    async with resolver(dns) as names:
        dead = [asyncio.ensure_future(names.resolve(f"n{number}.silent.test")) for number in range(100)]
        await asyncio.sleep(0)
        assert len(await names.resolve("good.test")) == 1
        assert not any(each.done() for each in dead)
        for each in dead:
            each.cancel()
        await asyncio.gather(*dead, return_exceptions=True)


async def test_a_name_is_asked_for_again_as_long_as_the_settings_say(dns: NameServer) -> None:
    """A server that has been quick is given a quarter of a second by c-ares: two tries of that are not two of 5 s."""
    dns.lost("unlucky.test", 4, "127.0.0.9")
    async with resolver(dns) as names:
        for number in range(10):
            await names.resolve(f"quick{number}.test")
        assert [found["host"] for found in await names.resolve("unlucky.test")] == ["127.0.0.9"]
    assert dns.queries("unlucky.test") >= 5


async def test_no_file_of_services_is_read_for_a_port(dns: NameServer, tmp_path: Path) -> None:
    """c-ares would read all of /etc/services for each look-up: 60 to 100 microseconds."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    program = (
        "import asyncio\n"
        "from crawler.fetch.resolver import Resolver\n"
        "from crawler.model.settings import Http\n"
        "async def main():\n"
        f"    names = Resolver(Http(nameservers=({dns.address!r},)))\n"
        "    await names.resolve('a.test', 8080)\n"
        "    await names.close()\n"
        "asyncio.run(main())\n"
    )
    log = tmp_path / "opened"
    command = [
        strace,
        "-f",
        "--seccomp-bpf",
        "-e",
        "trace=openat,open",
        "-o",
        str(log),
        sys.executable,
        "-c",
        program,
    ]
    child = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    _, said = await child.communicate()
    assert child.returncode == 0, said.decode()
    opened = log.read_text()
    assert "/etc/hosts" in opened
    assert "/etc/services" not in opened
