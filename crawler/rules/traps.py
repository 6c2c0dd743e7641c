"""Structural traps: a URL template that keeps giving new URLs and no new content.

Law: nothing is cut for its looks. A URL is cut only if every page that named it brought nothing new, and pages of its
template that were named by such pages have themselves brought nothing new, again and again.

A page is *barren* if its host has shown all that it says before. What only barren pages name is *demoted*: it is asked
after everything else of its host, and that is stored with the URL (:data:`DEMOTED`). A demoted page that is barren too
counts 1 against its templates, any page that brings something counts 5 for them (a cumulative sum, Page 1954: a
template of which more than one page in six is new never gets anywhere). At ``[scope] trap_pages`` the demoted URLs of
the template end unasked.

Templates are those of the literature on URLs that differ and pages that don't (Bar-Yossef et al., WWW 2007; Koppula
et al., WSDM 2010), made from one URL at a time instead of learnt from a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

import orjson

#: Added to the priority of what only barren pages name. A better way to the same URL takes it off again, as the
#: frontier keeps the smaller priority of two.
DEMOTED: Final = 1 << 20

#: For a page that brings something new, against 1 for a demoted barren one.
_RELIEF: Final = 5
#: Evidence below this isn't worth a row.
_WORTH_KEEPING: Final = 8
#: Evidence against one template until it is written down once more.
_WRITE_EVERY: Final = 16
#: Templates of one host: about 250 bytes each. Above the first number all but the second's worth are forgotten.
_MOST_TEMPLATES: Final = 128
_KEPT_TEMPLATES: Final = 64
_MOST_CUTS: Final = 32

#: Path segments that make a template, letters of one, query keys.
_MOST_SEGMENTS: Final = 24
_MOST_LETTERS: Final = 40
_MOST_KEYS: Final = 12

_DIGITS: Final = re.compile(r"[0-9]+")
#: UUIDs, hashes, base64: long runs with digits in them.
_RANDOM: Final = re.compile(
    r"(?=[A-Za-z_~%=+-]*[0-9])[A-Za-z0-9_~%=+-]{24,}|(?=[0-9]*[a-fA-F])[0-9a-fA-F]{12,}"
)
_EXTENSION: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,5}$")
#: What does not tell one page from another: values of parameters that name a visit (the names that Heritrix and Nutch
#: strip), and values that look random.
_VISIT: Final = re.compile(
    r"(?i)([?&;](?:[a-z_]*sess(?:ion)?_?(?:id)?|sid|s|cfid|cftoken|token)=)[^&;/?]*"
    r"|(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}"
)

HOST_WIDE: Final = "/**"

Templates = tuple[str, str, str]


@lru_cache(maxsize=16_384)
def _abstract(segment: str) -> str:
    """A path segment or a query key without what varies."""
    name, mark, parameters = segment.partition(";")
    name = "{x}" if _RANDOM.fullmatch(name) else _DIGITS.sub("{n}", name)[:_MOST_LETTERS]
    return f"{name};{_DIGITS.sub('{n}', parameters.partition('=')[0])[:_MOST_LETTERS]}" if mark else name


def templates_of(url: str) -> Templates:
    """The templates that a canonical URL belongs to on its host, the narrowest first; two of them may be the same.

    ``/cal/2024/05/12?view=week`` has ``/cal/{n}/{n}/{n}?view``, ``/cal/{n}/{n}/{n}?*`` and ``/**``;
    ``/wiki/Foo.html`` has ``/wiki/*.html``, ``/wiki/**`` and ``/**``. Runs of digits are ``{n}``, long random tokens
    ``{x}``; query keys are sorted and lose their values, a last segment without a query loses its name, and more
    than three equal segments in a row are three and ``...``. O(len(url)), 4 microseconds.
    """
    path, mark, query = url[url.index("/", 8) + 1 :].partition("?")
    segments = path.split("/", _MOST_SEGMENTS)
    del segments[_MOST_SEGMENTS:]
    names = [_abstract(segment) if len(segment) <= 256 else "{x}" for segment in segments]
    if mark:
        place = "/" + "/".join(_shortened(names) if len(names) > 3 else names)
        keys = sorted({_abstract(pair.partition("=")[0][:256]) for pair in query.split("&", 64)[:64]})
        return f"{place}?{'&'.join(keys[:_MOST_KEYS])}", f"{place}?*", HOST_WIDE
    last = -1 if names[-1] or len(names) == 1 else -2
    name = names[last]
    if name and "{" not in name and ";" not in name:
        extension = _EXTENSION.search(name)
        names[last] = "*" + (extension[0].lower() if extension else "")
    wider = f"/{names[0]}/**" if len(names) > 2 or (len(names) == 2 and names[1]) else HOST_WIDE
    return "/" + "/".join(_shortened(names) if len(names) > 3 else names), wider, HOST_WIDE


def _shortened(names: list[str]) -> list[str]:
    short: list[str] = []
    for name, run in groupby(names):
        length = sum(1 for _ in run)
        short += [name] * length if length <= 3 else [name, name, name, "..."]
    return short


def without_visit(url: str) -> str:
    """``url`` without what only tells one visit from another: equal for two URLs of one page. O(len(url))."""
    return _VISIT.sub(r"\1", url) if "?" in url or ";" in url else url


@dataclass(frozen=True, slots=True)
class Cut:
    """A template that is not asked any more. ``pages``: fetched of it while it was watched."""

    template: str
    pages: int
    evidence: int
    example: str

    def __str__(self) -> str:
        return f"{self.template}: {self.pages} pages fetched, {self.evidence} in a row with nothing new"


@dataclass(slots=True)
class _Track:
    """``pages`` had; ``evidence`` against it; ``barren``: the last one looked at was."""

    pages: int = 0
    evidence: int = 0
    barren: bool = False


class HostTraps:
    """What the pages of one host have shown of its templates. Pure; every method is O(len(url)), but that one page in
    64 may sort 128 templates. At most 50 kB.

    ``budget``: ``[scope] trap_pages``, the evidence at which a template is cut; all of a host at twice that.
    """

    __slots__ = ("_budget", "_tracks", "_unwritten", "cuts")

    def __init__(self, budget: int, written: str | None = None) -> None:
        """``written``: what :meth:`write` gave when the host was last in hand."""
        self._budget = budget
        self._tracks: dict[str, _Track] = {}
        self.cuts: dict[str, Cut] = {}
        self._unwritten = 0
        if written is not None:
            tracks, cuts = orjson.loads(written)
            self._tracks = {name: _Track(pages, evidence, True) for name, pages, evidence in tracks}
            self.cuts = {cut[0]: Cut(*cut) for cut in cuts}

    def suspects(self, templates: Templates) -> bool:
        """Was the last page that was looked at barren, of the host or of one of the templates? Then this one is too."""
        tracks = self._tracks
        return any((track := tracks.get(name)) is not None and track.barren for name in templates)

    def saw(self, templates: Templates) -> None:
        """A page of these templates has come. Once for each page."""
        tracks = self._tracks
        for name in dict.fromkeys(templates):
            track = tracks.get(name)
            if track is None:
                track = tracks[name] = _Track()
            track.pages += 1
        if len(tracks) > _MOST_TEMPLATES:
            self._forget()

    def judge(self, url: str, templates: Templates, *, fresh: bool, demoted: bool) -> Cut | None:
        """A page was looked at: did it bring something new? Answers what is cut from now on because of it.

        :meth:`saw` comes first."""
        for name in dict.fromkeys(templates):
            track = self._tracks.get(name)
            if track is None:
                continue
            track.barren = not fresh
            if fresh:
                track.evidence = max(0, track.evidence - _RELIEF)
            elif demoted and name not in self.cuts:
                track.evidence += 1
                self._unwritten += 1
        return None if fresh or not demoted else self._cut(url, templates)

    def _cut(self, url: str, templates: Templates) -> Cut | None:
        for level, name in enumerate(templates):
            track = self._tracks.get(name)
            most = self._budget * 2 if name == HOST_WIDE else self._budget
            if track is None or name in self.cuts or track.evidence < most or len(self.cuts) >= _MOST_CUTS:
                continue
            cut = self.cuts[name] = Cut(name, track.pages, track.evidence, url)
            # What has led to this verdict counts no more for a wider one.
            for wider in dict.fromkeys(templates[level + 1 :]):
                if wider != name and wider in self._tracks:
                    rest = self._tracks[wider]
                    rest.evidence = max(0, rest.evidence - cut.evidence)
            self._unwritten = _WRITE_EVERY
            return cut
        return None

    def cut_of(self, url: str) -> Cut | None:
        """The verdict that a demoted URL falls under. O(1) on a host with no cut template."""
        if not self.cuts:
            return None
        return next((self.cuts[name] for name in templates_of(url) if name in self.cuts), None)

    def write(self, *, last: bool = False) -> str | None:
        """What is worth keeping, as JSON of at most 20 kB; ``None`` where nothing is, or nothing much has changed
        since it was last written (``last``: nothing at all)."""
        if self._unwritten < (1 if last else _WRITE_EVERY):
            return None
        self._unwritten = 0
        tracks = [
            (name, track.pages, track.evidence)
            for name, track in self._tracks.items()
            if track.evidence >= _WORTH_KEEPING
        ]
        tracks.sort(key=lambda one: -one[2])
        cuts = [(cut.template, cut.pages, cut.evidence, cut.example) for cut in self.cuts.values()]
        return orjson.dumps([tracks[:_KEPT_TEMPLATES], cuts]).decode() if tracks or cuts else None

    def _forget(self) -> None:
        """Those with the least evidence and then the fewest pages go; O(n log n), once in 64 new templates."""
        ranked = sorted(self._tracks.items(), key=lambda one: (one[1].evidence, one[1].pages), reverse=True)
        kept = dict(ranked[:_KEPT_TEMPLATES])
        if HOST_WIDE in self._tracks:
            kept[HOST_WIDE] = self._tracks[HOST_WIDE]
        self._tracks = kept
