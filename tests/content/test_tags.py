"""What a large page says tag by tag is what its tree says."""

from __future__ import annotations

import pytest

from crawler.content.facts import Html
from crawler.content.html import read_html
from crawler.content.tags import Tags

PAGES = [
    '<html lang=de><html lang=en><meta name=robots content="noindex, NoFollow"><title> a &amp; b\n</title><a href=x>',
    "<title>never ended &lt;",
    "<svg><title>icon</title><a href=in></a></svg><title>page</title>",
    "<svg><p><title>broken out</title>",
    "<template><base href=no><a href=in></template><base href=yes><a href=out>",
    "<noscript><a href=1></a><NOSCRIPT ><a href=2></a></noscript></noscript ><a href=3>",
    "<textarea><a href=no></textarea><script>'<a href=no>'</script><style><a href=no></style><a href=yes>",
    "<!-- <a href=no> --><a href><area href=' y '><a rel='x NOFOLLOW' href=z><a name=none>",
    '<link rel="Canonical next" href=" /c "><meta http-equiv=content-language content=fr><meta name=OurS content=none>',
    '<a href="&amp;x&copy"><a title=">" href=\'"\'>',
]


def read(text: str, size: int, most_links: int = 100_000) -> tuple[Html, int]:
    tags = Tags("ours", most_links=most_links)
    for at in range(0, len(text), size):
        tags.feed(text[at : at + size])
    return tags.close(), tags.links


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [40, 1000])
def test_in_slices_as_by_the_tree(page: str, size: int) -> None:
    found, links = read(page, size)
    assert found == read_html(page, "ours")
    assert links == len(found.hrefs)


def test_a_tag_may_lie_across_slices() -> None:
    text = "".join(
        f'<p class="{n}">x</p><noscript><a title="y" href="/{n}">z</a></noscript>' for n in range(300)
    )
    for size in range(20, 60):
        assert read(text, size)[0].hrefs == [(f"/{n}", True) for n in range(300)]


def test_of_the_links_the_first_are_kept_and_all_are_counted() -> None:
    text = "".join(f"<a href={number}>" for number in range(1000))
    found, links = read(text + "<a href=9#x>" * 7, 64, most_links=10)
    assert (len(found.hrefs), links) == (10, 1000)
