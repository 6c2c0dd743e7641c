"""The way from the workers to the settler: when it is woken."""

from __future__ import annotations

from crawler.engine.results import ResultQueue
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.results import Skipped


async def test_the_settler_is_woken_for_32_results_not_for_each() -> None:
    """Waking it takes 16 microseconds, which was a page's. In one turn of the loop: no timer can do it here."""
    queue = ResultQueue(2_000, 1 << 26)
    request = Request("http://a.test/", b"k" * 16, "a.test")
    for number in range(1, 33):
        queue.put_nowait(Skipped(request, Reason.NOT_DUE, "", 0.0))
        assert queue.wake.is_set() == (number == 32)
    queue.close()
