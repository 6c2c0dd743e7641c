"""What a server was asked and when: the evidence for politeness, reuse and retries."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Asked:
    """One request as it arrived. Times are ``time.monotonic()``, one clock for all processes of a machine.

    ``connection`` numbers the server's connections from 1; ``port`` is the peer's. ``answered`` is the moment
    just before the last byte of the answer was handed to the kernel, ``None`` while there is none.
    """

    at: float
    method: str
    host: str
    path: str
    head: bytes
    connection: int
    port: int
    status: int | None = None
    answered: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Header names in lower case; of repeated ones the last."""
        lines = self.head.split(b"\r\n")[1:]
        pairs = (line.partition(b":") for line in lines if line)
        return {name.decode("latin-1").lower(): value.strip().decode("latin-1") for name, _, value in pairs}


class RequestLog:
    """A list of :class:`Asked` in order of arrival, with the questions that tests ask of it."""

    def __init__(self) -> None:
        self.entries: list[Asked] = []

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Asked]:
        return iter(list(self.entries))

    def __getitem__(self, index: int) -> Asked:
        return self.entries[index]

    def of(self, host: str | None = None, path: str | None = None) -> list[Asked]:
        """The requests to a host (without port) or path, or both."""
        return [
            asked
            for asked in self
            if (host is None or asked.host == host) and (path is None or asked.path == path)
        ]

    def paths(self, host: str | None = None) -> list[str]:
        return [asked.path for asked in self.of(host)]

    def count(self, path: str, host: str | None = None) -> int:
        return len(self.of(host, path))

    def hosts(self) -> set[str]:
        return {asked.host for asked in self}

    def gaps(self, host: str) -> list[float]:
        """Seconds from the end of each answer to the start of the next request to that host; negative where
        they overlapped, which is what a second request in flight looks like."""
        asked = self.of(host)
        return [
            later.at - (earlier.answered if earlier.answered is not None else float("inf"))
            for earlier, later in itertools.pairwise(asked)
        ]

    def start_gaps(self, host: str) -> list[float]:
        """Seconds from start to start."""
        asked = self.of(host)
        return [later.at - earlier.at for earlier, later in itertools.pairwise(asked)]

    def max_in_flight(self, host: str | None = None) -> int:
        """The most requests that were open at once, to one host or to all."""
        edges = [(asked.at, 1) for asked in self.of(host)]
        edges += [(asked.answered, -1) for asked in self.of(host) if asked.answered is not None]
        most = now = 0
        for _, step in sorted(edges):
            now += step
            most = max(most, now)
        return most

    def connections(self) -> Counter[int]:
        """How many requests came over each connection."""
        return Counter(asked.connection for asked in self)
