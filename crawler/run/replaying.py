"""Parsing and extraction once more, from the archive of a run and with no network.

Law: what was asked, when, and what came of it on the wire stays as the run has it; what the bytes say is read again by
the same :class:`~crawler.engine.reader.Reader` that the crawl used. With the same settings that gives equal records.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.engine.discovery import Discovery
from crawler.engine.meter import Meter
from crawler.engine.parser import Parser
from crawler.engine.reader import Reader
from crawler.fetch.decoding import DecodeError, Decoder
from crawler.frontier.known import Known
from crawler.model.errors import StorageError, UsageError
from crawler.model.request import Request
from crawler.model.response import Response
from crawler.model.settings import Http, Output, Scope
from crawler.rules.scope import ScopeRules
from crawler.run.layout import read_json
from crawler.sink.record import add_metadata, record_of
from crawler.sink.salvage import lines_of
from crawler.sink.unwarc import ArchiveReader

#: What is read out of an answer again; everything else of a record is the crawl's.
EXTRACTED: Final = (
    *("status", "http_version", "content_type", "charset", "body_bytes", "truncated", "digest", "etag"),
    *(
        "text_digest",
        "last_modified",
        "title",
        "canonical",
        "language",
        "links_count",
        "links",
        "redirect_to",
        "body",
    ),
)
_METADATA: Final = ("open_graph", "json_ld")
#: A body that is read in less than the crawl would give it is no other body.
_SECONDS: Final = 60.0
_VERIFY: Final = "`crawler verify` lists what is wrong"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record of the run, and the same made again. ``read``: its answer was there to be read."""

    before: Mapping[str, Any]
    record: Mapping[str, Any]
    read: bool


class Replay:
    """``body``, ``links``, ``headers``, ``metadata``: as [output]; None as the run had it."""

    def __init__(
        self,
        folder: Path,
        *,
        body: str | None = None,
        links: bool | None = None,
        headers: bool | None = None,
        metadata: bool | None = None,
    ) -> None:
        """Raises :class:`UsageError` where there is no archive, or no run.json yet."""
        manifest = read_json(folder / "run.json")
        if manifest.get("schema") != "run/1":
            raise UsageError(f"{folder}: there is no run.json yet; end the run or stop it first")
        settings = manifest.get("settings", {})
        had = settings.get("output", {})
        # Of a run that had nothing to keep (``--only-changed``, and nothing has) there is no file.
        if not (manifest.get("archive") or had.get("warc")):
            raise UsageError(f"{folder}: it has no archive; crawl with --warc to keep one")
        self._folder = folder
        self._parts = [str(part["name"]) for part in manifest.get("parts", [])]
        self._output = Output(
            body=str(had.get("body", Output().body)) if body is None else body,
            links=bool(had.get("links", True)) if links is None else links,
            headers=bool(had.get("headers", False)) if headers is None else headers,
            metadata=bool(had.get("metadata", False)) if metadata is None else metadata,
        )
        self._cap = int(settings.get("http", {}).get("max_body") or Http().max_body)
        self._max_url = int(settings.get("scope", {}).get("max_url") or Scope().max_url)

    async def records(self) -> AsyncIterator[Replayed]:
        """Every record of the run, in the order of its parts. Raises :class:`StorageError` where the archive lacks an
        answer that a record points to."""
        parser = Parser(_SECONDS)
        # Links are resolved and none is followed.
        discovery = Discovery(
            ScopeRules(Scope()), Known(1), Meter(), depth=0, max_url=self._max_url, key_of=_key
        )
        reader = Reader(
            discovery,
            parser,
            self._output,
            token_of=lambda _: "crawler",
            max_redirects=Http().max_redirects,
            text_digests=True,
        )
        archive = ArchiveReader(self._folder)
        try:
            for name in self._parts:
                for line in lines_of(self._folder / name):
                    before: dict[str, Any] = orjson.loads(line)
                    yield await self._again(before, reader, archive)
        except OSError as error:
            where = error.filename or self._folder
            raise StorageError(
                f"{where}: {error.strerror or error}; the archive is not whole: {_VERIFY}"
            ) from error
        finally:
            await asyncio.to_thread(parser.close)

    async def _again(self, before: dict[str, Any], reader: Reader, archive: ArchiveReader) -> Replayed:
        if before.get("warc_file") is None or before["outcome"] not in ("fetched", "redirected"):
            return Replayed(before, self._with_metadata(before), False)
        place = (before["warc_file"], before["warc_offset"], before["warc_length"])
        answer = await asyncio.to_thread(archive.answer, *place)
        body = b""
        if before["outcome"] == "fetched":
            body = self._decoded(answer.payload, answer.headers.getall("Content-Encoding", []), before["url"])
        response = Response(
            status=answer.status,
            headers=answer.headers,
            body=body,
            wire_bytes=before["content_length"],
            truncated=answer.truncated if before["outcome"] == "fetched" else None,
            ip=before["ip"],
            http_version=answer.version,
            started_at=0.0,
            duration=0.0,
        )
        request = Request(before["url"], _key(before["url"]), before["host"], depth=before["depth"])
        result = await reader.read(request, response)
        made = record_of(result, before["run_id"], links=self._output.links, headers=self._output.headers)
        if before.get("text_digest") is None:
            # Nothing was to be compared by it, or it was put off.
            made["text_digest"] = None
        record = {**before, **{name: made[name] for name in EXTRACTED}}
        record = self._with_metadata(record)
        if self._output.metadata:
            add_metadata(record, result)
        if self._output.headers:
            record["headers"] = made["headers"]
        else:
            record.pop("headers", None)
        if made["outcome"] != before["outcome"]:
            # A page that the crawl could read and this cannot: too slow a machine, or a parser that has changed.
            record.update(outcome=made["outcome"], reason=made["reason"], detail=made["detail"])
        return Replayed(before, record, True)

    def _with_metadata(self, record: dict[str, Any]) -> dict[str, Any]:
        """With the fields of metadata or without them, as asked; where they stood they stay."""
        if self._output.metadata:
            return {**record, **{name: record.get(name) for name in _METADATA}}
        return {name: value for name, value in record.items() if name not in _METADATA}

    def _decoded(self, payload: bytes, codings: list[str], url: str) -> bytes:
        try:
            decoder = Decoder.of(", ".join(codings), self._cap)
            decoder.feed(payload)
            return decoder.finish()
        except DecodeError as error:
            raise StorageError(
                f"{self._folder}: the payload of {url}: {error.detail}; the archive is damaged: {_VERIFY}"
            ) from error


def differing(replayed: Replayed) -> list[str]:
    """The fields that came out otherwise."""
    before, record = replayed.before, replayed.record
    return [name for name in sorted({*before, *record}) if before.get(name) != record.get(name)]


def _key(url: str) -> bytes:
    return url.encode("utf-8", "surrogatepass")
