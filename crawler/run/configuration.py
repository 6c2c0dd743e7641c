"""Settings from what was typed, the environment and config.toml, in this order, each with its origin.

Everything is derived from the table in :mod:`crawler.model.settings`: what a key is called, what it takes and
what it means. Values that people write as text (``90s``, ``10MiB``, ``none``) are read here, for all three
sources alike, and a wrong one is refused by name before anything is asked.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import UsageError
from crawler.model.settings import HostOverride, Settings

PREFIX: Final = "CRAWLER_"

#: What is accepted where the type alone doesn't say it.
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "crawl.loop": ("uvloop", "asyncio"),
    "scope.kind": ("host", "domain", "any"),
    "scope.seed_redirects": ("domain", "any"),
    "output.body": ("html", "text", "markdown", "none"),
    "output.compress": ("none", "zstd", "gzip"),
    "log.progress": ("auto", "always", "never"),
    "log.format": ("auto", "text", "json"),
    "log.level": ("error", "warning", "info", "debug"),
}

#: What may be written where the type says too little.
_WORDS: Final[Mapping[str, str]] = {
    "crawl.job": "a name of letters, digits, '.', '_' and '-', at most 64 of them",
    "scope.allow": "a list of regular expressions (RE2)",
    "scope.deny": "a list of regular expressions (RE2)",
    "scope.types": "a list of content types such as text/html, text/* or application/*+xml",
    "http.allow_networks": "a list of networks such as 127.0.0.0/8",
    "http.nameservers": "a list of ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT",
    "http.ca_file": "a PEM file",
    "http.proxy": "an http:// URL",
    "http.min_rate": "bytes a second, or a text like 1k; 0: off",
    "frontier.url": "sqlite, sqlite:///PATH or memory",
}

#: Whole numbers may be 0 here; everywhere else 0 would mean that nothing can happen.
_FROM_ZERO: Final = frozenset({"scope.depth", "http.min_rate", "http.max_redirects"})

#: Durations that may be 0; of the others something has to be left.
_MAY_BE_NO_TIME: Final = frozenset(
    {
        "politeness.delay",
        "politeness.max_crawl_delay",
        "politeness.patience",
        "politeness.retry_base",
        "robots.keep",
        "http.dns_keep",
        "http.keepalive",
        "limits.grace",
    }
)

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

_SECRET: Final = re.compile(r"auth|cookie|token|secret|passw|key|session|credential", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. ``kind`` is bool, int, float, str, tuple (of str) or Mapping (str to str).

    ``optional`` allows None, which is written ``none``.
    """

    section: str
    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    unit: str
    flag: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"{PREFIX}{self.section}_{self.name}".upper()

    @property
    def option(self) -> str:
        """The word on the command line: the flag of the table, else ``--section-name``."""
        return self.flag or f"--{self.section}-{self.name}".replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        return CHOICES.get(self.path, ())

    @property
    def expected(self) -> str:
        """What a person may write, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.path in _WORDS:
            return _WORDS[self.path]
        if self.kind is bool:
            words = "true or false"
        elif self.kind is float:
            least = "0 or more" if self.path in _MAY_BE_NO_TIME else "more than 0"
            words = f"a duration, {least}: seconds, or a text like 90s, 15m, 2h, 1d"
        elif self.kind is int and self.unit.startswith("bytes"):
            words = "a size: bytes, or a text like 256k, 10MiB, 1GB"
        elif self.kind is int:
            words = "a whole number, " + ("0 or more" if self.path in _FROM_ZERO else "1 or more")
        elif self.kind is tuple:
            words = "a list of texts"
        elif self.kind is Mapping:
            words = "a table of names and texts"
        else:
            words = "a text"
        return f"{words}, or none" if self.optional and self.kind in (int, float) else words


@cache
def keys() -> tuple[Key, ...]:
    """Every setting but the overrides by host, in the order of the table."""
    sections = typing.get_type_hints(Settings)
    return tuple(
        key
        for field in dataclasses.fields(Settings)
        if field.name != "hosts"
        for key in _keys_of(field.name, sections[field.name])
    )


@cache
def host_keys() -> tuple[Key, ...]:
    """The settings that may differ for one host."""
    return tuple(_keys_of("hosts", HostOverride))


def _keys_of(section: str, table: type) -> list[Key]:
    hints = typing.get_type_hints(table)
    found = []
    for field in dataclasses.fields(table):
        hint, optional = hints[field.name], False
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
            optional = True
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        kind = typing.get_origin(hint) or hint
        text = field.metadata
        found.append(
            Key(section, field.name, kind, optional, default, text["help"], text["unit"], text["flag"])
        )
    return found


def load(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> tuple[Settings, dict[str, str]]:
    """The settings, and for each ``section.key`` where it came from.

    ``flags`` maps ``section.key`` to what was typed (a text, a bool, or a list of texts); ``file`` is the
    config.toml to read, or None. Raises :class:`UsageError`, which names the place, the key and what was
    expected.
    """
    table: dict[str, Any] = {}
    source = ""
    if file is not None:
        source = _read(file)
        table = _parse(source, file)
    chosen: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for key in keys():
        values = chosen.setdefault(key.section, {})
        if flags.get(key.path) is not None:
            values[key.name] = _value(key, flags[key.path], f"{key.option}")
            origins[key.path] = key.option
        elif _is_set(key, environ):
            values[key.name] = _value(key, environ[key.variable], key.variable)
            origins[key.path] = key.variable
        elif key.name in table.get(key.section, {}):
            place = _place(source, file, key.section, key.name)
            values[key.name] = _value(
                key, table[key.section][key.name], f"{place}: [{key.section}] {key.name}"
            )
            origins[key.path] = str(file)
        else:
            origins[key.path] = "default"
    sections = typing.get_type_hints(Settings)
    made = {section: sections[section](**values) for section, values in chosen.items()}
    made["hosts"] = types.MappingProxyType(_hosts(table.get("hosts", {}), source, file))
    for host in made["hosts"]:
        origins[f'hosts."{host}"'] = str(file)
    return Settings(**made), origins


def default_file(named: str | None, folder: Path) -> Path | None:
    """The config.toml to read: the one named (it must be there), else the one in ``folder``, if any."""
    if named is not None:
        return Path(named)
    file = folder / "config.toml"
    return file if file.is_file() else None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for each ``CRAWLER_...`` variable that looks like a misspelt setting.

    A warning, not an error: Kubernetes itself sets ``CRAWLER_HTTP_PORT`` and the like for a service so named.
    """
    known = {key.variable for key in keys()}
    return [
        f"{name} is not a setting; did you mean {near}?"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known and (near := _nearest(name, known))
    ]


