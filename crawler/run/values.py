"""One value of one setting, from whichever source: texts that people write, in the type of the table.

``90s`` and ``10MiB`` and ``none`` mean the same typed, in the environment and in config.toml. What cannot be
meant is refused with what was expected and what was found.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import UsageError
from crawler.run.keys import FROM_NO_TIME, FROM_ZERO, WORKED_OUT, Key

#: SQLite and JSON readers hold whole numbers of 64 bits with a sign.
_LARGEST: Final = 2**62

#: Ten years: longer is a slip, and dates beyond 9999 cannot be written down.
_LONGEST: Final = 10 * 366 * 86_400.0

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)\s*)+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)(?:/s)?", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})

#: RFC 9110, 5.6.2: a field name is a token.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MEDIA_TYPE: Final = re.compile(r"[\w*.+-]+/[\w*.+-]+", re.ASCII)

#: These belong to one request on one connection; by hand they break framing, pooling or the choice of host.
_OURS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "upgrade"})

_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")
MASK: Final = "***"


def read_value(key: Key, found: Any, place: str) -> Any:
    """What was found, in the type of the table. Raises :class:`UsageError` at ``place``."""
    try:
        value = _READERS[key.kind](key, found)
        if (check := _CHECKS.get(key.path)) is not None and value is not None:
            check(value)
    except _UnfitError as error:
        reason = f" ({error})" if str(error) else ""
        raise UsageError(f"{place}: expected {key.expected}; found {_quoted(found, key)}{reason}") from None
    return value


def without_credentials(text: str) -> str:
    """``http://me:secret@proxy/`` as ``http://***@proxy/``."""
    return _USERINFO.sub(f"{MASK}@", text)


class _UnfitError(Exception):
    """A value that cannot be meant; the text says why, where that isn't plain from what was expected."""


def _quoted(found: Any, key: Key) -> str:
    text = repr(found) if not isinstance(found, bool) else str(found).lower()
    text = without_credentials(text)
    if key.kind is Mapping:
        return "such a header"
    return text if len(text) <= 80 else text[:77] + "..."


