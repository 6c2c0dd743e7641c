from __future__ import annotations

from pathlib import Path

import pytest

from crawler.frontier import MemoryFrontier, SqliteFrontier, open_frontier, state_path
from crawler.frontier import schema as frontier_schema
from crawler.frontier.rows import host_of
from crawler.model.errors import StorageError, UsageError


async def test_the_setting_chooses_the_frontier(tmp_path: Path) -> None:
    default = tmp_path / "job" / "state.db"
    memory = await open_frontier("memory", default, 1.0)
    assert isinstance(memory, MemoryFrontier)
    assert not default.exists()
    beside = await open_frontier("sqlite", default, 1.0)
    assert isinstance(beside, SqliteFrontier)
    assert default.exists()
    await beside.close()
    elsewhere = await open_frontier(f"sqlite:///{tmp_path}/fast/other.db", default, 1.0)
    await elsewhere.close()
    assert (tmp_path / "fast" / "other.db").exists()


def test_a_path_is_relative_with_three_slashes_and_absolute_with_four() -> None:
    assert state_path("sqlite:///jobs/state.db", Path("default")) == Path("jobs/state.db")
    assert state_path("sqlite:////var/state.db", Path("default")) == Path("/var/state.db")
    assert state_path("sqlite", Path("default")) == Path("default")
    assert state_path("memory", Path("default")) is None
    assert state_path("redis://localhost/0", Path("default")) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/0",
        "sqlite3",
        "sqlite://",
        "sqlite:///",
        "",
        "postgres://x/y",
        "SQLite",
        "/state.db",
    ],
)
def test_any_other_setting_is_a_usage_error_that_says_what_is_accepted(url: str) -> None:
    with pytest.raises(UsageError, match=r"sqlite:///PATH, memory, redis://HOST") as caught:
        state_path(url, Path("default"))
    assert repr(url) in str(caught.value)


async def test_a_sqlite_with_the_log_reset_bug_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontier_schema.apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(StorageError, match=r"needs 3\.51\.3 or later"):
        await SqliteFrontier.open(tmp_path / "state.db", 0.0)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://example.com", "example.com"),
        ("https://example.com:8443", "example.com"),
        ("http://[::1]", "[::1]"),
        ("http://[::1]:81", "[::1]"),
    ],
)
def test_the_host_of_an_origin(origin: str, host: str) -> None:
    assert host_of(origin) == host