def settings_as_dict(settings: Settings) -> dict[str, Any]:
    """Every setting as JSON has it, for run.json.

    Secrets are masked: credentials in URLs, and headers whose name says that they hold one.
    """
    result: dict[str, Any] = {}
    for key in keys():
        value = getattr(getattr(settings, key.section), key.name)
        result.setdefault(key.section, {})[key.name] = _shown(value)
    result["hosts"] = {
        host: {
            key.name: _shown(value)
            for key in host_keys()
            if (value := getattr(override, key.name)) not in (None, {})
        }
        for host, override in settings.hosts.items()
    }
    return result


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _MASK if _SECRET.search(name) else text for name, text in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str):
        return _USERINFO.sub(f"{_MASK}@", value)
    return value


# Reading the file


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from error


def _parse(source: str, file: Path) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: {error}") from error
    sections = {key.section for key in keys()} | {"hosts"}
    for section, values in table.items():
        if section not in sections:
            place = _place(source, file, section, None)
            what = f"section [{section}]" if isinstance(values, dict) else f"key {section} outside a section"
            raise UsageError(f"{place}: unknown {what}{_meant(section, sections)}")
        if not isinstance(values, dict):
            raise UsageError(
                f"{_place(source, file, section, None)}: {section} is a section: write [{section}]"
            )
        known = {key.name for key in keys() if key.section == section}
        for name in values:
            if section != "hosts" and name not in known:
                place = _place(source, file, section, name)
                raise UsageError(f"{place}: unknown key {name} in [{section}]{_meant(name, known, section)}")
    return table


def _hosts(table: Mapping[str, Any], source: str, file: Path | None) -> dict[str, HostOverride]:
    made: dict[str, HostOverride] = {}
    by_name = {key.name: key for key in host_keys()}
    for written, values in table.items():
        section = f'hosts."{written}"'
        place = _place(source, file, section, None)
        host = _host(written)
        if host is None:
            raise UsageError(
                f"{place}: [{section}]: expected a host name, without scheme, port and path, in quotes"
            )
        if not isinstance(values, dict):
            raise UsageError(f'{place}: hosts."{written}" is a section: write [hosts."{written}"]')
        if host in made:
            raise UsageError(f"{place}: [{section}] is there twice: host names are compared in lower case")
        chosen = {}
        for name, value in values.items():
            place = _place(source, file, section, name)
            if name not in by_name:
                raise UsageError(f"{place}: unknown key {name} in [{section}]{_meant(name, by_name)}")
            key = by_name[name]
            general = next(each for each in keys() if each.name == name and each.section in _TWINS)
            key = dataclasses.replace(key, section=general.section)
            chosen[name] = _value(key, value, f"{place}: [{section}] {name}")
        made[host] = HostOverride(**chosen)
    return made