def _read_bool(key: Key, found: Any) -> bool:
    if isinstance(found, bool):
        return found
    word = found.strip().lower() if isinstance(found, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _UnfitError


def _read_int(key: Key, found: Any) -> int | None:
    if _is_none(key, found):
        return None
    value: int
    if isinstance(found, int) and not isinstance(found, bool):
        value = found
    elif isinstance(found, str):
        value = _size(found.strip()) if key.unit.startswith("bytes") else _whole(found.strip())
    else:
        raise _UnfitError
    if value < (0 if key.path in FROM_ZERO else 1):
        raise _UnfitError
    if value > _LARGEST:
        raise _UnfitError("too large; none lifts the limit" if key.optional else "too large")
    return value


def _whole(text: str) -> int:
    if re.fullmatch(r"[+-]?\d(?:_?\d){0,30}", text):
        return int(text)
    raise _UnfitError


def _size(text: str) -> int:
    """``10MiB`` and ``256k`` count in 1024, ``1GB`` in 1000 (a bare letter as curl reads it)."""
    matched = _SIZE.fullmatch(text)
    if matched is None:
        raise _UnfitError
    number, letter, binary, byte = matched.groups()
    if binary and not letter:
        raise _UnfitError
    step = 1000 if byte and not binary else 1024
    return int(float(number) * step ** " kmgt".index(letter.lower() or " "))


def _read_float(key: Key, found: Any) -> float | None:
    if _is_none(key, found):
        return None
    value: float
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        value = float(found) if abs(found) < _LARGEST else math.inf
    elif isinstance(found, str):
        value = _duration(found.strip().lower()) if key.unit == "s" else _number(found.strip())
    else:
        raise _UnfitError
    if not value >= 0 or (value == 0 and key.path not in FROM_NO_TIME):
        raise _UnfitError
    if key.unit != "s":
        if value > _LARGEST:
            raise _UnfitError("too large")
    elif value > _LONGEST:
        raise _UnfitError("longer than ten years" + ("; none lifts the limit" if key.optional else ""))
    return value


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    raise _UnfitError


def read_duration(text: str, place: str) -> float:
    """Seconds of a duration that is no setting. Raises :class:`UsageError` at ``place``."""
    try:
        return _duration(text.strip().lower())
    except _UnfitError:
        raise UsageError(f"{place}: expected a duration such as 90s, 15m or 2h; found {text!r:.40}") from None


def _duration(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise _UnfitError
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _is_none(key: Key, found: Any) -> bool:
    word = found.strip().lower() if isinstance(found, str) else ""
    if key.path in WORKED_OUT:
        return word == WORKED_OUT[key.path]
    if word == "none":
        if key.optional:
            return True
        raise _UnfitError("this one cannot be lifted")
    return False


def _read_str(key: Key, found: Any) -> str | None:
    if not isinstance(found, str):
        raise _UnfitError
    text = found.strip()
    if key.choices:
        word = text.lower()
        if word not in key.choices:
            near = nearest(word, key.choices)
            raise _UnfitError(f"did you mean {near}?" if near else "")
        return word
    if not text:
        if key.optional:
            return None
        raise _UnfitError("it is empty")
    if _CONTROL.search(text) or not _encodes(text):
        raise _UnfitError("control characters and line ends are not allowed")
    return text


def _encodes(text: str) -> bool:
    """False for the lone surrogates that stand for bytes of an argument which were no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _read_tuple(key: Key, found: Any) -> tuple[str, ...]:
    """A list of texts. One text (a variable) is cut at commas; ``\\,`` is a comma: ``a{1\\,3}``."""
    if isinstance(found, str):
        found = [item.replace("\\,", ",") for item in re.split(r"(?<!\\),", found)]
    if not isinstance(found, (list, tuple)) or not all(isinstance(item, str) for item in found):
        raise _UnfitError
    items = tuple(item.strip() for item in found if item.strip())
    if any(_CONTROL.search(item) or not _encodes(item) for item in items):
        raise _UnfitError("control characters and line ends are not allowed")
    return items


def _read_mapping(key: Key, found: Any) -> Mapping[str, str]:
    """A table; or ``Name: value``, one a line in a variable and one a flag on the command line."""
    if isinstance(found, str):
        found = found.splitlines()
    if isinstance(found, (list, tuple)):
        pairs = [line.partition(":") for line in found if line.strip()]
        if not all(colon for _, colon, _ in pairs):
            raise _UnfitError("write Name: value")
        found = {name.strip(): value.strip() for name, _, value in pairs}
    if not isinstance(found, Mapping):
        raise _UnfitError
    for name, value in found.items():
        if not isinstance(value, str):
            raise _UnfitError(f"the value of {name!r} is not a text")
        if not _TOKEN.fullmatch(name):
            raise _UnfitError(f"{name!r} is not a header name")
        if _CONTROL.search(value) or not _encodes(value):
            raise _UnfitError(f"the value of {name!r} has a control character or a line end")
        if name.lower() in _OURS:
            raise _UnfitError(f"{name!r} is set by the program itself")
    return types.MappingProxyType(dict(found))


_READERS: Final[Mapping[Any, Callable[[Key, Any], Any]]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
    tuple: _read_tuple,
    Mapping: _read_mapping,
}


# What a type cannot say


def _check_job(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) or not name.strip("."):
        raise _UnfitError


def _check_networks(networks: tuple[str, ...]) -> None:
    import ipaddress

    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            try:
                meant = f"; did you mean {ipaddress.ip_network(network, strict=False)}?"
            except ValueError:
                meant = ""
            raise _UnfitError(f"{error}{meant}") from None


def _check_nameservers(servers: tuple[str, ...]) -> None:
    import ipaddress

    for server in servers:
        host, port = server, "53"
        if bracketed := re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", server):
            host, port = bracketed[1], bracketed[2] or port
        elif server.count(":") == 1:
            host, _, port = server.partition(":")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise _UnfitError(f"{host!r} is not an IP address") from None
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise _UnfitError(f"{port!r} is not a port")


def _check_patterns(patterns: tuple[str, ...]) -> None:
    if not patterns:
        return
    import re2

    options = re2.Options()
    options.log_errors = False
    for pattern in patterns:
        try:
            re2.compile(pattern, options)
        except re2.error as error:
            words = error.args[0] if error.args else error
            text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
            raise _UnfitError(f"not an RE2 expression: {text}") from None


def _check_types(media_types: tuple[str, ...]) -> None:
    for media_type in media_types:
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise _UnfitError(f"{media_type!r} is none")


def _check_frontier(url: str) -> None:
    if url in ("sqlite", "memory") or (url.startswith("sqlite:///") and len(url) > 10):
        return
    from crawler.frontier.redis import SCHEMES, Address

    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise _UnfitError
    try:
        Address.of(url)
    except UsageError as error:
        raise _UnfitError(str(error).rpartition("': ")[2]) from None


def _check_upload(url: str) -> None:
    from crawler.sink.bucket import check

    try:
        check(url)
    except ValueError as error:
        raise _UnfitError(str(error)) from None


def _check_user_agent(agent: str) -> None:
    from crawler.content.robots import product_token

    if not product_token(agent):
        raise _UnfitError(
            "nothing stands before its first / or space, and robots.txt knows a crawler by that"
        )


def _check_proxy(url: str) -> None:
    import can_ada

    try:
        parsed = can_ada.parse(url)
    except ValueError:
        parsed = None
    if parsed is None or parsed.protocol != "http:" or not parsed.hostname:
        raise _UnfitError


def _check_listen(address: str) -> None:
    try:
        listen_address(address)
    except ValueError as error:
        raise _UnfitError(str(error)) from None


def listen_address(text: str) -> tuple[str, int]:
    """``9464`` or ``ADDRESS:PORT`` (IPv6 in brackets) as address and port. Raises ``ValueError``."""
    import ipaddress

    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    ipaddress.ip_address(host)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"{port!r} is not a port")
    return host, int(port)


def _check_textfile(path: str) -> None:
    if not path.endswith(".prom") or path.endswith("/.prom"):
        raise _UnfitError("node_exporter reads no other")


def _check_cron(line: str) -> None:
    from crawler.rules.cron import Cron

    try:
        Cron(line, "UTC")
    except ValueError as error:
        raise _UnfitError(str(error)) from None


def _check_time_zone(name: str) -> None:
    from crawler.rules.cron import zone

    try:
        zone(name)
    except ValueError as error:
        raise _UnfitError(str(error)) from None


def _check_share(share: float) -> None:
    if share > 1:
        raise _UnfitError("1 is all of them")


def _check_ca_file(path: str) -> None:
    if not Path(path).is_file():
        raise _UnfitError("there is no such file")


_CHECKS: Final[Mapping[str, Callable[[Any], None]]] = {
    "crawl.job": _check_job,
    "http.allow_networks": _check_networks,
    "http.nameservers": _check_nameservers,
    "scope.allow": _check_patterns,
    "scope.deny": _check_patterns,
    "scope.types": _check_types,
    "frontier.url": _check_frontier,
    "output.upload": _check_upload,
    "http.user_agent": _check_user_agent,
    "http.proxy": _check_proxy,
    "http.ca_file": _check_ca_file,
    "metrics.listen": _check_listen,
    "metrics.textfile": _check_textfile,
    "jobs.cron": _check_cron,
    "jobs.time_zone": _check_time_zone,
    "gate.max_failed": _check_share,
    "gate.max_gone": _check_share,
}


def nearest(name: str, known: typing.Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), 1, 0.7)), None)
