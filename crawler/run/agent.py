"""What the crawler calls itself, and by which word of that robots.txt knows it."""

from __future__ import annotations

from crawler.content.robots import product_token
from crawler.model.settings import Http, Settings


def user_agent(settings: Http) -> str:
    """``crawler/<version> (+contact)`` unless told otherwise."""
    # 40 ms of imports that a name of one's own does without.
    from importlib.metadata import version

    name = settings.user_agent or f"crawler/{version('crawler')}"
    if settings.contact and settings.contact not in name:
        return f"{name} (+{settings.contact})"
    return name


def masked_agents(settings: Settings) -> list[str]:
    """A warning for each name that begins as every browser's does: no site can address this crawler by it in its
    robots.txt, and what it says to ``mozilla`` is meant for others."""
    named = [("[http] user_agent", settings.http.user_agent)]
    named += [
        (f'[hosts."{host}"] user_agent', override.user_agent) for host, override in settings.hosts.items()
    ]
    return [
        f"{place} = {agent[:80]!r}: the robots token is mozilla, the word before the first / or space, as for every"
        " browser: robots.txt cannot name this crawler; begin with a name of your own"
        for place, agent in named
        if agent is not None and product_token(agent).lower() == "mozilla"
    ]
