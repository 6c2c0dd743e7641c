"""Digests of main texts that the first run of a job has put off (``[revisit] compare = auto`` without a delay), made of
the bodies that stand in its output before the second compares."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from crawler.content.main_text import text_digest
from crawler.frontier import Recall
from crawler.run.layout import read_json
from crawler.sink.salvage import lines_of

log = logging.getLogger("crawler.run")

#: Lines between two looks whether the start is to stop.
_AT_ONCE: Final = 256
_PREFIX: Final = len("sha256:")
_DIGEST: Final = 8


class LateDigests:
    """``folder``: of the run that has put them off. ``key_of``: of a canonical URL."""

    def __init__(self, folder: Path, recall: Recall, key_of: Callable[[str], bytes]) -> None:
        self._folder = folder
        self._recall = recall
        self._key_of = key_of
        self._away: list[str] = []

    async def run(self, stopped: Callable[[], bool]) -> bool:
        """Has it come to its end? Where the output isn't there any more pages are compared by every byte, and a warning
        says so. O(bytes of the run), about 0.6 ms a page, once; twice after a stop in the middle does nothing twice."""
        lines = self._lines()
        number = 0
        try:
            while not stopped():
                some = await asyncio.to_thread(self._digests, lines)
                if some is None:
                    log.info("digested the main texts of the last published run", extra={"pages": number})
                    if self._away:
                        self._warn(f"{len(self._away)} of its parts are on other machines: {self._away[0]}")
                    return True
                await self._recall.add_texts(some)
                number += len(some)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._warn(str(error))
            return True
        return False

    def _warn(self, why: str) -> None:
        log.warning(
            f"{self._folder}: the output of the last published run cannot be read ({why}): a page of which only the"
            " shell has changed is said to be changed in this run"
        )

    def _lines(self) -> Iterator[bytes]:
        for part in read_json(self._folder / "run.json")["parts"]:
            path = self._folder / Path(part["name"]).name
            if part.get("path") and part.get("machine") == socket.gethostname() and not path.exists():
                # Of a worker that writes to another folder of this machine.
                path = Path(part["path"])
            if part.get("machine") is None or path.exists():
                yield from lines_of(path)
            else:
                self._away.append(f"{part['name']} on {part['machine']}")

    def _digests(self, lines: Iterator[bytes]) -> list[tuple[bytes, bytes, bytes]] | None:
        """Key, digest and digest of the main text of pages among the next lines; None where there are no more."""
        found, some = [], False
        for line in islice(lines, _AT_ONCE):
            some = True
            record = orjson.loads(line)
            if (
                record["outcome"] != "fetched"
                or record["text_digest"]
                or record["content_type"] != "text/html"
            ):
                continue
            body = (record["body"] or "").encode("utf-8", "surrogatepass")
            digest = hashlib.sha256(body)
            if record["digest"] == f"sha256:{digest.hexdigest()}":
                text = bytes.fromhex(text_digest(body)[_PREFIX:])
                found.append((self._key_of(record["url"]), digest.digest()[:_DIGEST], text[:_DIGEST]))
        return found if some else None
