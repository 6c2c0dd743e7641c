"""The scripts of the shared frontier: each the common prelude and a law of its own, one round trip and atomic."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple


class Script(StrEnum):
    ABANDON = "abandon"
    ADD = "add"
    ALIVE = "alive"
    BEAT = "beat"
    BEGIN = "begin"
    BELOW = "below"
    CARRIER = "carrier"
    CARRY = "carry"
    CLOSE = "close"
    COUNTS = "counts"
    DECIDE = "decide"
    DROP = "drop"
    EARLIER = "earlier"
    ENLIST = "enlist"
    FAILED = "failed"
    HOSTS_BELOW = "hosts_below"
    INDEX = "index"
    JOIN = "join"
    KNOW = "know"
    KNOW_HOST = "know_host"
    LEAVE = "leave"
    LEFT = "left"
    LOADS = "loads"
    NOTE = "note"
    PAGES = "pages"
    RECALL = "recall"
    RECOUNT = "recount"
    SEEDED = "seeded"
    SEEDS = "seeds"
    SETTLE = "settle"
    SWEEP = "sweep"
    TAKE = "take"
    TELL = "tell"
    TEXTS = "texts"
    UNNAMED = "unnamed"
    UNREAD = "unread"
    WHOLE = "whole"


class Text(NamedTuple):
    """A script and the name that the store gives it."""

    source: str
    sha: str


@cache
def text_of(script: Script) -> Text:
    folder = files("crawler.frontier.redis") / "lua"
    source = (folder / "prelude.lua").read_text() + (folder / f"{script}.lua").read_text()
    return Text(source, sha1(source.encode(), usedforsecurity=False).hexdigest())
