"""The scripts of the shared frontier: each the common prelude and a law of its own, one round trip and atomic."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple


class Script(StrEnum):
    ADD = "add"
    BEAT = "beat"
    BEGIN = "begin"
    COUNTS = "counts"
    JOIN = "join"
    KNOW = "know"
    LEAVE = "leave"
    LOADS = "loads"
    NOTE = "note"
    RECOUNT = "recount"
    SETTLE = "settle"
    SWEEP = "sweep"
    TAKE = "take"


class Text(NamedTuple):
    """A script and the name that the store gives it."""

    source: str
    sha: str


@cache
def text_of(script: Script) -> Text:
    folder = files("crawler.frontier.redis") / "lua"
    source = (folder / "prelude.lua").read_text() + (folder / f"{script}.lua").read_text()
    return Text(source, sha1(source.encode(), usedforsecurity=False).hexdigest())
