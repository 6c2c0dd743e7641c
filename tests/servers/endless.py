"""A site of real pages with endless ones beside them: calendars, facets, session ids, growing paths; and soft 404s.

Every page is made from its path alone, so that the same URL always shows the same page. ``EndlessSite.page`` is a
plain function: behind a socket or in virtual time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import parse_qsl, urlsplit

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FACETS = (
    ("color", ("red", "green", "blue", "black", "white", "yellow", "brown")),
    ("size", ("xs", "s", "m", "l", "xl", "xxl")),
    ("sort", ("price", "name", "rating", "newest")),
)


def word(chance: random.Random) -> str:
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randint(3, 9)))


def sentence(chance: random.Random, words: int = 12) -> str:
    return " ".join(word(chance) for _ in range(words)).capitalize() + "."


#: What each page of the site carries, trap or not.
_MENU = "".join(f"<li><a href='/real/{n}'>{sentence(random.Random(n), 3)}</a></li>" for n in range(12))


def html(title: str, text: str, links: list[str]) -> str:
    anchors = "\n".join(f'<a href="{link.replace("&", "&amp;")}">{name}</a>' for link, name in named(links))
    return (
        f"<!doctype html><html><head><title>{title}</title></head><body><ul>{_MENU}</ul>\n"
        f"<h1>{title}</h1>\n{text}\n{anchors}\n<p>All rights reserved by the makers of this site</p></body></html>"
    )


def named(links: list[str]) -> list[tuple[str, str]]:
    return [(link, str(number)) for number, link in enumerate(links)]


@dataclass(frozen=True)
class EndlessSite:
    """``real`` pages with something to say at /real/<n>, and the ``traps`` that they lead to. With ``soft`` every
    path that nothing else is known of is answered by one page with new links."""

    real: int = 500
    traps: tuple[str, ...] = ("calendar", "facets", "sessions", "growing", "loop")
    soft: bool = False

    def real_paths(self) -> set[str]:
        return {f"/real/{number}" for number in range(self.real)}

    def page(self, target: str) -> str | None:
        """The page at a path with its query, or None."""
        split = urlsplit(target)
        first = split.path.split("/")[1]
        match first:
            case "real":
                number = split.path.removeprefix("/real/")
                return self._real(int(number)) if number.isdigit() and int(number) < self.real else None
            case "cal" if "calendar" in self.traps:
                return self._calendar(split.path)
            case "shop" if "facets" in self.traps:
                return self._facets(split.query)
            case "item" if "sessions" in self.traps:
                return self._session(split.path, target)
            case "grow" if "growing" in self.traps:
                return self._growing(split.path)
            case "loop" if "loop" in self.traps:
                return html(
                    "Loop", "<p>You are going round in a loop.</p>", [f"{split.path}a/", f"{split.path}b/"]
                )
        return self._soft(target) if self.soft else None

    def _real(self, number: int) -> str:
        chance = random.Random(number)
        text = "".join(f"<p>{sentence(chance)}</p>" for _ in range(6))
        links = [f"/real/{(number * 2 + side) % self.real}" for side in (1, 2)] + [
            f"/real/{(number + 1) % self.real}"
        ]
        if number % 10 == 0:
            ways = {
                "calendar": "/cal/2024/5/12?view=week",
                "facets": "/shop?color=red",
                "sessions": f"/item/{number % 50}?sid={chance.getrandbits(64):016x}",
                "growing": "/grow/",
                "loop": "/loop/",
            }
            links += [ways[trap] for trap in self.traps]
        if self.soft:
            links.append(f"/{word(chance)}")
        return html(sentence(chance, 4), text, links)

    def _calendar(self, path: str) -> str | None:
        try:
            day = date(*(int(part) for part in path.split("/")[2:5]))
        except (ValueError, TypeError):
            return None
        days = [day + timedelta(step) for step in (-30, -7, -1, 1, 2, 7, 30, 365)]
        links = [
            f"/cal/{one.year}/{one.month}/{one.day}?view={view}" for one in days for view in ("week", "day")
        ]
        title = f"{WEEKDAYS[day.weekday()]}, {MONTHS[day.month - 1]} {day.day}, {day.year}"
        return html(title, "<p>There are no events on this day.</p>", links)

    def _facets(self, query: str) -> str:
        chosen = parse_qsl(query)
        chance = random.Random(str(sorted(chosen)))
        products = [f"<p>{sentence(random.Random(900_000 + chance.randrange(60)), 5)}</p>" for _ in range(10)]
        more = [(key, value) for key, values in _FACETS for value in chance.sample(values, 3)]
        links = ["/shop?" + "&".join("=".join(pair) for pair in [*chosen[-6:], one]) for one in more]
        return html("Our shop", "".join(products), links)

    def _session(self, path: str, target: str) -> str | None:
        number = path.removeprefix("/item/").partition(";")[0]
        if not number.isdigit() or int(number) >= 50:
            return None
        chance = random.Random(target)
        links = [f"/item/{chance.randrange(50)}?sid={chance.getrandbits(64):016x}" for _ in range(3)]
        links += [f"/item/{chance.randrange(50)};jsessionid={chance.getrandbits(128):032X}"]
        thing = random.Random(700_000 + int(number))
        return html(sentence(thing, 3), f"<p>{sentence(thing)}</p><p>{sentence(thing)}</p>", links)

    def _growing(self, path: str) -> str:
        chance = random.Random(path)
        links = [f"{path}{word(chance)}/", f"{path}{chance.randrange(1000)}/"]
        return html("A folder", "<p>This folder holds further folders.</p>", links)

    def _soft(self, target: str) -> str:
        chance = random.Random(target)
        links = [f"/{word(chance)}", f"/{word(chance)}/{word(chance)}", f"/{word(chance)}.html"]
        return html("Oops", f"<p>Sorry, we could not find {urlsplit(target).path} here.</p>", links)
