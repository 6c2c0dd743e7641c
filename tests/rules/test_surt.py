"""SURT keys, against the package that archives use."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.rules.surt import surt
from crawler.rules.url import canonical

with warnings.catch_warnings():
    # Its regular expressions are written with escapes that Python warns of.
    warnings.simplefilter("ignore")
    from surt import surt as oracle

ID = "0123456789abcdef0123456789abcdef"
DOT_NET = "4hqa0555fwsecu455xqckv45"
URLS = [
    "http://example.com/",
    "https://www.Example.com/A/B/?b=2&a=1",
    "http://example.com:8080/x",
    "https://example.com:443/x/",
    "http://127.0.0.1:8000/a",
    f"http://example.com/a;jsessionid={ID}?x=1",
    "http://example.com/?",
    "http://example.com/?&b&a",
    "http://example.com/a//b///",
    "http://example.com/%7Efoo%20bar",
    "http://example.com/a%2Fb%2525",
    f"http://example.com/a?x=%2F&PHPSESSID={ID}&z=1",
    f"http://example.com/a?x=1&sid={ID}",
    "http://example.com/path?cfid=1&cftoken=2&x=1",
    f"http://example.com/(a({DOT_NET})S({DOT_NET}))/mileg.aspx",
    f"http://example.com/({DOT_NET})/mileg.aspx?x",
    "http://www2.foo.co.uk/x?",
    "http://xn--bcher-kva.example/%C3%A9",
    "http://example.com/a?b=c=d&&e&b",
    "http://wwwfoo.com/",
    "http://example.com./x",
    "http://example.com/x?q=a|b+c",
    "http://a.b/x%0Ay",
]


@pytest.mark.parametrize("url", URLS)
def test_it_is_what_the_wayback_machine_says(url: str) -> None:
    assert surt(url) == oracle(url)


#: What a canonical URL of ours can hold behind its host.
PATHS = st.text("abzAZ019%/.;=&?()_~-+:@!,'*", max_size=30)


@given(st.sampled_from(["http", "https"]), st.sampled_from(["a.test", "www.b.test:81", "10.0.0.1"]), PATHS)
def test_it_is_what_the_wayback_machine_says_of_any_canonical_url(scheme: str, host: str, path: str) -> None:
    url = canonical(f"{scheme}://{host}/{path}").href
    assert surt(url) == oracle(url)


def test_an_address_of_version_6_stands_as_it_is() -> None:
    assert surt("http://[::1]:8000/a") == "::1:8000)/a"
