"""A run's state in a store, read by a script of our own: what ``state.db`` is to a run that has one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

import orjson

from crawler.audit.state import Ended, Known, Mark, Recount, StateUnreadable, name_of

_SCHEMA: Final = b"1"
#: Seconds.
_PATIENCE: Final = 10.0
_COUNTS: Final = ("seeds", "discovered", "final", "pending")
_SEED, _KIND, _OUTCOME, _REASON, _FIXED, _MEMORY = 4, 6, 9, 10, 12, 15
#: About 1,000 URLs a call: cursor, then number, key, and what is looked at of each.
_ROWS: Final = f"""
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 1000)
local rows = {{}}
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  rows[#rows + 1] = {{url[1], found[2][i], url[{_SEED}], url[{_KIND}], url[{_OUTCOME}], url[{_REASON}], url[{_FIXED}],
    url[{_MEMORY}] or ''}}
end
return {{found[1], rows}}
"""
_USERINFO: Final = re.compile(r"(?<=//)[^/@]*@")
#: Look-ups of a URL by its number, each a walk over all of them.
_MOST_LOOKUPS: Final = 10


def is_store(frontier: str) -> bool:
    """Is the state that ``[frontier] url`` names in a store?"""
    return frontier.partition("://")[0] in ("redis", "rediss", "unix")


class StateAway(StateUnreadable):
    """The store does not answer, or not to us."""


class AuditedStore:
    """The job of a store that may be in use. Every method raises :class:`StateUnreadable`."""

    def __init__(self, url: str, job: str) -> None:
        self._name = _USERINFO.sub("", url)
        self._job = f"crawler:{{{job}}}:"
        self._generation = ""
        self._lookups = 0
        try:
            import redis
        except ImportError as error:
            raise StateUnreadable(f"{self._name}: reading a store needs the extra `redis`") from error
        self._faults: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        try:
            self._store = _connect(redis, url)
        except ValueError as error:
            raise StateUnreadable(f"{self._name}: {error}") from error
        except self._faults as error:
            raise StateAway(f"{self._name}: {error}") from error

    def known(self) -> Known | None:
        """The run that the job is at; None where none ever began. O(parts)."""
        try:
            meta = self._store.hgetall(f"{self._job}meta")
            if not meta or b"run_id" not in meta:
                return None
            if meta[b"schema"] != _SCHEMA:
                raise StateUnreadable(
                    f"{self._name}: its schema is {meta[b'schema'].decode()}, this program knows 1"
                )
            self._generation = meta[b"generation"].decode()
            counts = self._store.hgetall(self._key("counts"))
            files = self._store.hgetall(self._key("files"))
            run_id = meta[b"run_id"].decode()
            members = {
                name.decode(): orjson.loads(text.partition(b" ")[2])
                for name, text in self._store.hgetall(self._key("members")).items()
            }
            marks = [_mark(name.decode(), files[name].decode(), run_id, members) for name in sorted(files)]
            return Known(
                run_id,
                meta[b"finished"] == b"1",
                len(orjson.loads(meta[b"extra"]).get("starts", [])),
                {name: int(counts.get(name.encode(), 0)) for name in _COUNTS},
                marks,
            )
        except self._faults as error:
            raise StateAway(f"{self._name}: {error}") from error
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise StateUnreadable(f"{self._name}: {error}") from error

    def in_use(self) -> bool:
        """Is a worker at it? Then what it holds changes from one look to the next."""
        try:
            now, _ = self._store.time()
            return bool(self._store.zcount(f"{self._job}workers", f"({now}", "+inf"))
        except self._faults as error:
            raise StateAway(f"{self._name}: {error}") from error

    def ended(self, run_id: str, recount: Recount) -> Iterator[Ended]:
        """Every URL that is done, and into ``recount`` what every one says. O(URLs); a bit of memory for each, as a
        store may show one twice."""
        met = bytearray()
        try:
            for number, key, is_seed, kind, outcome, reason, fixed, memory in self._rows():
                place, bit = number >> 3, 1 << (number & 7)
                if place >= len(met):
                    met.extend(bytes(place + 4096 - len(met)))
                if kind or met[place] & bit:
                    continue
                met[place] |= bit
                if is_seed:
                    recount.seeds += 1
                else:
                    recount.discovered += 1
                if not outcome:
                    recount.pending += 1
                    continue
                recount.final += 1
                url, host = orjson.loads(fixed)[:2]
                whole = bool(host) and reason != b"url_too_long"
                name = name_of(run_id, url if whole else key.hex())
                # Its first byte holds the flags, of which the first is "withheld".
                withheld = bool(memory) and bool(memory[0] & 1)
                yield Ended(number, name, outcome.decode(), reason.decode() or None, withheld)
        except self._faults as error:
            raise StateAway(f"{self._name}: {error}") from error
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise StateUnreadable(f"{self._name}: {error}") from error

    def url(self, row: int) -> str:
        """The URL of a row, for a person: of the first few. O(URLs)."""
        self._lookups += 1
        if self._lookups > _MOST_LOOKUPS:
            return f"URL number {row}"
        try:
            found = next((fixed for number, *_, fixed, _ in self._rows() if number == row), None)
            return str(orjson.loads(found)[0]) if found is not None else f"URL number {row}"
        except ValueError as error:
            raise StateUnreadable(f"{self._name}: {error}") from error
        except self._faults as error:
            raise StateAway(f"{self._name}: {error}") from error

    def _rows(self) -> Iterator[Any]:
        cursor: Any = b"0"
        while True:
            cursor, rows = self._store.eval(_ROWS, 1, self._key("urls"), cursor)
            yield from rows
            if cursor == b"0":
                return

    def _key(self, name: str) -> str:
        return f"{self._job}{self._generation}:{name}"

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> AuditedStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connect(redis: Any, url: str) -> Any:
    options = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
    store = redis.Redis.from_url(url, **options)
    if store.info("server").get("redis_mode") != "cluster":
        return store
    store.close()
    return redis.RedisCluster.from_url(url, **options)


def _mark(name: str, text: str, run_id: str, members: Mapping[str, Any]) -> Mark:
    end, rows, closed, sha = text.split(" ")
    mark = Mark(name, int(end), int(rows), closed == "1", sha or None)
    writer = members.get(name.split("-")[1]) if name.count("-") > 1 else None
    if writer is None:
        return mark
    return replace(mark, machine=writer["machine"], path=f"{writer['folder']}/runs/{run_id}/{name}")
