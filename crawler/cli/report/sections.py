"""The sections of a report below its top: each is HTML, or nothing where the run has nothing to say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from crawler.cli.advice import advice
from crawler.cli.amounts import bytes_text, count_text, many, share_text
from crawler.cli.escape import escape
from crawler.cli.meanings import MEANINGS
from crawler.cli.report.distribution import Distribution
from crawler.cli.report.figures import MOST_HOSTS, Figures, HostFigures, number, text
from crawler.cli.report.markup import as_table, bar, safe, section, table
from crawler.cli.report.overview import mapping, sequence
from crawler.cli.report.plot import Bar, Edge, bars, graph
from crawler.model.reasons import SKIPPED, Reason

_OUTCOME_COLOURS: Final = {
    "fetched": "good",
    "not_modified": "good",
    "redirected": "move",
    "failed": "bad",
    "skipped": "skipped",
}
_STATUS_COLOURS: Final = {"2": "good", "3": "move", "4": "warn", "5": "bad"}
_KNOWN: Final = {reason.value: reason for reason in Reason}
#: Hosts in the drawing, and pairs of hosts in its table.
_DRAWN: Final = 24
_PAIRS: Final = 100
#: Curves in the drawing, the heaviest: with more of them nothing is seen.
_CURVES: Final = 90
#: Rows of the hosts' table where no script runs.
_STILL: Final = 25
_TYPES: Final = 12
_TRAPS: Final = 200


def outcomes(figures: Figures) -> str:
    """How URLs ended, and with what status."""
    left = _shares(
        dict(figures.outcomes.most_common()), figures.records, _OUTCOME_COLOURS, "Outcome", "Outcomes"
    )
    statuses = dict(sorted(figures.statuses.items()))
    colours = {status: _STATUS_COLOURS.get(status[:1], "skipped") for status in statuses}
    right = _shares(statuses, sum(statuses.values()), colours, "Status", "HTTP statuses")
    types = dict(figures.types.most_common(_TYPES))
    kinds = _shares(types, figures.types.total(), {}, "Content type", "Content types")
    depths = dict(sorted(figures.depths.items(), key=lambda each: int(each[0]))[:30])
    deep = _shares(depths, figures.records, {}, "Links from a seed", "Depth")
    folded = (
        f'<details><summary>Content types and depth</summary><div class="pair">{kinds}{deep}</div></details>'
    )
    return section("outcomes", "Outcomes and statuses", f'<div class="pair">{left}{right}</div>{folded}')


def _shares(
    names: Mapping[str, int], total: int, colours: Mapping[str, str], title: str, caption: str
) -> str:
    rows = [
        (
            safe(name.replace("_", " ") if name in _OUTCOME_COLOURS else name, 60),
            count_text(count),
            share_text(count / total),
            bar(count / total, colours.get(name, "series")),
        )
        for name, count in names.items()
        if count
    ]
    return table((title, "URLs", "Share", ""), rows, numbers=(1, 2), caption=caption) if rows else ""


def reasons(figures: Figures) -> str:
    """Why pages are missing, what that means, what to do, and where it was so."""
    rows = []
    most = max(figures.reasons.values(), default=1)
    for name, count in figures.reasons.most_common():
        known = _KNOWN.get(name)
        means = MEANINGS[known] if known is not None else ""
        colour = "skipped" if known is None or known in SKIPPED else "bad"
        examples = "".join(
            f'<div class="example"><code>{safe(url)}</code>'
            f"{f'<small>{safe(detail, 240)}</small>' if detail else ''}</div>"
            for url, detail in figures.examples.get(name, ())
        )
        rows.append(
            (
                f"<code>{safe(name)}</code>",
                count_text(count),
                bar(count / most, colour),
                f"{_code(means)}<small>{_code(advice(name))}</small>",
                examples,
            )
        )
    if not rows:
        return ""
    head = ("Reason", "URLs", "", "What it means, and what to do", "For example")
    content = table(head, rows, numbers=(1,), caption="Reasons", name="reasons-table", roles=True)
    return section("reasons", "Why pages are missing", content)


def _code(words: str) -> str:
    """Text with `names` in it."""
    parts = safe(words, 400).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def distributions(figures: Figures) -> str:
    """How long answers took, how large bodies are."""
    plots = [
        _distribution(figures.latency, "Time on the wire", _milliseconds, 3),
        _distribution(
            figures.size, "Size of bodies, decoded", lambda size: bytes_text(size).replace(".0 ", " "), 4
        ),
    ]
    return (
        section("sizes", "Latency and size", f'<div class="pair">{"".join(plots)}</div>')
        if any(plots)
        else ""
    )


def _distribution(seen: Distribution, title: str, words: Callable[[float], str], every: int) -> str:
    if not seen.count:
        return ""
    last = max(place for place, count in enumerate(seen.bars) if count)
    first = min(place for place, count in enumerate(seen.bars) if count)
    series: list[Bar] = []
    ticks: list[tuple[float, str]] = []
    rows = []
    for place in range(max(0, first - 1), min(last + 2, len(seen.bars))):
        start = words(seen.edges[place])
        name = (
            f"from {start}" if place + 1 == len(seen.edges) else f"{start} to {words(seen.edges[place + 1])}"
        )
        count = seen.bars[place]
        if len(series) % every == 0:
            ticks.append((len(series), start))
        series.append(Bar(count, f"{name}: {count_text(count)}"))
        rows.append((name, count_text(count)))
    quantiles = [f"{name} <b>{words(seen.quantile(share))}</b>" for name, share in
                 (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99))]  # fmt: skip
    plot = bars(series, ticks, f"{title} of {many(seen.count, 'answer')}", width=380, height=210, gap=3)
    data = table((title, "Answers"), rows, numbers=(1,), caption=title)
    return (
        f'<figure><h3>{title}</h3>{plot}<figcaption class="quantiles">{" · ".join(quantiles)}</figcaption>'
        f"{as_table(data)}</figure>"
    )


def _milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:.0f} ms"


def hosts(figures: Figures) -> str:
    """Every host; the script sorts, searches and turns pages, and without it the largest stand there."""
    if not figures.hosts:
        return ""
    ordered = sorted(figures.hosts.items(), key=lambda each: (-each[1].records, each[0]))
    rows = [[_name(name), *_columns(row)] for name, row in ordered]
    still = [
        (
            safe(name, 80),
            *(count_text(each) for each in _columns(row)[:6]),
            bytes_text(row.wire_bytes),
            _mean(row),
        )
        for name, row in ordered[:_STILL]
    ]
    head = (
        "Host",
        "Records",
        "Pages",
        "Redirects",
        "4xx, 5xx",
        "Failed",
        "Skipped",
        "Received",
        "Mean answer",
    )
    tools = (
        '<div class="tools" id="hosts-tools" hidden>'
        '<input type="search" id="hosts-search" placeholder="Search hosts" aria-label="Search hosts"'
        ' autocomplete="off" spellcheck="false">'
        '<button type="button" id="hosts-before">Previous</button><button type="button" id="hosts-after">Next</button>'
        '<output id="hosts-said" aria-live="polite"></output></div>'
    )
    data = json.dumps(rows, ensure_ascii=True, separators=(",", ":"))
    # In a script element nothing but these can end it or begin a comment; JSON has escapes for them.
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    lead = f"{many(len(figures.hosts), 'host')}."
    if figures.other_hosts.records:
        lead = (
            f"The first {count_text(MOST_HOSTS)} hosts that were met;"
            f" {count_text(figures.other_hosts.records)} records are of others."
        )
    content = (
        f"{tools}{table(head, still, numbers=range(1, 9), caption='Hosts', name='hosts-table')}"
        f'<script type="application/json" id="hosts-data">{data}</script>'
    )
    if len(ordered) > _STILL:
        content += f"<noscript><p>The {_STILL} largest; the others need the page's own script.</p></noscript>"
    return section("hosts", "Hosts", content, lead)


def _name(host: str) -> str:
    """A host's name as data of the script, which writes it as text: nothing in it may deceive the eye."""
    return escape(host, 80)


