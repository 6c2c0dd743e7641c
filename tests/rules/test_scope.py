"""What belongs to the crawl, and URLs of a shape that only traps have."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from crawler.model.errors import UsageError
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.settings import Scope
from crawler.rules.scope import ScopeRules, registrable
from crawler.rules.url import canonical

HOST = ScopeRules(Scope(kind="host"))
DOMAIN = ScopeRules(Scope(kind="domain"))
ANY = ScopeRules(Scope(kind="any"))

# fmt: off
hosts = st.sampled_from([
    "example.org", "www.example.org", "example.org.", "other.org", "a.github.io", "b.github.io", "localhost",
    "127.0.0.1", "127.0.0.2", "[::1]", "example.co.uk", "www.example.co.uk", "co.uk", "xn--p1ai", "a..b", ".",
])
# fmt: on


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.org", "example.org"),
        ("a.b.example.org", "example.org"),
        ("www.example.org.", "example.org"),
        ("www.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("a.b.github.io", "b.github.io"),
        ("github.io", "github.io"),
        ("www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("localhost", "localhost"),
        ("a.localhost", "a.localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("a.b.unknown-tld", "b.unknown-tld"),
        (".", "."),
    ],
)
def test_registrable(host: str, domain: str) -> None:
    assert registrable(host) == domain


def test_names_in_punycode_are_found_under_their_letters() -> None:
    """For every such suffix, as the list in both forms says, which takes thrice as long to read."""
    whole = PublicSuffixList()
    spelt = sorted(name for name in whole._publicsuffix if "xn--" in name and name[0] not in "*!")
    assert len(spelt) > 100
    for suffix in spelt:
        host = f"www.site.{suffix}"
        assert registrable(host) == whole.privatesuffix(host)
    assert registrable("xn--a.xn--zzzzzz.test") == "xn--zzzzzz.test"


@given(hosts)
def test_the_registrable_domain_is_its_own(host: str) -> None:
    assert registrable(registrable(host)) == registrable(host)


@given(hosts)
def test_a_seed_is_in_its_own_scope(host: str) -> None:
    for rules in (HOST, DOMAIN, ANY):
        assert rules.refusal(f"https://{host}/", host, rules.scope_of(host)) is None


def test_scope_by_kind() -> None:
    assert HOST.scope_of("www.example.org") == "www.example.org"
    assert DOMAIN.scope_of("www.example.org") == "example.org"
    assert ANY.scope_of("www.example.org") == ""
    assert HOST.refusal("https://other.org/", "other.org", "example.org") == (
        "scope host: other.org is not example.org"
    )
    assert HOST.refusal("https://www.example.org/", "www.example.org", "example.org") is not None
    assert DOMAIN.refusal("https://www.example.org/", "www.example.org", "example.org") is None
    assert DOMAIN.refusal("https://other.org/", "other.org", "example.org") == (
        "scope domain: other.org is not in example.org"
    )
    assert DOMAIN.refusal("https://b.github.io/", "b.github.io", "a.github.io") is not None
    assert ANY.refusal("https://other.org/", "other.org", "") is None


def test_a_scope_stored_under_another_kind_is_judged_by_the_present_one() -> None:
    assert DOMAIN.refusal("https://b.example.org/", "b.example.org", "www.example.org") is None
    assert ANY.refusal("https://other.org/", "other.org", "example.org") is None
    assert HOST.refusal("https://other.org/", "other.org", "") is None


def test_allow_narrows_and_deny_wins() -> None:
    rules = ScopeRules(Scope(kind="any", allow=("/docs/", r"\.html$"), deny=(r"(?i)/PRIVATE/", r"\?.*sid=")))
    assert rules.refusal("https://a/docs/x", "a", "") is None
    assert rules.refusal("https://a/x.html", "a", "") is None
    assert rules.refusal("https://a/x", "a", "") == "allow: none matches"
    assert rules.refusal("https://a/docs/private/", "a", "") == "deny: (?i)/PRIVATE/"
    assert rules.refusal("https://a/docs/?x&sid=1", "a", "") == r"deny: \?.*sid="
    one = ScopeRules(Scope(deny=("/x",)))
    assert one.refusal("https://a/x", "a", "a") == "deny: /x"
    assert one.refusal("https://b/x", "b", "a") == "scope host: b is not a"


def test_expressions_with_flags_names_and_anchors_do_not_mix() -> None:
    rules = ScopeRules(Scope(deny=("(?i)abc", "DEF$", "(?P<n>x)y", "(?P<n>z)w", "^https://a/^|q{3}")))
    assert rules.refusal("https://a/def", "a", "a") is None
    assert rules.refusal("https://a/DEF", "a", "a") == "deny: DEF$"
    assert rules.refusal("https://a/ABC", "a", "a") == "deny: (?i)abc"
    assert rules.refusal("https://a/zw", "a", "a") == "deny: (?P<n>z)w"
    assert rules.refusal("https://a/qqq", "a", "a") == "deny: ^https://a/^|q{3}"


def test_expressions_take_linear_time() -> None:
    rules = ScopeRules(Scope(deny=("(a+)+$", "(a|aa)+b", "(.*a){12}c")))
    start = time.process_time()
    assert rules.refusal("https://a/" + "a" * 2000 + "!", "a", "a") is None
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Scope(deny=("ok", "(")), "[scope] deny: '(' is not a regular expression (RE2): missing ): ("),
        (
            Scope(allow=("(?=x)",)),
            "[scope] allow: '(?=x)' is not a regular expression (RE2): invalid perl operator",
        ),
        (Scope(allow=(r"(a)\1",)), "invalid escape sequence"),
        (Scope(deny=("\ud800",)), "[scope] deny: "),
        (Scope(kind="hosts"), "[scope] kind: 'hosts' is not one of host, domain, any"),
        (Scope(seed_redirects="none"), "[scope] seed_redirects: 'none' is not one of domain, any"),
        (Scope(types=("html",)), "[scope] types: 'html' is not a content type"),
        (Scope(types=("text/html; charset=utf-8",)), "[scope] types: "),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(settings: Scope, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        ScopeRules(settings)
    assert says in str(caught.value)


def seed(host: str, scope: str) -> Request:
    return Request(f"https://{host}/", b"k" * 16, host, seed=f"https://{host}/", scope=scope, is_seed=True)


def redirect(rules: ScopeRules, request: Request, host: str) -> tuple[str, str | None]:
    return rules.redirect_scope(request, f"https://{host}/", host)


def test_a_seeds_redirect_takes_scope_along_inside_its_registrable_domain() -> None:
    start = seed("example.org", "example.org")
    assert redirect(HOST, start, "www.example.org") == ("www.example.org", None)
    assert redirect(DOMAIN, start, "www.example.org") == ("example.org", None)
    scope, refusal = redirect(HOST, start, "other.org")
    assert scope == "example.org"
    assert refusal == "scope host: other.org is not example.org"
    assert redirect(DOMAIN, start, "other.org")[1] == "scope domain: other.org is not in example.org"
    assert redirect(ANY, seed("example.org", ""), "other.org") == ("", None)


def test_scope_follows_every_hop_of_a_seeds_chain() -> None:
    hop = Request(
        "https://www.example.org/",
        b"l" * 16,
        "www.example.org",
        scope="www.example.org",
        redirects=1,
        chain=(b"k" * 16,),
    )
    assert redirect(HOST, hop, "m.example.org") == ("m.example.org", None)
    assert redirect(HOST, hop, "other.org")[1] is not None


def test_another_redirect_is_judged_by_the_scope_it_carries() -> None:
    found = replace(seed("example.org", "example.org"), depth=1, is_seed=False)
    assert redirect(HOST, found, "www.example.org")[1] == "scope host: www.example.org is not example.org"
    assert redirect(HOST, found, "example.org") == ("example.org", None)
    assert redirect(DOMAIN, found, "www.example.org") == ("example.org", None)


def test_seed_redirects_any_opens_all_but_what_is_denied() -> None:
    rules = ScopeRules(Scope(seed_redirects="any", deny=("//denied",)))
    start = seed("example.org", "example.org")
    assert redirect(rules, start, "other.org") == ("other.org", None)
    assert redirect(rules, start, "denied.org") == ("denied.org", "deny: //denied")
    assert redirect(rules, replace(start, depth=1), "other.org")[1] is not None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://a/", None),
        ("https://a/" + "x" * (2083 - 10), None),
        ("https://a/" + "x" * (2084 - 10), Reason.URL_TOO_LONG),
        ("https://a" + "".join(f"/s{i}" for i in range(20)), None),
        ("https://a" + "".join(f"/s{i}" for i in range(20)) + "/", None),
        ("https://a" + "".join(f"/s{i}" for i in range(20)) + "/x", Reason.TRAP_DEPTH),
        ("https://a/x" + "/" * 20, None),
        ("https://a/x" + "/" * 21, Reason.TRAP_DEPTH),
        ("https://a/?" + "/a" * 30, None),
        ("https://a/b/b", None),
        ("https://a/b/b/", None),
        ("https://a/b/b/b", Reason.TRAP_PATH),
        ("https://a/b/c/b/c/b/c", Reason.TRAP_PATH),
        ("https://a/b/x/b/y/b.html", None),
        ("https://a/B/b/b", None),
        ("https://a/b?/b/b/b", None),
        ("https://a/b/b?/b/b/b", None),
        ("https://a/b/b/c?/b", None),
        ("https://a/2024/01/01/01/01", None),
        ("https://a//b///c////", None),
        ("https://a/https://a/https://a/https://a/", Reason.TRAP_PATH),
    ],
)
def test_shape(url: str, reason: Reason | None) -> None:
    assert canonical(url).href == url
    found = HOST.shape(url)
    assert (found and found[0]) is reason


def test_shape_says_the_limit() -> None:
    assert HOST.shape("https://a/b/b/b") == (Reason.TRAP_PATH, "segment 'b' more than 2 times")
    strict = ScopeRules(Scope(max_segments=2, max_repeats=5, max_url=30))
    assert strict.shape("https://a/x/y/z") == (Reason.TRAP_DEPTH, "3 path segments, at most 2")
    assert strict.shape("https://a/" + "x" * 21) == (Reason.URL_TOO_LONG, "31 characters, at most 30")
    assert ScopeRules(Scope(max_repeats=1)).shape("https://a/x/x") is not None
    assert ScopeRules(Scope(max_repeats=1)).shape("https://a/x/y") is None


@given(
    st.lists(st.sampled_from(["", "a", "b", "c", "1", "22", "a1"]), max_size=12),
    st.sampled_from(["", "?", "?/a/a/a/a"]),
    st.integers(1, 4),
    st.integers(1, 10),
)
def test_shape_is_what_its_words_say(segments: list[str], query: str, repeats: int, depth: int) -> None:
    url = "https://host/" + "/".join(segments) + query
    found = ScopeRules(Scope(max_repeats=repeats, max_segments=depth)).shape(url)
    path = segments or [""]
    if len(path) - (path[-1] == "") > depth:
        assert found is not None
        assert found[0] is Reason.TRAP_DEPTH
    elif any(path.count(segment) > repeats for segment in path if segment and not segment.isdigit()):
        assert found is not None
        assert found[0] is Reason.TRAP_PATH
    else:
        assert found is None


@pytest.mark.parametrize(
    ("content_type", "wanted"),
    [
        ("text/html", True),
        ("text/html; charset=utf-8", True),
        ("TEXT/Plain", True),
        ("application/xhtml+xml", True),
        ("application/atom+xml", True),
        ("application/ld+json", True),
        ("application/json", True),
        (None, True),
        ("", True),
        ("  ", True),
        ("application/pdf", False),
        ("image/png", False),
        ("application/xml-dtd", False),
        ("xtext/html", False),
        ("text", False),
        ("text/" + "x" * 300, False),
        ("\ud800/x", False),
    ],
)
def test_wanted_types(content_type: str | None, wanted: bool) -> None:
    assert HOST.wants_type(content_type) is wanted


def test_all_types() -> None:
    for pattern in ("*", "*/*"):
        assert ScopeRules(Scope(types=(pattern,))).wants_type("image/png")
    assert not ScopeRules(Scope(types=("image/PNG",))).wants_type("text/html")
    assert ScopeRules(Scope(types=("image/PNG",))).wants_type("image/png")
