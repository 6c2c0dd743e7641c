"""robots.txt, RFC 9309: which rule of which group decides, and what else the file asks for.

The law: the groups that name our token count, together, else those of ``*``, else nothing is forbidden; the rule
with the longest path decides, ``Allow`` where two are as long (2.2.2); paths are compared octet by octet in one
normal form. Everything is linear: a file is read once, a rule belongs to one group however many agents share it,
and a pattern's wildcards are found from left to right, never tried again.

Why not protego, which is the oracle of the tests: it gives each agent of a group its own copy of each rule (52 KB of
agents and rules take it 10 s and 256 MB, and 500 KiB are to be read), lets Crawl-delay end a group against 2.2.4,
takes ``%E8`` and ``%E9`` for the same octet, and cannot say which line it decided by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

#: RFC 9309, 2.5: at least 500 KiB are read, and no more are.
MAX_BYTES: Final = 500 * 1024

#: Bytes of memory: of a file, of each of its rules beside six times its line, of each sitemap beside its URL.
_A_FILE: Final = 1024
_A_RULE: Final = 280
_A_SITEMAP: Final = 80

#: Misspellings that Google's parser knows from the web; a rule is better obeyed than lost to one.
_FIELDS: Final = {
    "user-agent": "agent",
    "useragent": "agent",
    "user agent": "agent",
    "allow": "allow",
    "disallow": "disallow",
    "dissallow": "disallow",
    "dissalow": "disallow",
    "disalow": "disallow",
    "diasllow": "disallow",
    "disallaw": "disallow",
    "crawl-delay": "delay",
    "crawl delay": "delay",
    "crawldelay": "delay",
    "sitemap": "sitemap",
    "sitemaps": "sitemap",
    "site-map": "sitemap",
}

#: RFC 9309, 2.2: CR, LF or both end a line, and nothing else does (`splitlines` knows seven more).
_LINE_END: Final = re.compile(r"\r\n?|\n")
_SPACE: Final = " \t\v\f"
_STARS: Final = re.compile(r"\*+")
_FIRST_WORD: Final = re.compile(r"[^ \t\v\f/*]*")
_SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}")

#: What stands for itself in the normal form: unreserved characters (RFC 3986, 2.3), and the reserved ones that
#: separate nothing in a path or query, whose escapes are therefore undone.
_PLAIN: Final = "A-Za-z0-9\\-._~:@!&'(),;=+"
_NORMAL: Final = re.compile(f"[{_PLAIN}/?]*").fullmatch
#: What is not in the normal form, by runs: escapes, octets to be escaped, percent signs that open no escape.
_ODD: Final = re.compile(f"((?:%[0-9A-Fa-f]{{2}})+)|[^{_PLAIN}/?%]+|(?:%(?![0-9A-Fa-f]{{2}}))+")
_ESCAPED: Final = tuple(f"%{octet:02X}" for octet in range(256))
_UNDONE: Final = tuple(
    chr(octet) if re.fullmatch(f"[{_PLAIN}]", chr(octet)) and octet < 128 else _ESCAPED[octet]
    for octet in range(256)
)
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]+")


def product_token(agent: str) -> str:
    """The name that robots.txt knows us by: what stands before the first ``/`` or space (RFC 9309, 2.2.1)."""
    return agent.replace("/", " ").split(" ", 1)[0]


@dataclass(slots=True)
class _Rule:
    """One line. ``parts`` are what stands between its wildcards, in the normal form; ``anchored``: it ends in $."""

    allow: bool
    line: str
    length: int
    parts: tuple[str, ...]
    anchored: bool

    def matches(self, path: str) -> bool:
        """O(len(path) + parts)."""
        parts = self.parts
        if not path.startswith(parts[0]):
            return False
        at = len(parts[0])
        if len(parts) == 1:
            return not self.anchored or at == len(path)
        for part in parts[1:-1]:
            found = path.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        last = parts[-1]
        if self.anchored:
            return len(path) - len(last) >= at and path.endswith(last)
        return not last or path.find(last, at) >= 0


@dataclass(slots=True)
class _Group:
    tokens: set[str] = field(default_factory=set)
    rules: list[tuple[bool, str, str]] = field(default_factory=list)
    delay: float | None = None


class _Ruling:
    """All that holds for one token: its rules, longest first, and the fast way past most of them."""

    __slots__ = ("_heads", "_prefixes", "_wild", "delay", "rules")

    def __init__(self, groups: list[_Group]) -> None:
        self.delay = max((group.delay for group in groups if group.delay is not None), default=None)
        rules = [_compile(*rule) for group in groups for rule in group.rules]
        rules.sort(key=lambda rule: (-rule.length, not rule.allow))
        self.rules = rules
        self._wild = [rule for rule in rules if len(rule.parts) > 1]
        self._prefixes = tuple({rule.parts[0] for rule in rules if len(rule.parts) == 1})
        self._heads = tuple({rule.parts[0] for rule in self._wild})

    def decide(self, path: str) -> _Rule | None:
        """The rule that decides; O(rules) at worst, two `startswith` for most paths of most sites."""
        if path.startswith(self._prefixes):
            rules = self.rules
        elif path.startswith(self._heads):
            rules = self._wild
        else:
            return None
        for rule in rules:
            if rule.matches(path):
                return rule
        return None


class Robots:
    """One origin's robots.txt. ``sitemaps`` are the values of its Sitemap lines, each once, as they stand."""

    __slots__ = ("_groups", "_rulings", "sitemaps", "weight")

    def __init__(self, groups: list[_Group], sitemaps: tuple[str, ...]) -> None:
        self._groups = groups
        self._rulings: dict[str, _Ruling] = {}
        self.sitemaps = sitemaps
        #: Bytes of memory, about, where one token's rules are all that was kept: a third too much at worst. Else 0.
        self.weight = 0

    @classmethod
    def parse(cls, body: bytes, token: str | None = None) -> Robots:
        """Read a file; never raises, whatever it holds. O(len(body)), at most 500 KiB of it.

        ``token``: what holds for another one isn't kept, and must not be asked for.
        """
        groups: list[_Group] = []
        sitemaps: dict[str, None] = {}
        gathering = False
        for name, value, line in _records(_text(body)):
            match name:
                case "agent":
                    # Only a rule ends a run of agents; no other record does (RFC 9309, 2.2.4).
                    if not gathering:
                        groups.append(_Group())
                        gathering = True
                    if (agent := _token(value)) is not None:
                        groups[-1].tokens.add(agent)
                case "sitemap":
                    if value:
                        sitemaps[value] = None
                case _ if not groups:
                    pass
                case "delay":
                    if _SECONDS.fullmatch(value):
                        groups[-1].delay = max(float(value), groups[-1].delay or 0.0)
                case _:
                    gathering = False
                    if value:
                        groups[-1].rules.append((name == "allow", value, line))
        robots = cls(groups, tuple(sitemaps))
        if token is not None:
            rules = robots._ruling(token).rules
            robots._groups = []
            robots.weight = _A_FILE + sum(_A_RULE + 6 * len(rule.line) for rule in rules)
            robots.weight += sum(_A_SITEMAP + len(url) for url in sitemaps)
        return robots

    def allows(self, token: str, url: str) -> bool:
        """May a crawler of this product token ask this URL? About a microsecond; O(rules + len(url)) at worst."""
        decided = self._decide(token, url)
        return decided is None or decided.allow

    def rule(self, token: str, url: str) -> str | None:
        """The line that decides, as it stands in the file; None where none matches. Costs as :meth:`allows` does."""
        decided = self._decide(token, url)
        return None if decided is None else decided.line

    def crawl_delay(self, token: str) -> float | None:
        """Seconds between two requests, the longest if the token's groups name several; None where none does."""
        return self._ruling(token).delay

    def _decide(self, token: str, url: str) -> _Rule | None:
        path = _path(url)
        # RFC 9309, 2.2.2: the file itself is always allowed.
        if path == "/robots.txt":
            return None
        ruling = self._rulings.get(token) or self._ruling(token)
        return ruling.decide(path)

    def _ruling(self, token: str) -> _Ruling:
        ruling = self._rulings.get(token)
        if ruling is None:
            name = _token(token)
            ours = [group for group in self._groups if name in group.tokens]
            ruling = _Ruling(ours or [group for group in self._groups if "*" in group.tokens])
            self._rulings[token] = ruling
        return ruling


