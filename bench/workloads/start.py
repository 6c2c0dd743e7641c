"""*start*: how long a person waits for ``--help``, and a host for the first request."""

from __future__ import annotations

import contextlib
import socket
import statistics
import sys
import threading
import time

from bench import ours
from bench.measurement import measure
from bench.plan import Plan
from bench.table import Results

HELP_GOAL, FIRST_GOAL = 0.3, 0.8
#: A start is short: more of them than rounds.
TIMES = 5


def run(plan: Plan) -> Results:
    """Medians of ``TIMES`` starts a round; no table, two lines."""
    results = Results("start", "seconds from the start of the process")
    print(f"\n== {results.workload}: {results.about}", flush=True)
    times = TIMES * plan.rounds
    _say(results, "crawler --help", [_help(plan) for _ in range(times)], HELP_GOAL)
    _say(results, "first request of crawler run", [_first(plan) for _ in range(times)], FIRST_GOAL)
    return results


def _say(results: Results, what: str, seconds: list[float], goal: float) -> None:
    middle = statistics.median(seconds)
    results.say(
        f"{what:<30} min {min(seconds):.3f}  median {middle:.3f}  max {max(seconds):.3f}  "
        f"goal < {goal:g}: {'yes' if middle < goal else 'no'}"
    )


def _help(plan: Plan) -> float:
    folder = plan.fresh("start")
    command = [sys.executable, "-m", "crawler", "--help"]
    return measure(
        command, core=plan.cores.crawler, folder=folder, limit=60, environment=ours.ENVIRONMENT
    ).wall


def _first(plan: Plan) -> float:
    """From the start to the moment that a server has a connection: its robots.txt is asked for, and gets no answer."""
    folder = plan.fresh("start")
    accepted: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def accept() -> None:
            # Whoever asks is told 404, until the server is closed.
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(65536)
                        accepted.append(time.time())
                        peer.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        seeds = plan.write_list("start", [f"http://127.0.0.1:{server.getsockname()[1]}/"])
        measured = plan.measure_ours(folder, seeds, "--depth", "0", expect=(5,))
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    return accepted[0] - measured.began
