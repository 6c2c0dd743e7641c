"""Finished files in an object store: ``s3://BUCKET/PREFIX``, or a folder in the part of one (``file:///PATH``).

Law: an object appears whole or not at all, and a finished part is never replaced by other bytes. What is uploaded is
held against its hash first, so that the bucket has what was committed or nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from crawler.model.errors import StorageError, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "file")

#: Names of buckets: AWS takes 3 to 63 of a smaller alphabet; other stores, and old buckets, are wider.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")

#: An object in the making is cut into requests of this size: one lost on the way costs that, not a part of 256 MiB.
_PIECE: Final = 8 * 1024 * 1024
_AT_ONCE: Final = 4
#: Seconds for one request: a piece may come over a line of 0.6 Mbit/s.
_REQUEST: Final = timedelta(seconds=120)
#: How long a part is tried again, and how long something small on which a start or an ending waits.
_PATIENT: Final = (10, timedelta(seconds=180))
_BRISK: Final = (3, timedelta(seconds=20))

#: Where the store looks for a role of the machine when the environment has no keys (IMDS).
_ROLE: Final = re.compile(r"/latest/(?:api/token|meta-data)")
_ANSWER: Final = re.compile(r"<Code>([^<]{1,100})</Code>(?:\s*<Message>([^<]{0,300})</Message>)?")
_REFUSED: Final = ("PermissionDeniedError", "UnauthenticatedError")


def check(url: str) -> tuple[str, str, str]:
    """Scheme, bucket (empty of ``file``) and prefix. Raises :class:`ValueError` that says what is wrong. Pure."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"{scheme!r} is no scheme of a store" if separator else "")
    if "?" in rest or "#" in rest:
        raise ValueError("a query or fragment has no meaning here")
    if scheme == "file":
        if not rest.startswith("/") or not rest.strip("/"):
            raise ValueError("a folder is named by its absolute path: file:///PATH")
        return scheme, "", rest
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise ValueError("keys come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)")
    if not bucket:
        raise ValueError("it names no bucket")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket!r} is no bucket's name")
    prefix = prefix.strip("/")
    if prefix and any(segment in ("", ".", "..") for segment in prefix.split("/")):
        raise ValueError("the prefix has an empty segment, '.' or '..'")
    return scheme, bucket, prefix