#: Where the general settings stand that a host may override.
_TWINS: Final = ("politeness", "http")


def _host(written: str) -> str | None:
    """The host name as URLs have it: lower case, IDNA (WHATWG host parsing); None for what is none."""
    if not written or re.search(r"[\s/?#@\\]|:\d*$", written.split("]")[-1]):
        return None
    import can_ada

    try:
        name = str(can_ada.parse(f"http://{written}/").hostname)
    except ValueError:
        return None
    return name or None


def _place(source: str, file: Path | None, section: str, name: str | None) -> str:
    """``file`` or ``file:line``. The line is looked for in the text, because tomllib doesn't keep it."""
    inside = ""
    plain = section.replace('"', "").replace("'", "")
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[{1,2}\s*([^\]]+?)\s*\]", line):
            inside = header[1].replace('"', "").replace("'", "").replace(" ", "")
            if name is None and (inside == plain or inside.startswith(f"{plain}.")):
                return f"{file}:{number}"
            if name is not None and inside.startswith(f"{plain}.{name}"):
                return f"{file}:{number}"
        elif key := re.match(r"\s*([\w.\"' -]+?)\s*=", line):
            written = key[1].replace('"', "").replace("'", "").replace(" ", "")
            whole = f"{inside}.{written}" if inside else written
            wanted = plain if name is None else f"{plain}.{name}"
            if whole == wanted or whole.startswith(f"{wanted}."):
                return f"{file}:{number}"
    return str(file)


def _meant(name: str, known: typing.Iterable[str], section: str = "") -> str:
    """`` (did you mean ...?)``, also where the key is right and stands in the wrong section."""
    elsewhere = [f"[{key.section}] {key.name}" for key in keys() if key.name == name]
    near = _nearest(name, known)
    if near is None and elsewhere:
        near = elsewhere[0]
    if near is None:
        return f"; known here: {', '.join(sorted(known))}"
    return f"; did you mean {near}?"


def _nearest(name: str, known: typing.Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), 1, 0.7)), None)


# Reading one value


def _is_set(key: Key, environ: Mapping[str, str]) -> bool:
    """An empty variable isn't set, but where empty is a value: it empties a list or an optional text."""
    text = environ.get(key.variable)
    if text is None:
        return False
    return text != "" or key.kind in (tuple, Mapping) or (key.kind is str and key.optional)


def _value(key: Key, found: Any, place: str) -> Any:
    """What was found, in the type of the table. Raises :class:`UsageError` at ``place``."""
    try:
        value = _READERS[key.kind](key, found)
        if (check := _CHECKS.get(key.path)) is not None and value is not None:
            check(value)
    except _UnfitError as error:
        reason = f" ({error})" if str(error) else ""
        raise UsageError(f"{place}: expected {key.expected}; found {_quoted(found, key)}{reason}") from None
    return value


class _UnfitError(Exception):
    """A value that cannot be meant; the text says why, where that isn't plain from what was expected."""


def _quoted(found: Any, key: Key) -> str:
    text = repr(found) if not isinstance(found, bool) else str(found).lower()
    text = _USERINFO.sub(f"{_MASK}@", text)
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
    if value < (0 if key.path in _FROM_ZERO else 1):
        raise _UnfitError
    if value > _LARGEST:
        raise _UnfitError("too large; none lifts the limit" if key.optional else "too large")
    return value


def _whole(text: str) -> int:
    if re.fullmatch(r"[+-]?\d[\d_]{0,30}", text):
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
        value = _duration(found.strip().lower())
    else:
        raise _UnfitError
    if not value >= 0 or (value == 0 and key.path not in _MAY_BE_NO_TIME):
        raise _UnfitError
    if value > _LONGEST:
        raise _UnfitError("longer than ten years" + ("; none lifts the limit" if key.optional else ""))
    return value


def _duration(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise _UnfitError
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _is_none(key: Key, found: Any) -> bool:
    if isinstance(found, str) and found.strip().lower() == "none":
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
            near = _nearest(word, key.choices)
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
            raise _UnfitError(str(error)) from None


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
    if url not in ("sqlite", "memory") and not (url.startswith("sqlite:///") and len(url) > 10):
        raise _UnfitError


def _check_proxy(url: str) -> None:
    import can_ada

    try:
        parsed = can_ada.parse(url)
    except ValueError:
        parsed = None
    if parsed is None or parsed.protocol != "http:" or not parsed.hostname:
        raise _UnfitError


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
    "http.proxy": _check_proxy,
    "http.ca_file": _check_ca_file,
}
