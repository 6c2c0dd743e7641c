"""The headers of a host go where its owner meant them to, and nowhere else."""

from __future__ import annotations

import pytest

from crawler.model.request import Request
from crawler.rules.trust import is_trusted
from crawler.rules.url import canonical, key_of

SEED = "https://a.test/start"


@pytest.mark.parametrize(
    ("url", "seed", "trusted"),
    [
        ("https://a.test/x", SEED, True),
        ("https://a.test:443/x", SEED, True),
        ("https://a.test/x", "http://a.test/", True),
        ("https://a.test/x", "https://b.test/", True),
        ("http://a.test/x", SEED, False),
        ("http://a.test:8080/x", SEED, False),
        ("https://a.test:8443/x", SEED, False),
        ("http://a.test/x", "http://a.test:80/", True),
        ("http://a.test:8080/x", "http://a.test:8080/", True),
        ("http://a.test:8080/x", "http://a.test/", False),
        ("http://a.test:8080/x", "http://a.test:8081/", False),
        ("https://a.test:8443/x", "https://a.test:8443/y?z", True),
        ("http://a.test:8443/x", "https://a.test:8443/", False),
        ("https://[::1]/x", "http://[::1]:8080/", True),
        ("http://[::1]:8080/x", "http://[::1]:8080/", True),
        ("http://[::1]:8081/x", "http://[::1]:8080/", False),
        ("http://a.test:8080/robots.txt", None, True),
    ],
)
def test_only_https_at_the_default_port_and_the_seeds_own_origin(url, seed, trusted):
    href, host = canonical(url)
    own = canonical(seed).href if seed is not None else None
    assert is_trusted(Request(href, key_of(href, 0), host, seed=own)) is trusted


def test_a_seed_that_a_link_had_found_before_is_its_own():
    href, host = canonical("http://a.test:8080/x")
    assert is_trusted(Request(href, key_of(href, 0), host, seed=SEED, is_seed=True))
