"""No dependency with a known hole: the floors of pyproject.toml are at or above the fixes, and what is installed above
the floors. New advisories are `pip-audit --strict`'s to find; what it has found once stays here."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import apsw
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
NEEDED = {made.name: made for made in map(Requirement, PROJECT["dependencies"])}

#: Name, the first version without it, and what it was: each in the way of bytes that a stranger chooses.
FIXED = [
    ("aiohttp", "3.14.3", "CVE-2026-69244: a malformed chunked answer reads beyond the C parser's heap"),
    ("aiohttp", "3.13.4", "CVE-2026-34520: NUL and control characters in response headers"),
    ("brotli", "1.2.0", "CVE-2025-6176: no bound on what a stream opens to"),
    ("lxml", "6.1.0", "CVE-2026-41066: external entities in iterparse"),
    ("orjson", "3.11.6", "CVE-2025-67221: unbounded recursion in dumps"),
    ("apsw", "3.51.3", "SQLite before 3.51.3: a WAL reset beside a second connection corrupts the state"),
]
#: Of what comes along with those.
BROUGHT_ALONG = [
    ("pycares", "4.9.0", "CVE-2025-48945: use after free when a channel goes during a look-up"),
    ("idna", "3.7", "CVE-2024-3651: quadratic time for a hostile host name"),
]


def floor(needed: Requirement) -> Version:
    found = [one.version for one in needed.specifier if one.operator in (">=", "==", "~=")]
    assert len(found) == 1, f"{needed}: one floor, no more"
    return Version(found[0])


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_installed_is_at_or_above_its_floor(name: str) -> None:
    needed = NEEDED[name]
    if needed.marker is None or needed.marker.evaluate():
        assert Version(version(name)) >= floor(needed)


@pytest.mark.parametrize(("name", "fixed", "what"), FIXED)
def test_no_floor_is_below_a_fix(name: str, fixed: str, what: str) -> None:
    assert floor(NEEDED[name]) >= Version(fixed), what


@pytest.mark.parametrize(("name", "fixed", "what"), BROUGHT_ALONG)
def test_what_comes_along_is_above_its_fix(name: str, fixed: str, what: str) -> None:
    try:
        installed = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is no longer brought along")
    assert Version(installed) >= Version(fixed), what


def test_the_sqlite_in_use_is_the_one_that_was_asked_for() -> None:
    """apsw of a distribution may be built on the system's."""
    assert Version(apsw.sqlite_lib_version()) >= Version("3.51.3")
