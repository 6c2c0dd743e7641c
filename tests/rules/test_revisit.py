"""What is asked again, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from crawler.model.reasons import RETRIED, Reason
from crawler.model.request import Request
from crawler.model.response import Attempted, Response
from crawler.model.results import Facts, Failure, NotModified, Page, Redirect, Result, Skipped
from crawler.model.settings import Politeness
from crawler.rules.revisit import RETRIED_STATUSES, next_visit

NOW = 1_800_000_000.0
SETTINGS = Politeness()


def half() -> float:
    return 0.5


def request(attempt: int = 0) -> Request:
    return Request("https://a/", b"k" * 16, "a", attempt=attempt)


def page(status: int, attempt: int = 0, retry_after: str | None = None) -> Page:
    return Page(request(attempt), response(status, retry_after), Facts())


def response(status: int, retry_after: str | None = None) -> Response:
    headers = CIMultiDict({} if retry_after is None else {"retry-after": retry_after})
    return Response(status, headers, b"", 0, None, "192.0.2.1", "1.1", NOW, 0.1)


def failure(reason: Reason, attempt: int = 0) -> Failure:
    return Failure(request(attempt), reason, None, Attempted(NOW))


@pytest.mark.parametrize("reason", list(Reason))
def test_the_closed_list_of_reasons(reason: Reason) -> None:
    again = next_visit(failure(reason), NOW, SETTINGS, half)
    assert (again is not None) is (reason in RETRIED)
    assert next_visit(Skipped(request(), reason, None, NOW), NOW, SETTINGS, half) is None


@pytest.mark.parametrize("status", range(200, 600))
def test_the_closed_list_of_statuses(status: int) -> None:
    wanted = status in {408, 429, 500, 502, 503, 504, 522, 524}
    assert (next_visit(page(status), NOW, SETTINGS, half) is not None) is wanted


def test_redirects_and_304_are_final() -> None:
    results: list[Result] = [
        Redirect(request(), response(302), "https://b/"),
        NotModified(request(), response(304)),
    ]
    for result in results:
        assert next_visit(result, NOW, SETTINGS, half) is None


def test_tries_are_counted_and_the_wait_doubles() -> None:
    for make in (lambda attempt: failure(Reason.CONNECT_RESET, attempt), lambda attempt: page(500, attempt)):
        waits = [next_visit(make(attempt), NOW, Politeness(tries=4), half) for attempt in range(4)]
        assert waits == [NOW + 5, NOW + 10, NOW + 20, None]
    assert next_visit(failure(Reason.CONNECT_RESET), NOW, Politeness(tries=1), half) is None


def test_retry_after_comes_first() -> None:
    assert next_visit(page(503, 0, "120"), NOW, SETTINGS, half) == NOW + 120
    assert next_visit(page(503, 0, "1"), NOW, SETTINGS, half) == NOW + 1
    assert next_visit(page(503, 0, "soon"), NOW, SETTINGS, half) == NOW + 5
    assert next_visit(page(503, 0, "0"), NOW, SETTINGS, half) == NOW + 5
    assert next_visit(page(503, 2, "120"), NOW, SETTINGS, half) is None


def test_a_retry_after_beyond_patience() -> None:
    # 429 and 503 close the host: its URLs, this one too, end with deferred_retry_after.
    assert next_visit(page(429, 0, "3600"), NOW, SETTINGS, half) == NOW + 3600
    # Of another status it is said of this URL alone; the run doesn't wait an hour for it.
    assert next_visit(page(500, 0, "3600"), NOW, SETTINGS, half) is None


@given(
    st.sampled_from(sorted(RETRIED_STATUSES)),
    st.integers(0, 10_000),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.one_of(st.none(), st.text(max_size=20), st.integers().map(str)),
)
def test_waits_are_bounded(status: int, attempt: int, tries: int, jitter: float, field: str | None) -> None:
    settings = Politeness(tries=tries)
    when = next_visit(page(status, attempt, field), NOW, settings, lambda: jitter)
    assert (when is None) or (attempt + 1 < tries and NOW < when <= NOW + 86_400)
    if field is None:
        assert (when is None) is (attempt + 1 >= tries)
        least = min(settings.retry_base * 2 ** min(attempt, 64) * 0.5, settings.patience)
        assert when is None or when >= NOW + least
