"""SECURITY.md speaks of tests and settings that are there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from crawler.model.settings import Settings
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
SECTIONS = {field.name: field.default_factory for field in fields(Settings) if field.name != "hosts"}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[\w./]+)`", PAGE))))
def test_each_file_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(("section", "key"), sorted(set(re.findall(r"`\[(\w+)\] (\w+)", PAGE))))
def test_each_setting_is_there(section: str, key: str) -> None:
    assert key in {field.name for field in fields(SECTIONS[section]())}  # type: ignore[arg-type,misc]


def test_each_size_is_the_default() -> None:
    """Those that stand right behind a setting's name."""
    sizes = {"KiB": 1024, "MiB": 2**20, "s": 1, "KiB/s": 1024}
    found = re.findall(r"`\[(\w+)\] (\w+)` ([\d,]+)(?: (KiB/s|KiB|MiB|s)\b)?", PAGE)
    assert len(found) >= 15
    for section, key, number, unit in found:
        default = getattr(SECTIONS[section](), key)  # type: ignore[misc]
        assert default == int(number.replace(",", "")) * sizes.get(unit, 1), (section, key)


def test_each_target_is_named() -> None:
    named = re.search(r"python -m tests\.fuzz (\w+) .*# also (.*)", PAGE)
    assert named is not None
    assert {named[1], *named[2].split(", ")} == set(TARGETS)