def _columns(row: HostFigures) -> list[int]:
    mean = round(row.milliseconds / row.answers) if row.answers else -1
    return [row.records, row.pages, row.redirects, row.errors, row.failed, row.skipped, row.wire_bytes, mean]


def _mean(row: HostFigures) -> str:
    return f"{row.milliseconds / row.answers:,.0f} ms" if row.answers else "–"


def links(figures: Figures) -> str:
    """Which hosts link to which."""
    if not figures.with_links:
        return ""
    found = [(*pair.partition(" ")[::2], count) for pair, count in figures.pairs.top(20_000)]
    inner = (
        f"{many(figures.inner_pages, 'page')} of {count_text(figures.with_links)} with links"
        f" {'links' if figures.inner_pages == 1 else 'link'} within their own host"
    )
    if not found:
        return section("links", "Links between hosts", f"<p>{inner}; none links to another host.</p>")
    weight: dict[str, int] = {}
    for start, end, count in found:
        for name in (start, end):
            weight[name] = weight.get(name, 0) + count
    names = sorted(weight, key=lambda name: (-weight[name], name))[:_DRAWN]
    place = {name: number for number, name in enumerate(names)}
    edges = [Edge(place[a], place[b], count) for a, b, count in found if a in place and b in place][:_CURVES]
    sizes = [figures.hosts[name].records if name in figures.hosts else 0 for name in names]
    plot = graph(names, sizes, edges, f"Links between {many(len(names), 'host')}: the same is in the table")
    rows = [(safe(a, 60), safe(b, 60), count_text(count)) for a, b, count in found[:_PAIRS]]
    data = table(("From", "To", "Pages that link"), rows, numbers=(2,), caption="Links between hosts")
    more = (
        f" Drawn are the {_DRAWN} with most links of {count_text(len(weight))} hosts, and their heaviest links."
        if len(weight) > _DRAWN
        else ""
    )
    return section(
        "links",
        "Links between hosts",
        f'<div class="scroll links-plot" tabindex="0" role="region" aria-label="Link graph">{plot}</div>'
        f"{as_table(data)}",
        f"{inner}. A curve leads from a host to one that its pages link to, narrowing on its way; a dot is as large as"
        f" its host has records.{more}",
    )


