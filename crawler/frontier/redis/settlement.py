"""A settlement as its script takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from crawler.frontier.redis.ledger import write_mark
from crawler.frontier.redis.values import write_host, write_request, write_robots, write_validators
from crawler.frontier.rows import encode, host_of
from crawler.model.frontier import Settlement
from crawler.model.request import Request

#: What the names of parts that hold records have, and those of an archive do not.
_RECORDS: Final = ".ndjson"


def write_settlement(
    settlement: Settlement,
    found: Sequence[Request],
    remembered: Sequence[bytes],
    told: Callable[[float], float],
) -> str:
    """``remembered``: what is of each that is done, which crosses beside this. ``told``: a due time of ours as the
    store keeps it. O(settlement)."""
    claims = [*settlement.leases.items(), *((back.host, back.token) for back in settlement.hosts)]
    hosts = []
    for back in settlement.hosts:
        due, closed, pause, state = write_host(replace(back.state, due=told(back.state.due)))
        hosts.append([back.host, str(back.token), int(back.release), due, closed, pause, state])
    part = next((mark for mark in settlement.files if _RECORDS in mark.name), None)
    return encode(
        {
            "claims": [[host, str(token)] for host, token in claims],
            "files": [[mark.name, str(mark.start), write_mark(mark)] for mark in settlement.files],
            "part": part.name if part is not None else "",
            "part_closed": int(part is not None and part.closed),
            "done": [
                [
                    done.request.host,
                    done.request.depth,
                    int(done.request.kind),
                    done.outcome,
                    done.reason or "",
                    done.status or 0,
                    done.request.attempt,
                    write_validators(done.memory if done.memory is not None else done.request),
                    len(memory),
                    int(done.withheld),
                ]
                for done, memory in zip(settlement.done, remembered, strict=True)
            ],
            "again": [
                [again.request.host, repr(max(0.0, told(again.not_before))), again.attempt]
                for again in settlement.again
            ],
            "found": [write_request(request) for request in found],
            "hosts": hosts,
            "robots": [
                [host_of(entry.origin), entry.origin, write_robots(entry)] for entry in settlement.robots
            ],
            "evidence": settlement.evidence,
            "domains": settlement.domains,
            "tally": settlement.tally,
        }
    )
