"""Fixtures that the whole suite shares: a site, a name server, certificates, and the program itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import Authority, NameServer, Program, Site

# The same examples each time, so that a red suite is a change's fault; HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile("suite", max_examples=60, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


# Begun in the background of a shell this would ignore it, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site in a thread of its own, on every 127.x.y.z; its own name is 127.0.0.1."""
    with Site(address="0.0.0.0") as running:
        yield running


@pytest.fixture
def dns() -> Iterator[NameServer]:
    """A name server in a thread of its own; ``*.test`` is 127.0.0.1 unless something else is said."""
    with NameServer() as running:
        running.a("*.test", "127.0.0.1")
        yield running


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[Program]:
    """The program as a user runs it; see :class:`tests.servers.program.Program`."""
    program = Program(tmp_path)
    yield program
    program.close()