def _text(body: bytes) -> str:
    """The file's text: at most 500 KiB, cut at a line's end; UTF-8 or, by its mark, UTF-16; no NUL.

    Octets that are no UTF-8 are escaped one by one, so that a path in another charset still matches itself.
    """
    if len(body) > MAX_BYTES:
        body = body[:MAX_BYTES]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = body.decode("utf-16", "replace")
    else:
        text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        if not text.isascii():
            text = _NOT_UTF8.sub(_escaped_octets, text)
    return text.replace("\0", "")


def _escaped_octets(found: re.Match[str]) -> str:
    return "".join([_ESCAPED[octet] for octet in found[0].encode("utf-8", "surrogateescape")])


def _records(text: str) -> Iterator[tuple[str, str, str]]:
    """The lines we know, as (name, value, the line itself); the rest might as well not be there."""
    for raw in _LINE_END.split(text):
        line = raw.partition("#")[0].strip(_SPACE)
        if not line:
            continue
        name, _, value = line.partition(":")
        known = _FIELDS.get(name.strip(_SPACE).lower())
        if known is None:
            # As Google's parser: a forgotten colon, where a name and one value are all there is.
            words = line.split(None, 2)
            known = _FIELDS.get(words[0].lower()) if len(words) == 2 else None
            if known is None:
                continue
            value = words[1]
        yield known, value.strip(_SPACE), line


