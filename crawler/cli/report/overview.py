"""The top of a report: what the run was, in one sentence and a few figures, and how fast it went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from crawler.cli.amounts import bytes_text, count_text, duration_text, many, rate_text, share_text
from crawler.cli.report.figures import Figures, number, text
from crawler.cli.report.markup import as_table, bar, safe, section, table
from crawler.cli.report.plot import Bar, bars
from crawler.cli.report.source import Source

_PILLS: Final = {
    "finished": ("good", "finished"),
    "stopped": ("warn", "stopped with work left"),
    "gated": ("bad", "finished, not published"),
    "abandoned": ("bad", "abandoned"),
}

#: What held the crawl, as the limiter names it, and what that means.
_HELD: Final = {
    "network": "the network, or servers that answer slowly",
    "politeness": "hosts waiting out their delay",
    "cpu": "the processor",
    "disk": "the disk",
    "rate": "[limits] rate",
    "seeds": "reading the seeds",
    "idle": "nothing left to ask",
}

#: Steps of a time axis, in seconds.
_ROUND: Final = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14_400,
    21_600,
    43_200,
    86_400,
)

_ANSWERED: Final = ("fetched", "not_modified", "redirected")


def masthead(source: Source, figures: Figures) -> str:
    """Job, outcome, the sentence, the tiles."""
    manifest = source.manifest
    kind, words = _PILLS.get(text(manifest.get("outcome")), ("warn", "under way or killed"))
    if why := text(manifest.get("stopped_by")):
        words += f" ({safe(why)})"
    times = [safe(text(manifest.get(name))[:19].replace("T", " ")) for name in ("started_at", "finished_at")]
    when = f"{times[0]} to {times[1]} UTC" if all(times) else f"{times[0]} UTC" if times[0] else ""
    eyebrow = f"Crawl report · run <code>{safe(text(manifest.get('run_id')) or source.folder.name)}</code>"
    return (
        f'<p class="eyebrow">{eyebrow}{f" · {when}" if when else ""}</p>'
        f'<h1>{safe(text(manifest.get("job")) or "crawl")} <span class="pill {kind}">{words}</span></h1>'
        f'<p class="verdict">{_sentence(source, figures)}</p>{_tiles(manifest, figures)}'
    )


def _sentence(source: Source, figures: Figures) -> str:
    good = figures.outcomes["fetched"] + figures.outcomes["not_modified"]
    said = f"{many(good, 'page was', 'pages were')} fetched of {many(figures.records, 'URL')} that came to an end"
    if source.under_way:
        said = f"So far {said}: the run goes on, or was killed"
    held = shares(source.manifest.get("limited_by"))
    if held:
        name, share = held[0]
        said += f". For {share_text(share)} of the time it was held back by {_HELD.get(name, safe(name))}"
    reasons = [(count, name) for name, count in figures.reasons.items()]
    if reasons:
        count, name = max(reasons)
        said += f". The most frequent reason for a missing page is <code>{safe(name)}</code> ({count_text(count)})"
    return said + "."


def _tiles(manifest: Mapping[str, Any], figures: Figures) -> str:
    counts, seen = mapping(manifest.get("counts")), mapping(manifest.get("connections"))
    answered = sum(figures.outcomes[name] for name in _ANSWERED)
    elapsed, starts = number(manifest.get("elapsed")), len(sequence(manifest.get("starts")))
    tiles = [
        ("Fetched", count_text(figures.outcomes["fetched"]), f"{count_text(figures.records)} records"),
        (
            "Hosts",
            count_text(len(figures.hosts)) + ("+" if figures.other_hosts.records else ""),
            f"{count_text(int(number(counts.get('seeds'))))} seeds",
        ),
        ("Pending", count_text(int(number(counts.get("pending")))), "URLs still to ask"),
        (
            "Failed",
            count_text(figures.outcomes["failed"]),
            f"{count_text(figures.outcomes['skipped'])} skipped",
        ),
        (
            "Received",
            bytes_text(number(manifest.get("wire_bytes"))),
            many(int(number(manifest.get("requests"))), "request"),
        ),
    ]
    if elapsed:
        # Of several starts only the last one's time is known.
        rate = (
            f"{rate_text(answered / elapsed)} pages/s"
            if starts <= 1
            else f"the last of {many(starts, 'start')}"
        )
        tiles.append(("Time", duration_text(elapsed), rate))
    if seen.get("requests"):
        tiles.append(
            (
                "Reuse",
                share_text(number(seen.get("reuse_ratio"))),
                f"{count_text(int(number(seen.get('opened'))))} opened",
            )
        )
    inner = "".join(
        f"<div><dt>{name}</dt><dd>{big}<small>{small}</small></dd></div>" for name, big, small in tiles
    )
    return f'<dl class="tiles">{inner}</dl>'


def notices(manifest: Mapping[str, Any]) -> str:
    """What must not be overlooked."""
    said = [safe(each, 400) for each in sequence(manifest.get("warnings"))[:50]]
    robots = mapping(mapping(manifest.get("settings")).get("robots"))
    if robots.get("obey") is False:
        said.insert(0, "robots.txt was not obeyed (<code>--no-robots</code>).")
    return section("notices", "Warnings", "".join(f'<p class="notice">{each}</p>' for each in said))


def pace(manifest: Mapping[str, Any]) -> str:
    """Pages over time, coloured by what held them: the newest start, the others folded."""
    lines = [each for each in sequence(manifest.get("timeline")) if isinstance(each, dict)]
    drawn = [each for each in (_start_plot(line) for line in lines) if each]
    held = _held_table(manifest)
    if not drawn and not held:
        return ""
    content = drawn[-1] if drawn else "<p>This run has no time line.</p>"
    if drawn[:-1]:
        content += f"<details><summary>{many(len(drawn) - 1, 'earlier start')}</summary>{''.join(drawn[:-1])}</details>"
    return section(
        "pace",
        "Pages over time",
        content + held,
        "Each column is a step of time; its colour says what held the crawl back for most of it.",
    )


def _start_plot(line: Mapping[str, Any]) -> str:
    done, held = sequence(line.get("records"))[:1000], sequence(line.get("limited_by"))
    step = number(line.get("step"))
    if not done or not step:
        return ""
    held = [each if each in _HELD else "idle" for each in held] + ["idle"] * len(done)
    series, rows = [], []
    for place, count in enumerate(done):
        at, rate = place * step, number(count) / step
        when = f"{duration_text(at)} to {duration_text(at + step)}"
        words = f"{when}: {rate_text(rate)} records/s, {held[place]}"
        series.append(Bar(rate, words, held[place]))
        rows.append((when, count_text(int(number(count))), held[place]))
    began = safe(text(line.get("at"))[:19].replace("T", " "))
    most = max(bar.value for bar in series)
    label = f"Records a second over {duration_text(len(done) * step)}, at most {rate_text(most)}"
    legend = "".join(
        f'<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{name}" width="10" height="10" rx="2"/></svg>'
        f"{name}: {words}</li>"
        for name, words in _HELD.items()
        if name in held[: len(done)]
    )
    data = table(("Time", "Records", "Held back by"), rows, numbers=(1,), caption="Records over time")
    plot = bars(series, _times(len(done) * step, step), label, width=760, height=230, gap=1)
    return (
        f'<figure><div class="scroll" tabindex="0" role="region" aria-label="Plot of records a second">{plot}</div>'
        f'<ul class="legend">{legend}</ul><figcaption class="quantiles">Records a second from {began} UTC.</figcaption>'
        f"</figure>{as_table(data)}"
    )


def _held_table(manifest: Mapping[str, Any]) -> str:
    rows = [
        (
            safe(name),
            share_text(share),
            bar(share, name if name in _HELD else "idle"),
        )
        for name, share in shares(manifest.get("limited_by"))
    ]
    if not rows:
        return ""
    return f"<h3>What held it back</h3>{table(('Limit', 'Time', ''), rows, numbers=(1,), caption='Share of the time')}"


def _times(whole: float, step: float) -> list[tuple[float, str]]:
    """At most seven ticks of a time axis of ``whole`` seconds, at round times."""
    every = next((each for each in _ROUND if whole / each <= 7), 86_400 * max(1, whole // (6 * 86_400)))
    return [(every * place / step, _clock(every * place)) for place in range(int(whole / every) + 1)]


def _clock(seconds: float) -> str:
    """A tick of the time axis: ``0:05``, ``2:10:00``."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def shares(value: object) -> list[tuple[str, float]]:
    """Names and their shares of 1, the largest first."""
    known = [(text(name), number(share)) for name, share in mapping(value).items()]
    total = sum(share for _, share in known)
    return (
        sorted(((name, share / total) for name, share in known if share), key=lambda each: -each[1])
        if total
        else []
    )


def mapping(value: object) -> Mapping[str, Any]:
    """run.json may come from anywhere."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