def traps(manifest: Mapping[str, Any]) -> str:
    """Templates that were cut, and what limits cut away."""
    rows = [
        (
            f"<code>{safe(text(trap.get('template')))}</code>",
            "–" if trap.get("pages") is None else count_text(int(number(trap.get("pages")))),
            count_text(int(number(trap.get("cut")))),
            f"<code>{safe(text(trap.get('example')))}</code>",
        )
        for trap in sequence(manifest.get("traps"))[:_TRAPS]
        if isinstance(trap, dict)
    ]
    cut = [
        (safe(text(name).replace("_", " ")), count_text(int(number(count))))
        for name, count in mapping(manifest.get("cut")).items()
        if number(count)
    ]
    content = ""
    if rows:
        content = table(
            ("Template", "Pages", "URLs cut", "For example"), rows, numbers=(1, 2), caption="Traps"
        )
    if cut:
        content += (
            f"<h3>Links not followed</h3>{table(('Why', 'Links'), cut, numbers=(1,), caption='Links cut')}"
        )
    return section("traps", "Traps and limits", content)


def changes(figures: Figures, manifest: Mapping[str, Any]) -> str:
    """Against the last published run of the job; nothing where records don't say."""
    if not figures.changes:
        return ""
    colours = {"new": "good", "changed": "warn", "gone": "bad", "unchanged": "skipped"}
    content = _shares(
        dict(figures.changes.most_common()),
        figures.changes.total(),
        colours,
        "Change",
        "Changes since the last run",
    )
    for name in ("changed", "gone", "new"):
        if known := figures.changed.get(name):
            urls = "".join(f"<li><code>{safe(url)}</code></li>" for url in known)
            count = figures.changes[name]
            told = f"{name}: {count_text(count)}" + (
                f", the first {len(known)}" if count > len(known) else ""
            )
            content += f'<details><summary>{told}</summary><ul class="plain">{urls}</ul></details>'
    if withheld := int(
        number(mapping(manifest.get("counts")).get("withheld")) or number(manifest.get("withheld"))
    ):
        content += (
            f"<p>{many(withheld, 'unchanged page was', 'unchanged pages were')} left out of the output.</p>"
        )
    return section("changes", "Changes since the last run", content)


def colophon(manifest: Mapping[str, Any]) -> str:
    """Starts, settings and versions, folded."""
    starts = [
        (
            safe(text(each.get("at"))),
            safe(", ".join(text(seed) for seed in sequence(each.get("seeds"))[:5]), 200),
        )
        for each in sequence(manifest.get("starts"))[-20:]
        if isinstance(each, dict)
    ]
    settings = [
        (f"<code>[{safe(section_name)}] {safe(key)}</code>", safe(json.dumps(value, ensure_ascii=False), 200))
        for section_name, keys in mapping(manifest.get("settings")).items()
        for key, value in mapping(keys).items()
    ]
    versions = [
        (safe(name), safe(str(version), 40)) for name, version in mapping(manifest.get("versions")).items()
    ]
    content = table(("Start", "Seeds"), starts, caption="Starts of this run") if starts else ""
    if settings:
        content += _folded("Settings", table(("Setting", "Value"), settings, caption="Settings"))
    if versions:
        content += _folded("Versions", table(("Of", "Version"), versions, caption="Versions"))
    return section("run", "Starts and settings", content)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>"
