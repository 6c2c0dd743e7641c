"""Templates of URLs, and what it takes to cut one."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.rules.traps import DEMOTED, HOST_WIDE, HostTraps, templates_of, without_visit
from crawler.rules.url import UrlRefused, canonical

H = "http://a.test"


@pytest.mark.parametrize(
    ("path", "narrow", "wide"),
    [
        ("/", "/", "/**"),
        ("/about", "/*", "/**"),
        ("/about/", "/*/", "/**"),
        ("/cal/2024/05/12?view=week", "/cal/{n}/{n}/{n}?view", "/cal/{n}/{n}/{n}?*"),
        ("/shop?size=m&color=red&size=s", "/shop?color&size", "/shop?*"),
        ("/item/7;jsessionid=0AF3", "/item/{n};jsessionid", "/item/**"),
        ("/item/7?sid=0af3", "/item/{n}?sid", "/item/{n}?*"),
        ("/wiki/Foo_bar.html", "/wiki/*.html", "/wiki/**"),
        ("/p/1/2/3/4/5", "/p/{n}/{n}/{n}/...", "/p/**"),
        ("/u/550e8400-e29b-41d4-a716-446655440000/x", "/u/{x}/*", "/u/**"),
        ("/a/b/?q=1&q=2", "/a/b/?q", "/a/b/?*"),
        ("/release-9-6-1.html", "/release-{n}-{n}-{n}.html", "/**"),
    ],
)
def test_templates(path, narrow, wide):
    assert templates_of(H + path) == (narrow, wide, HOST_WIDE)


SEGMENT = st.text("abcXYZ0123456789-_.;=~é%", max_size=30)
URLS = st.builds(
    lambda segments, query: f"{H}/" + "/".join(segments) + (f"?{query}" if query else ""),
    st.lists(SEGMENT, max_size=30),
    st.text("abc0123456789&=;/?[]", max_size=80),
)


@given(URLS)
def test_every_canonical_url_has_templates_that_are_short_and_hold_no_number(url):
    try:
        url = canonical(url).href
    except UrlRefused:
        return
    narrow, wide, host = templates_of(url)
    assert host == HOST_WIDE
    for name in (narrow, wide):
        assert name.startswith("/")
        assert len(name) <= 24 * 100 + 12 * 100
        assert not any(digit in name for digit in "0123456789")


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=5), st.integers(0, 10**9), st.permutations("abcd")
)
def test_numbers_values_and_the_order_of_keys_make_no_template(numbers, other, keys):
    one = f"{H}/x/{'/'.join(map(str, numbers))}?{'&'.join(f'{key}={other}' for key in 'abcd')}"
    two = f"{H}/x/{'/'.join(str(n + 1) for n in numbers)}?{'&'.join(f'{key}=w' for key in keys)}"
    assert templates_of(one) == templates_of(two)


def test_a_visit_is_told_from_a_page():
    assert without_visit(f"{H}/i/7?sid=ab1&q=x") == without_visit(f"{H}/i/7?sid=zz9&q=x")
    assert without_visit(f"{H}/i/7;jsessionid=ab1") == without_visit(f"{H}/i/7;jsessionid=zz")
    assert without_visit(f"{H}/i/7?q=x") != without_visit(f"{H}/i/8?q=x")


def walk(traps: HostTraps, urls, *, fresh=False, demoted=True):
    """Show pages one after the other; answers the cuts and after how many pages each came."""
    cuts = []
    for number, url in enumerate(urls, 1):
        templates = templates_of(url)
        traps.saw(templates)
        cut = traps.judge(url, templates, fresh=fresh(number) if callable(fresh) else fresh, demoted=demoted)
        if cut is not None:
            cuts.append((number, cut.template))
    return cuts


def test_a_template_is_cut_at_its_budget_and_named():
    traps = HostTraps(50)
    assert walk(traps, (f"{H}/cal/{n}" for n in range(60))) == [(50, "/cal/{n}")]
    cut = traps.cut_of(f"{H}/cal/99999")
    assert cut is not None
    assert str(cut) == "/cal/{n}: 50 pages fetched, 50 in a row with nothing new"
    assert cut.example == f"{H}/cal/49"
    assert traps.cut_of(f"{H}/item/99999") is None


def test_many_narrow_templates_are_cut_by_the_wider_one():
    urls = [
        f"{H}/shop?{'&'.join(f'k{chr(97 + b)}=1' for b in range(8) if n >> b & 1)}" for n in range(1, 256)
    ]
    assert walk(HostTraps(50), urls)[0] == (50, "/shop?*")
    words = [f"{H}/{chr(97 + n % 26)}{chr(97 + n // 26)}/x{chr(97 + n % 26)}" for n in range(200)]
    assert walk(HostTraps(50), words)[0] == (100, "/**")


def test_what_led_to_one_cut_leads_to_no_wider_one():
    traps = HostTraps(50)
    for first in "abcd":
        assert walk(traps, (f"{H}/{first}/cal/{n}/x" for n in range(50))) == [(50, f"/{first}/cal/{{n}}/*")]
    assert HOST_WIDE not in traps.cuts


@given(st.lists(st.booleans(), max_size=400))
def test_barren_pages_that_good_ones_name_are_no_evidence(fresh):
    traps = HostTraps(5)
    assert (
        walk(traps, (f"{H}/use/{n}" for n in range(len(fresh))), fresh=lambda n: fresh[n - 1], demoted=False)
        == []
    )
    assert traps.write(last=True) is None


def test_a_hundred_barren_pages_that_good_ones_name_leave_no_evidence():
    traps = HostTraps(5)
    assert walk(traps, (f"{H}/use/{n}" for n in range(100)), demoted=False) == []
    assert walk(traps, (f"{H}/use/{n}" for n in range(4)), demoted=True) == []


@given(st.integers(0, 5))
def test_one_new_page_in_six_is_enough_for_ever(offset):
    traps = HostTraps(20)
    assert walk(traps, (f"{H}/i/{n}" for n in range(2000)), fresh=lambda n: (n + offset) % 6 == 0) == []


def test_a_hundred_thousand_items_are_never_cut():
    traps = HostTraps(1)
    assert walk(traps, (f"{H}/item/{n}" for n in range(100_000)), fresh=True) == []


@given(
    st.lists(st.tuples(st.sampled_from(["/a/1", "/b/2?x=1", "/c", "/d/e/f"]), st.booleans()), max_size=300)
)
def test_what_is_written_goes_on_where_it_was(steps):
    """Cuts are the same; no template is nearer to its cut than it was."""
    one = HostTraps(20)
    for path, fresh in steps:
        walk(one, [H + path], fresh=fresh)
    written = one.write(last=True)
    two = HostTraps(20, written)
    assert two.cuts == one.cuts
    for path in ("/a/1", "/b/2?x=1", "/c", "/d/e/f"):
        assert two.cut_of(H + path) == one.cut_of(H + path)
    assert one.write(last=True) is None, "nothing new"


def test_memory_is_bounded_whatever_the_urls_are():
    traps = HostTraps(10**9)
    walk(traps, (f"{H}/{'abcdefghij'[n % 10] * (n % 37 + 1)}x{'qwertyuiop'[n // 10 % 10] * (n % 31)}/y" * 1
                 for n in range(20_000)))  # fmt: skip
    assert len(traps._tracks) <= 129
    assert HOST_WIDE in traps._tracks
    written = traps.write(last=True)
    assert written is not None
    assert len(written) <= 20_000
    assert len(orjson.loads(written)[0]) <= 64


def test_no_depth_comes_near_to_a_demotion():
    assert DEMOTED > 1_000_000
