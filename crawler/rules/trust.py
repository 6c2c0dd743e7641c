"""Which requests may carry what a host is given alone: the ``headers`` of ``[hosts."NAME"]``, credentials most often.

Law: they go over https at the default port, and to the origin that the request's own seed names: whoever wrote the
seed meant that one. Any page may link to another scheme or port of a host, where a token would go in clear, or to
somebody else's service. Politeness is kept by host name all the same.
"""

from __future__ import annotations

from crawler.model.request import Request
from crawler.rules.url import origin_of


def is_trusted(request: Request) -> bool:
    """May this request carry the headers of its host? A seed is its own, also where a link had found it before.
    O(length of the origin)."""
    seed = request.url if request.is_seed or request.seed is None else request.seed
    origin = origin_of(request.url)
    return origin == f"https://{request.host}" or origin == origin_of(seed)
