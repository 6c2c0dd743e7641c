"""What each registrable domain has cost: a site with a host for every page is held by this and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crawler.rules.scope import registrable


@dataclass(slots=True)
class Domain:
    """``asked``: questions for pages that no seed named, in the whole run; ``unsaved`` of them no settlement has told
    the frontier; ``hosts`` of it are in hand."""

    name: str
    asked: int
    unsaved: int = 0
    hosts: int = 0


class Domains:
    """``[limits] pages_per_domain`` for the hosts in hand; None: no limit. O(1) each, memory O(hosts in hand)."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._in_hand: dict[str, Domain] = {}

    def enter(self, host: str, asked: int) -> Domain:
        """A host comes into hand. ``asked`` is what the frontier knows: told only of a domain that isn't in hand, as
        else ours is newer."""
        name = registrable(host)
        domain = self._in_hand.get(name)
        if domain is None:
            domain = self._in_hand[name] = Domain(name, asked)
        domain.hosts += 1
        return domain

    def leave(self, domain: Domain) -> None:
        """A host is given back, in a settlement that is through."""
        domain.hosts -= 1
        if not domain.hosts and not domain.unsaved:
            del self._in_hand[domain.name]

    def spent(self, domain: Domain) -> str | None:
        """Why the domain isn't asked any more, or None."""
        if self._most is None or domain.asked < self._most:
            return None
        return f"[limits] pages_per_domain = {self._most}: *.{domain.name}"

    def ask(self, domain: Domain, by: int = 1) -> None:
        """It is asked for a page; ``by`` -1: it wasn't after all."""
        domain.asked += by
        domain.unsaved += by

    def learn(self, asked: Mapping[str, int]) -> None:
        """What others have asked is in the frontier's counts."""
        for name, by_all in asked.items():
            if (domain := self._in_hand.get(name)) is not None:
                domain.asked = by_all + domain.unsaved

    def give_back(self, told: dict[str, int]) -> None:
        """It wasn't told after all."""
        for name, asked in told.items():
            if (domain := self._in_hand.get(name)) is not None:
                domain.unsaved += asked

    def take_unsaved(self) -> dict[str, int]:
        """What the next settlement is to tell. O(domains in hand)."""
        told = {}
        for domain in list(self._in_hand.values()):
            if domain.unsaved:
                told[domain.name], domain.unsaved = domain.unsaved, 0
            elif not domain.hosts:
                # Its last host left with something unsaved, which has been told since.
                del self._in_hand[domain.name]
        return told
