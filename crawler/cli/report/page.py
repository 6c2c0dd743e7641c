"""The page: one file, everything inline, and a policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from crawler.cli.report import overview, sections
from crawler.cli.report.figures import Figures, text
from crawler.cli.report.markup import safe
from crawler.cli.report.source import Source

#: What the sections are called in the list of contents.
_SHORT: Final = {
    "notices": "Warnings",
    "pace": "Pace",
    "outcomes": "Outcomes",
    "reasons": "Reasons",
    "changes": "Changes",
    "sizes": "Latency and size",
    "hosts": "Hosts",
    "links": "Links",
    "traps": "Traps",
    "run": "Settings",
}


def page(source: Source, figures: Figures) -> str:
    """The report as HTML. Whatever servers chose is escaped; nothing is loaded, and no link leads out. Pure."""
    style, script = _asset("report.css"), _asset("report.js")
    # By hash, so that nothing that slipped through the escaping could run or style anything.
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )
    manifest = source.manifest
    title = safe(f"{text(manifest.get('job')) or 'crawl'}: crawl report", 100)
    body = "".join(
        [
            overview.notices(manifest),
            overview.pace(manifest),
            sections.outcomes(figures),
            sections.reasons(figures),
            sections.changes(figures, manifest),
            sections.distributions(figures),
            sections.hosts(figures),
            sections.links(figures),
            sections.traps(manifest),
            sections.colophon(manifest),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f"<header>{overview.masthead(source, figures)}</header>\n{_contents(body)}\n"
        f'<main id="content">{body}</main>\n'
        "<footer>Made by <code>crawler report</code> from run.json and the records of the run.</footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _contents(body: str) -> str:
    """Links to the sections that there are."""
    found = re.findall(r'<h2 id="h-([a-z]+)">', body)
    items = "".join(f'<li><a href="#{name}">{_SHORT[name]}</a></li>' for name in found)
    return f'<nav aria-label="Sections"><ul>{items}</ul></nav>'


@cache
def _asset(name: str) -> str:
    return (files("crawler.cli.report") / name).read_text("utf-8")


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