def _token(value: str) -> str | None:
    """The product token of a User-agent line or header: up to the first space, slash or asterisk, in lower case."""
    if value[:1] == "*" and (len(value) == 1 or value[1] in _SPACE):
        return "*"
    word = _FIRST_WORD.match(value)
    return word[0].lower() if word and word[0] else None


def _compile(allow: bool, value: str, line: str) -> _Rule:
    anchored = value.endswith("$")
    # The asterisk is the one character that means something else in a rule than in a path.
    pattern = value[:-1] if anchored else value
    parts = [_normal(part) for part in _STARS.split(pattern)] if "*" in pattern else [_normal(pattern)]
    if anchored and len(parts) > 1 and not parts[-1]:
        # `*$` is what every rule ends in.
        anchored = False
    # 2.2.2 counts octets of the rule as it stands: its wildcards, and its anchor, count as they do there.
    length = sum(map(len, parts)) + value.count("*") + value.endswith("$")
    return _Rule(allow, line, length, tuple(parts), anchored)


def _path(url: str) -> str:
    """Path and query of an absolute URL, in the normal form."""
    start = url.find("://")
    start = start + 3 if start >= 0 else 0
    end = url.find("#", start)
    if end >= 0:
        url = url[:end]
    slash, question = url.find("/", start), url.find("?", start)
    if slash < 0 or 0 <= question < slash:
        return "/" + (_normal(url[question:]) if question >= 0 else "")
    return _normal(url[slash:])


def _normal(path: str) -> str:
    """RFC 9309, 2.2.2, octet by octet: escapes that need not be are undone, what has to be escaped is.

    What separates (``/ ?``) and what a rule gives a meaning (``* $``) keeps apart from its escape; the other
    reserved characters are their escapes. O(len(path)); a path with nothing to do is the same object.
    """
    return path if _NORMAL(path) else _ODD.sub(_normal_run, path)


def _normal_run(found: re.Match[str]) -> str:
    escapes = found[1]
    if escapes:
        return "".join([_UNDONE[octet] for octet in bytes.fromhex(escapes.replace("%", ""))])
    return "".join([_ESCAPED[octet] for octet in found[0].encode("utf-8", "surrogatepass")])
