"""The wire to a store: opened and judged, asked by script, waited for while it is away."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from crawler.frontier.redis.address import Address
from crawler.frontier.redis.scripts import Script, text_of
from crawler.model.errors import KEPT, StorageError, UsageError

try:
    import redis.exceptions as faults
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise UsageError(
        "[frontier] url: a shared frontier needs the extra `redis`: pip install 'crawler[redis]'"
    ) from error

#: That the store is away, and back: all workers of a machine see the same.
log = logging.getLogger("crawler.frontier.store")

T = TypeVar("T")
#: Of a script; one that is called is as it is at each try.
Argument = str | bytes | int | float | Callable[[], str]

#: Functions of scripts that this program uses came with 6.2 (ZRANGE's options, `(`-bounds in it, replication by effects
#: as the only way since 5).
OLDEST: Final = (6, 2)
#: Seconds. A script runs for milliseconds; a store that is silent for so long is away.
_PATIENCE: Final = 10.0
#: Seconds of one wait for nothing: less than a silence that means that the store is away.
_LISTEN: Final = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
#: Seconds after which an `everysec` store has surely begun to sync what it wrote: it looks once a second, by a clock of
#: whole seconds.
_EVERYSEC: Final = 2.1

#: What a store says or does while it is away, or not ready yet: waited out.
_AWAY: Final = (
    faults.ConnectionError,
    faults.TimeoutError,
    faults.BusyLoadingError,
    faults.ReadOnlyError,
    faults.ClusterDownError,
    faults.TryAgainError,
    faults.MasterDownError,
    OSError,
)


#: How uvloop says that a wire is cut, in an error that is no OSError.
_CUT: Final = "the handler is closed"
#: Where in a script it happened: of no use to a person.
_SCRIPT: Final = re.compile(r"\s*script: .*", re.DOTALL)


class StorageAway(StorageError):
    """Nobody answers."""


class Store:
    """One store, asked over connections of its own; every key and script belongs to one job.

    A question that finds the store away is asked again until it is there. All scripts may be asked twice.
    """

    def __init__(self, address: Address, job: str, client: Any, *, durable: str) -> None:
        self._address = address
        self._key = f"crawler:{{{job}}}:meta"
        self._client = client
        #: How it is durable: ``always``, ``everysec``, or ``no``: not known, or not at all.
        self.durable = durable
        #: Is an outage waited out? Else it is a :class:`StorageAway`.
        self.patient = True
        #: Questions that wait for the store to come back.
        self.waiting = 0
        self._away_since: float | None = None
        self._has_waitaof = True

    @classmethod
    async def open(cls, address: Address, job: str) -> tuple[Store, list[str]]:
        """A store that answers, and what a person should be warned of. Raises :class:`UsageError` where it is none,
        is too old or refuses us, :class:`StorageError` where it is not there."""
        single: dict[str, Any] = {
            "db": address.database,
            "username": address.user,
            "password": address.password,
            "socket_timeout": _PATIENCE,
            "socket_connect_timeout": _PATIENCE,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if address.scheme == "unix":
            client: Any = Redis(unix_socket_path=address.path, **single)
        else:
            client = Redis(host=address.host, port=address.port, ssl=address.scheme == "rediss", **single)
        try:
            with _opening(address):
                info = await client.info("everything")
                _require_version(address, info)
                durable, warnings = await _durability(client, address, info)
                if info.get("cluster_enabled"):
                    await client.aclose()
                    single.pop("db")
                    client = RedisCluster(
                        host=address.host, port=address.port, ssl=address.scheme == "rediss", **single
                    )
                    await client.initialize()
        except BaseException:
            await client.aclose()
            raise
        return cls(address, job, client, durable=durable), warnings

    def __str__(self) -> str:
        return str(self._address)

    async def hash_of_job(self, name: str = "meta") -> dict[bytes, bytes]:
        """``meta`` is the job's own account: schema, salt, run."""
        key = self._key[:-4] + name
        found: dict[bytes, bytes] = await self.patiently(lambda: self._client.hgetall(key))
        return found

    async def hash_of_run(self, generation: bytes, name: str) -> dict[bytes, bytes]:
        key = f"{self._key[:-4]}{generation.decode()}:{name}"
        found: dict[bytes, bytes] = await self.patiently(lambda: self._client.hgetall(key))
        return found

    async def some_of_run(self, generation: bytes, name: str, fields: list[str]) -> list[bytes | None]:
        key = f"{self._key[:-4]}{generation.decode()}:{name}"
        found: list[bytes | None] = await self.patiently(lambda: self._client.hmget(key, fields))
        return found

    async def field_of_job(self, name: str, field: str) -> bytes | None:
        found: bytes | None = await self.patiently(lambda: self._client.hget(self._key[:-4] + name, field))
        return found

    async def members_of_job(self, name: str) -> set[bytes]:
        found: set[bytes] = await self.patiently(lambda: self._client.smembers(self._key[:-4] + name))
        return found

    async def booted(self) -> float:
        """When the store was started, no earlier: Unix seconds by its own clock. Of a Cluster nothing is known: 0."""
        if isinstance(self._client, RedisCluster):
            return 0.0
        info = await self.patiently(lambda: self._client.info("server"))
        return int(info["server_time_usec"]) / 1e6 - int(info["uptime_in_seconds"])

    async def until_lost(self) -> None:
        """Returns when the wire to the store is cut, as its death cuts it: at once. Waits for what never comes."""
        key = self._key[:-4] + "never"
        try:
            while True:
                with _trouble(self._address):
                    await self._client.blpop([key], timeout=_LISTEN)
        except _AWAY:
            return

    async def ask(self, script: Script, *arguments: Argument) -> Any:
        """Run ``script``, as often as it takes to have its answer."""
        return await self.patiently(lambda: self._run(script, arguments))

    async def ask_once(self, script: Script, *arguments: Argument) -> Any:
        """The same, but raises :class:`StorageError` where the store is away."""
        try:
            async with asyncio.timeout(_PATIENCE):
                with _trouble(self._address):
                    return await self._run(script, arguments)
        except (TimeoutError, *_AWAY) as error:
            raise StorageAway(f"{self}: it is away ({_said(error)})") from error

    async def _run(self, script: Script, arguments: tuple[Argument, ...]) -> Any:
        text = text_of(script)
        values = [one() if callable(one) else one for one in arguments]
        try:
            return await self._client.evalsha(text.sha, 1, self._key, *values)
        except faults.NoScriptError:
            return await self._client.eval(text.source, 1, self._key, *values)

    async def patiently(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer, when there is one: an outage is waited out."""
        pause = _FIRST_PAUSE
        waits = False
        try:
            while True:
                try:
                    with _trouble(self._address):
                        answer = await question()
                except _AWAY as error:
                    if not self.patient:
                        raise StorageAway(f"{self}: it is away ({_said(error)})") from error
                    if not waits:
                        waits = True
                        self.waiting += 1
                    if self._away_since is None:
                        self._away_since = time.monotonic()
                        log.warning(f"{self}: the store is away, the crawl waits for it ({_said(error)})")
                else:
                    if self._away_since is not None:
                        away, self._away_since = time.monotonic() - self._away_since, None
                        log.warning(f"{self}: the store is back after {away:.1f} s, the crawl goes on")
                    return answer
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self.waiting -= waits

    async def is_durable(self) -> bool:
        """Wait until what was acknowledged is on the store's disk. False where it went away meanwhile: who asks must
        look again at what is left of it."""
        try:
            with _trouble(self._address):
                await self._until_durable()
        except _AWAY:
            await asyncio.sleep(_FIRST_PAUSE)
            return False
        return True

    async def _until_durable(self) -> None:
        """As far as the store lets itself be asked: ``everysec`` acknowledges up to two seconds before. Redis 7.2 can
        be asked (WAITAOF); older ones tell what is not written yet, and whether a sync is under way."""
        if self.durable != "everysec":
            return
        if self._has_waitaof:
            try:
                # Keyless, so of one node only; a single store is asked.
                if not isinstance(self._client, RedisCluster):
                    while (await self._client.execute_command("WAITAOF", 1, 0, 5000))[0] < 1:
                        await asyncio.sleep(0)
                    return
            except faults.ResponseError:
                pass
            self._has_waitaof = False
        await self._until_idle(lambda info: not info["aof_buffer_length"])
        await asyncio.sleep(_EVERYSEC)
        await self._until_idle(lambda info: not info["aof_pending_bio_fsync"])

    async def _until_idle(self, is_idle: Callable[[Any], bool]) -> None:
        while True:
            info = await self._client.info("persistence")
            # Of a Cluster each node answers for itself.
            nodes = (
                info.values()
                if isinstance(self._client, RedisCluster) and "aof_enabled" not in info
                else [info]
            )
            if all(is_idle(node) for node in nodes if node.get("aof_enabled")):
                return
            await asyncio.sleep(_FIRST_PAUSE)

    async def close(self) -> None:
        await self._client.aclose()


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


@contextmanager
def _trouble(address: Address) -> Iterator[None]:
    """The store's own errors become ours; that it is away stays what it is."""
    try:
        yield
    except _AWAY:
        raise
    except faults.ResponseError as error:
        text = str(error)
        if text.startswith("GONE"):
            raise StorageError(
                f"{address}: the run is not there any more: the store was emptied or restarted without what it had been"
                " told (appendonly no), or another start has given the run up; run again, which starts anew"
            ) from error
        if "WRONGTYPE" in text:
            raise StorageError(
                f"{address}: keys of this job are not a crawler's ({_SCRIPT.sub('', text)}); name another job or"
                " database"
            ) from error
        if text.startswith("OOM"):
            raise StorageError(
                f"{address}: its memory is full; nothing committed is lost: raise maxmemory and run again"
            ) from error
        if text.startswith(("MISCONF", "NOPERM", "NOAUTH", "WRONGPASS")):
            raise StorageError(
                f"{address}: it cannot be written ({text}); nothing committed is lost: mend the store, or the rights of"
                " its user, and run again"
            ) from error
        raise StorageError(f"{address}: {text}; {KEPT}") from error
    except faults.RedisError as error:
        raise StorageError(f"{address}: {_said(error)}; {KEPT}") from error
    except RuntimeError as error:
        # uvloop, to who writes to a wire in the turn in which it was cut.
        if _CUT not in str(error):
            raise
        raise faults.ConnectionError("the connection is closed") from error


@contextmanager
def _opening(address: Address) -> Iterator[None]:
    """What goes wrong before anything is asked: nothing was changed."""
    try:
        yield
    except (
        faults.AuthenticationError,
        faults.AuthenticationWrongNumberOfArgsError,
        faults.NoPermissionError,
    ) as error:
        given = (
            "the user or password in [frontier] url is wrong" if address.password else "it wants a password"
        )
        raise UsageError(f"{address}: {given} ({_said(error)}); write redis://USER:PASSWORD@HOST") from error
    except faults.InvalidResponse as error:
        raise UsageError(
            f"{address}: what answers there is not a Redis ({_said(error):.80}); mend [frontier] url"
        ) from error
    except faults.ResponseError as error:
        raise UsageError(f"{address}: {_said(error)}; mend the store, or [frontier] url") from error
    except _AWAY as error:
        raise StorageAway(
            f"{address}: no store answers there ({_said(error)}); start it, or mend [frontier] url; nothing was fetched"
        ) from error
    except faults.RedisError as error:
        raise UsageError(f"{address}: {_said(error)}; mend the store, or [frontier] url") from error


def _require_version(address: Address, info: dict[str, Any]) -> None:
    said = str(info.get("redis_version", ""))
    found = re.match(r"(\d+)\.(\d+)", said)
    if found is None:
        raise UsageError(
            f"{address}: what answers there is not a Redis (it does not say its version); mend [frontier] url"
        )
    if (int(found[1]), int(found[2])) < OLDEST:
        raise UsageError(
            f"{address}: Redis {said} is too old; a shared frontier needs {OLDEST[0]}.{OLDEST[1]} or later: update it,"
            " or name another"
        )


async def _durability(client: Any, address: Address, info: dict[str, Any]) -> tuple[str, list[str]]:
    warnings = []
    durable = "no"
    if not info.get("aof_enabled"):
        warnings.append(
            f"{address}: the store does not keep what it is told (appendonly no): if it restarts, the run begins anew;"
            " set appendonly yes"
        )
    else:
        try:
            durable = str((await client.config_get("appendfsync")).get("appendfsync", "everysec"))
        except faults.ResponseError:
            # Managed stores do not tell.
            durable = "everysec"
        if durable == "no":
            warnings.append(
                f"{address}: the store leaves it to the system when to sync (appendfsync no): a power cut may cost more"
                " than it can tell; set appendfsync everysec"
            )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if info.get("maxmemory") and policy != "noeviction":
        warnings.append(
            f"{address}: the store throws keys away when its memory is full (maxmemory-policy {policy}): set noeviction"
        )
    return durable, warnings
