"""Scope: what belongs to the crawl, judged for each URL against the seed it comes from; and URL-shape traps.

Law: a request carries its scope as one text (a host name, a registrable domain, or ``""`` for anywhere), so
that a verdict needs nothing but the URL, that text and the settings, and is the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import re2
from publicsuffixlist import PublicSuffixList

from crawler.model.errors import UsageError
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.settings import Scope

_KINDS: Final = ("host", "domain", "any")
_SEED_REDIRECTS: Final = ("domain", "any")


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    # The list that the package carries; nothing is downloaded. Read at the first need only: it costs 0.03 s of the
    # loop, and with each name in punycode as well it would be 0.1.
    return PublicSuffixList(accept_encoded_idn=False)


@lru_cache(maxsize=16_384)
def registrable(host: str) -> str:
    """The registrable domain of a canonical host: the public suffix and one label more (publicsuffix.org,
    with its private section: ``a.github.io`` and ``b.github.io`` are two).

    IP literals, names of one label and public suffixes themselves are their own. A dot at the end is dropped:
    ``example.org.`` is the same domain. O(labels), 3 microseconds, kept for the last 16,384 hosts.
    """
    name = host.rstrip(".")
    # A canonical host whose last label is a number is an IPv4 address: the parser has seen to that.
    if name[:1] == "[" or "." not in name or name.rpartition(".")[2].isdigit():
        return name or host
    if name.count(".") == 1:
        # Whatever the list says: the second label is below a suffix, or the two of them are one.
        return name
    if "xn--" not in name:
        return _public_suffixes().privatesuffix(name) or name
    labels = name.split(".")
    found = _public_suffixes().privatesuffix(".".join(map(_in_letters, labels)))
    return name if found is None else ".".join(labels[-found.count(".") - 1 :])


def _in_letters(label: str) -> str:
    """A label of punycode as the list has it; one that is none stays as it is."""
    if not label.startswith("xn--"):
        return label
    try:
        # A dot in it would make labels of one label: canonical hosts have none such, whoever else may ask.
        return label[4:].encode().decode("punycode").replace(".", "-")
    except UnicodeError:
        return label


class ScopeRules:
    """The ``[scope]`` section as a judge. Pure, and cheap enough to be asked for every new link.

    Raises :class:`UsageError` for a setting that cannot be meant, naming key, text and what is wrong with it.
    """

    def __init__(self, settings: Scope) -> None:
        if settings.kind not in _KINDS:
            raise UsageError(f"[scope] kind: {settings.kind!r} is not one of {', '.join(_KINDS)}")
        if settings.seed_redirects not in _SEED_REDIRECTS:
            known = ", ".join(_SEED_REDIRECTS)
            raise UsageError(f"[scope] seed_redirects: {settings.seed_redirects!r} is not one of {known}")
        self._kind = settings.kind
        self._any_redirect = settings.seed_redirects == "any"
        self._deny = _Patterns("deny", settings.deny) if settings.deny else None
        self._allow = _Patterns("allow", settings.allow) if settings.allow else None
        #: Whether :meth:`refusal` has a question of its own to the URL: without one, a host that is its scope is in it.
        self.asks_url = bool(settings.deny or settings.allow)
        self._max_url = settings.max_url
        self._max_segments = settings.max_segments
        self._max_repeats = settings.max_repeats
        self.wants_type: Callable[[str | None], bool] = _wanted_types(settings.types)

    def scope_of(self, host: str) -> str:
        """The scope that a seed on ``host`` gives to itself and all that is found from it."""
        if self._kind == "host":
            return host
        return registrable(host) if self._kind == "domain" else ""

    def refusal(self, url: str, host: str, scope: str) -> str | None:
        """Why the canonical ``url`` on ``host`` doesn't belong to ``scope``, naming the rule; ``None`` if it
        does.

        Deny wins, allow narrows (rules on the whole canonical URL, RE2: linear time). O(1) for kind host
        without expressions, else O(len(url)) for all expressions of a list together.
        """
        if host != scope and scope and (stranger := self._stranger(host, scope)) is not None:
            return stranger
        if self._deny is not None:
            found = self._deny.first_match(url)
            if found is not None:
                return f"deny: {found}"
        if self._allow is not None and self._allow.first_match(url) is None:
            return "allow: none matches"
        return None

    def sitemap_refusal(self, url: str, host: str, scope: str) -> str | None:
        """As :meth:`refusal`, for a sitemap: ``allow`` says which pages are wanted, and a sitemap is none."""
        if host != scope and scope and (stranger := self._stranger(host, scope)) is not None:
            return stranger
        found = self._deny.first_match(url) if self._deny is not None else None
        return None if found is None else f"deny: {found}"

    def _stranger(self, host: str, scope: str) -> str | None:
        """Why ``host``, which is not ``scope`` itself, is outside of it."""
        if self._kind == "host":
            return f"scope host: {host} is not {scope}"
        if self._kind == "domain" and registrable(host) != registrable(scope):
            return f"scope domain: {host} is not in {scope}"
        return None

    def redirect_scope(self, request: Request, url: str, host: str) -> tuple[str, str | None]:
        """The scope that the target (canonical ``url`` on ``host``) of a redirect of ``request`` is to carry,
        and why it is not to be followed, if so.

        Where a seed redirects, on every hop of its chain, scope goes along inside the registrable domain
        (``example.com`` to ``www.example.com``), or anywhere with ``seed_redirects = "any"``. Any other
        redirect is judged by the scope that its request carries.
        """
        scope = request.scope
        # Nothing but a seed, or what a seed redirected to, has depth 0: a redirect keeps its request's depth.
        widens = self._any_redirect or registrable(host) == registrable(request.host)
        if request.depth == 0 and scope and widens:
            scope = self.scope_of(host)
        return scope, self.refusal(url, host, scope)

    def shape(self, url: str) -> tuple[Reason, str] | None:
        """The shape of a canonical URL that only a trap has, with a text that names the limit; else ``None``.

        - ``url_too_long``: more than ``max_url`` characters (Scrapy's URLLENGTH_LIMIT, 2083).
        - ``trap_depth``: more than ``max_segments`` path segments, empty ones counted, a slash at the end not
          (Heritrix's TooManyPathSegmentsDecideRule).
        - ``trap_path``: one path segment, letter for letter, more than ``max_repeats`` times, side by side or
          not (after Heritrix's PathologicalPathDecidingFilter, which sees only runs: ``/a/b/a/b/a/b`` is as
          much a loop). Empty segments and those of digits alone don't count: ``/2024/01/01/01`` is a date and
          an hour.

        O(len(url)).
        """
        if len(url) > self._max_url:
            return Reason.URL_TOO_LONG, f"{len(url)} characters, at most {self._max_url}"
        # Most URLs have so few slashes, query included, that neither of the other two can be.
        slashes = url.count("/") - 2
        if slashes <= self._max_repeats and slashes <= self._max_segments:
            return None
        query = url.find("?")
        segments = (url if query < 0 else url[:query]).split("/")
        del segments[:3]
        depth = len(segments) - (not segments[-1])
        if depth > self._max_segments:
            return Reason.TRAP_DEPTH, f"{depth} path segments, at most {self._max_segments}"
        if len(segments) - len(set(segments)) < self._max_repeats:
            return None
        counts: dict[str, int] = {}
        for segment in segments:
            count = counts[segment] = counts.get(segment, 0) + 1
            if count > self._max_repeats and segment and not segment.isdigit():
                return Reason.TRAP_PATH, f"segment {segment[:60]!r} more than {self._max_repeats} times"
        return None


class _Patterns:
    """One list of regular expressions, tried as one: a URL that none matches costs one pass, however many
    there are. RE2's own set type is not used: it answers "nothing" when its state budget is spent, and a deny
    that fails open is none."""

    def __init__(self, key: str, texts: Sequence[str]) -> None:
        self._each: list[tuple[str, Any]] = [(text, _compiled(key, text)) for text in texts]
        # Each has compiled alone, so that the sum cannot mean anything else.
        self._together: Any = None
        if len(texts) > 1:
            self._together = _compiled(key, "|".join(f"(?:{text})" for text in texts))

    def first_match(self, url: str) -> str | None:
        """The first expression, in the order of the list, that matches somewhere in ``url``. O(len(url))."""
        if self._together is not None and self._together.search(url) is None:
            return None
        return next((text for text, expression in self._each if expression.search(url) is not None), None)


def _compiled(key: str, text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # the answer is yes or no
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as error:
        what = error.args[0] if error.args else error
        said = what.decode("utf-8", "replace") if isinstance(what, bytes) else str(error)
        raise UsageError(f"[scope] {key}: {text[:200]!r} is not a regular expression (RE2): {said}") from None


_TYPE_PATTERN: Final = re.compile(r"\*|[a-z0-9!#$&^_.+*-]+/[a-z0-9!#$&^_.+*-]+")


def _wanted_types(patterns: Sequence[str]) -> Callable[[str | None], bool]:
    for pattern in patterns:
        if not _TYPE_PATTERN.fullmatch(pattern.strip().lower()):
            raise UsageError(f"[scope] types: {pattern!r} is not a content type such as text/html or text/*")
    expression = "|".join(
        ".*".join(re2.escape(piece) for piece in pattern.strip().lower().split("*")) for pattern in patterns
    )
    wanted = _compiled("types", expression)

    # Servers name a dozen types; a hostile one can name as many as it likes, so few are kept, and short ones.
    @lru_cache(maxsize=256)
    def judge(essence: str) -> bool:
        return wanted.fullmatch(essence) is not None

    def wants_type(content_type: str | None) -> bool:
        """Is a body of this content type to be read? Parameters and case don't matter; no type at all is
        wanted: the bytes will tell (RFC 9110, 8.3). O(1) for a type that was seen."""
        essence = (content_type or "").partition(";")[0].strip().lower()
        return not essence or (len(essence) <= 255 and essence.isascii() and judge(essence))

    return wants_type
