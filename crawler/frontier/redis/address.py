"""``[frontier] url`` of a shared frontier, read and refused before anything is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from crawler.model.errors import UsageError

SCHEMES: Final = ("redis", "rediss", "unix")
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store listens, and as whom to come. ``path`` is a socket's, and ``host`` then empty."""

    scheme: str
    host: str
    port: int
    path: str
    database: int
    user: str | None
    password: str | None

    @classmethod
    def of(cls, url: str) -> Address:
        """``redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]``, the same with ``rediss`` (TLS), or
        ``unix://[[USER]:PASSWORD@]/PATH[?db=DB]``. Raises :class:`UsageError`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _refused(url, str(error)) from None
        if parts.scheme not in SCHEMES:
            raise _refused(url, "the scheme is none of redis, rediss, unix")
        query = parse_qsl(parts.query, keep_blank_values=True)
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password is not None else None
        if parts.fragment:
            raise _refused(url, "there is a # in it: write %23 where the password has one")
        if parts.scheme == "unix":
            if parts.hostname or port is not None or len(parts.path) < 2:
                raise _refused(url, "expected unix:///PATH with the socket's absolute path")
            if [name for name, _ in query] not in ([], ["db"]):
                raise _refused(url, "after ? only db=NUMBER is known")
            number = query[0][1] if query else "0"
            return cls("unix", "", 0, unquote(parts.path), _database(url, number), user, password)
        if query:
            raise _refused(url, "nothing is known after ?")
        if not parts.hostname:
            raise _refused(url, "the host is missing")
        if port == 0:
            raise _refused(url, "0 is not a port")
        number = parts.path.removeprefix("/") or "0"
        return cls(parts.scheme, parts.hostname, port or 6379, "", _database(url, number), user, password)

    def __str__(self) -> str:
        """For a person: without user and password."""
        if self.scheme == "unix":
            return f"unix://{self.path}" + (f"?db={self.database}" if self.database else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" + (f"/{self.database}" if self.database else "")


def _database(url: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise _refused(url, f"{text!r:.40} is not the number of a database")
    return int(text)


def _refused(url: str, why: str) -> UsageError:
    shown = _USERINFO.sub("***@", url)
    return UsageError(f"[frontier] url = {shown!r}: {why}")