class Bucket:
    """Objects below one URL. Makes nothing and asks nothing until it is used.

    Raises :class:`UsageError` where the URL, or what the environment says of the store, is none.
    """

    def __init__(self, url: str) -> None:
        try:
            scheme, bucket, prefix = check(url)
        except ValueError as error:
            raise UsageError(f"[output] upload = {url!r}: {error}") from None
        # Imported when asked for: it is an extra.
        from obstore.store import LocalStore, S3Store

        self.url = url.rstrip("/")

        def store(tries: tuple[int, timedelta]) -> ObjectStore:
            if scheme == "file":
                return LocalStore(prefix, mkdir=True)
            return S3Store(
                bucket,
                prefix=prefix or None,
                client_options={"timeout": _REQUEST, "allow_http": _is_plain(os.environ)},
                retry_config={"max_retries": tries[0], "retry_timeout": tries[1]},
            )

        self._keeps_attributes = scheme == "s3"
        try:
            self._patient, self._brisk = store(_PATIENT), store(_BRISK)
        except (
            Exception
        ) as error:  # whatever the environment holds: an endpoint that is none, a folder that can't be
            raise UsageError(f"[output] upload = {url!r}: {_why(error)}") from None

    async def try_out(self, name: str, content: Mapping[str, Any]) -> None:
        """Write ``name``, to see before anything is fetched that this can be done.

        Raises :class:`UsageError` where there is no such bucket or it is not ours, :class:`StorageError` where it
        cannot be reached.
        """
        try:
            await self._put_json(name, content)
        except Exception as error:
            text = f"[output] upload: {self.url} cannot be written to ({_why(error)})"
            if isinstance(error, FileNotFoundError):
                raise UsageError(f"{text}: make the bucket, or name another; nothing was fetched") from error
            if type(error).__name__ in _REFUSED:
                raise UsageError(
                    f"{text}: give these keys s3:PutObject there, or set others; nothing was fetched"
                ) from error
            if _has_no_keys(error):
                raise UsageError(f"{text}; nothing was fetched") from error
            raise StorageError(
                f"{text}: is it up, and AWS_ENDPOINT_URL right? Run again when it is; nothing was fetched"
            ) from error

    async def put_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace the object ``name``. Raises :class:`StorageError`."""
        try:
            await self._put_json(name, content)
        except Exception as error:
            raise self._storage_error(name, error) from error

    async def _put_json(self, name: str, content: Mapping[str, Any]) -> None:
        import obstore

        data = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        await obstore.put_async(self._brisk, name, data, attributes=self._attributes("application/json"))

    async def put_file(self, name: str, path: Path) -> None:
        """Replace the object ``name`` by a small file. Raises :class:`StorageError`."""
        import obstore

        try:
            data = await asyncio.to_thread(path.read_bytes)
            await obstore.put_async(self._patient, name, data, attributes=self._attributes("text/plain"))
        except Exception as error:
            raise self._storage_error(name, error) from error

    async def put_part(self, name: str, path: Path, sha256: str) -> None:
        """Make the object ``name`` of a finished part, once: where it is there already nothing is sent.

        O(bytes), none of them in memory at once beyond a few pieces. Raises :class:`StorageError`, also where the file,
        or an object of that name, has other bytes than were committed.
        """
        import obstore

        try:
            size = (await asyncio.to_thread(path.stat)).st_size
            if await self._holds(name, path, size, sha256):
                return
            if await asyncio.to_thread(_sha256, path) != sha256:
                raise StorageError(
                    f"{path}: it has changed since it was finished, and was not uploaded;"
                    " crawler verify says what it should be"
                )
            await obstore.put_async(
                self._patient,
                name,
                path,
                attributes=self._attributes("application/octet-stream", sha256=sha256),
                chunk_size=_PIECE,
                max_concurrency=_AT_ONCE,
            )
        except StorageError:
            raise
        except Exception as error:
            raise self._storage_error(name, error) from error

    async def has(self, name: str, size: int) -> bool:
        """Is an object of this name and size there? Yes where we may not ask. Raises :class:`StorageError`."""
        import obstore

        try:
            found = await obstore.head_async(self._patient, name)
        except FileNotFoundError:
            return False
        except Exception as error:
            if type(error).__name__ in _REFUSED:
                return True
            raise self._storage_error(name, error) from error
        return bool(found["size"] == size)

    async def _holds(self, name: str, path: Path, size: int, sha256: str) -> bool:
        """Is it there? Raises :class:`StorageError` where something else is."""
        import obstore

        try:
            found = await obstore.get_async(self._patient, name, options={"head": True})
        except FileNotFoundError:
            return False
        except Exception as error:
            if type(error).__name__ in _REFUSED:
                # Whoever may write but not read sends it again: the same bytes.
                return False
            raise
        there = found.attributes.get("sha256")
        if there is None and found.meta["size"] == size:
            there = await self._digest(name)
        if there == sha256 and found.meta["size"] == size:
            return True
        raise StorageError(
            f"{self.url}/{name}: there is another object of this name, of {found.meta['size']} bytes, which is not"
            f" replaced; {path} was not uploaded. Does another crawl of this job upload to the same place?"
        )

    async def _digest(self, name: str) -> str:
        """By reading it: O(bytes)."""
        import obstore

        digest = hashlib.sha256()
        found = await obstore.get_async(self._patient, name)
        async for piece in found.stream(min_chunk_size=_PIECE):
            digest.update(piece)
        return digest.hexdigest()

    def _attributes(self, content_type: str, **more: str) -> dict[str, str] | None:
        """A folder keeps none."""
        return {"Content-Type": content_type, **more} if self._keeps_attributes else None

    def _storage_error(self, name: str, error: Exception) -> StorageError:
        return StorageError(
            f"{self.url}/{name}: {_why(error)}; the files are whole on this disk: run again to upload the rest"
        )


def _is_plain(environ: Mapping[str, str]) -> bool:
    """Has the endpoint been named with http://, as that of a store in one's own network?"""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return any(environ.get(name, "").startswith("http://") for name in names)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_no_keys(error: Exception) -> bool:
    return _ROLE.search(str(error).split("Debug source", 1)[0]) is not None


def _why(error: Exception) -> str:
    """What a person wants to know of it, in one line. The store's own text goes on with its inner types."""
    if _has_no_keys(error):
        return "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run on a machine that has a role"
    text = str(error).split("Debug source", 1)[0]
    if answer := _ANSWER.search(text):
        return f"{answer[1]}: {answer[2]}" if answer[2] else answer[1]
    return " ".join(text.split())[:300]
