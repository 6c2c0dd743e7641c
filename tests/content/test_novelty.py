"""What is new on a page, and what isn't."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from crawler.content.novelty import Novelty
from tests.servers.endless import EndlessSite, html, sentence

H = "http://a.test"


def brings(novelty: Novelty, path: str, text: str) -> bool:
    return novelty.brings(text.encode(), H + path)


def test_a_calendar_is_new_until_its_words_are_known():
    site, novelty = EndlessSite(), Novelty()
    years, months = range(2024, 2027), range(1, 13)
    days = [f"/cal/{year}/{month}/{day}" for year in years for month in months for day in range(1, 28)]
    new = [brings(novelty, day, site.page(day)) for day in days]
    assert any(new[:10])
    assert sum(new[-324:]) <= 3
    assert sum(new) <= 100


def test_articles_are_new_for_ever():
    site, novelty = EndlessSite(real=2_000), Novelty()
    new = [brings(novelty, f"/real/{n}", site.page(f"/real/{n}")) for n in range(2_000)]
    assert sum(new) >= 1_995


def test_thin_items_with_a_name_and_a_line_are_new():
    novelty = Novelty()
    new = 0
    for number in range(1_000):
        chance = random.Random(number)
        text = html(
            sentence(chance, 2), f"<p>{sentence(chance, 4)}</p><p>Price: {number}.99</p>", ["/item/1"]
        )
        new += brings(novelty, f"/item/{number}", text)
    assert new >= 900


def test_the_path_repeated_by_an_error_page_is_nothing_new():
    site, novelty = EndlessSite(soft=True), Novelty()
    paths = [f"/{sentence(random.Random(n), 2)[:-1].replace(' ', '/')}" for n in range(50)]
    new = [brings(novelty, path, site.page(path)) for path in paths]
    assert new[0]
    assert not any(new[3:]), "eight pieces of a page are remembered at a time"


def test_the_same_page_under_another_session_is_nothing_new():
    site, novelty = EndlessSite(), Novelty()
    assert brings(novelty, "/item/7?sid=1", site.page("/item/7?sid=00ff"))
    brings(novelty, "/item/7?sid=1", site.page("/item/7?sid=00ff"))
    assert not brings(novelty, "/item/7?sid=2", site.page("/item/7?sid=abcdef0123"))
    assert brings(novelty, "/item/8?sid=2", site.page("/item/8?sid=abcdef0123"))


def test_pictures_make_a_gallery_new():
    novelty = Novelty()
    shots = [f'<body><h1>Photo</h1><img alt="" src="/shots/{n}.jpg?w=10">' for n in range(20)]
    assert sum(brings(novelty, f"/photo/{n}", shot) for n, shot in enumerate(shots)) >= 19, "a filter errs"
    assert not brings(novelty, "/photo/1000", shots[3])
    assert not brings(novelty, "/photo/1001", shots[3].replace("w=10", "w=99"))


def test_what_no_one_reads_is_not_text():
    novelty = Novelty()
    tokens = [sentence(random.Random(n)) for n in range(9)]
    pages = [f"<script>var token = '{token}';</script><p>Hello to everybody here" for token in tokens]
    new = [brings(novelty, "/", text) for text in pages]
    assert new == [True] + [False] * 8


@given(st.binary(max_size=2_000), st.text(max_size=50))
def test_any_bytes_are_new_once_at_most(body, path):
    novelty = Novelty()
    novelty.brings(body, f"{H}/{path}", suspect=True)
    again = [novelty.brings(body, f"{H}/{path}", suspect=True) for _ in range(20)]
    assert not again[-1]


def test_hostile_bytes_take_no_time():
    novelty = Novelty()
    for body in (b">" * 3_000_000, b"> " * 1_500_000, b"<a>xxxxxx" * 300_000, b"<img src=" * 300_000,
                 b">" + b" " * 3_000_000, b"<script" * 400_000, b" src='" * 400_000):  # fmt: skip
        began = time.process_time()
        novelty.brings(body, H, suspect=True)
        assert time.process_time() - began < 1.0, body[:10]
