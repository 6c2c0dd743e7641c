"""kill -9 at random times, also while recovering: all of it is there, once, and little is asked twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import pytest

from crawler.audit import audit, find_run
from tests.crash.world import World, world


def kill_and_go_on(
    world: World, kills: int, seed: int, longest: float, *, most_again: int | None = None
) -> None:
    """``kills`` starts that die after a random time, up to five in a row so soon that they are still recovering."""
    chance = random.Random(seed)
    output = world.copy(world.base(), "killed")
    in_a_row = asked_twice = done = 0
    for _ in range(kills):
        early = in_a_row < 5 and chance.random() < 0.25
        in_a_row = in_a_row + 1 if early else 0
        before = Counter(world.site.log.paths())
        process = world.begin(output)
        try:
            process.wait(chance.uniform(0.2, 1.0) if early else chance.uniform(0.8, longest))
        except Exception:
            process.kill()
        ended = process.wait()
        assert ended in (0, -signal.SIGKILL)
        world.is_kept(output)
        if ended == 0:
            # It got through: what was killed until now is whole, and the rest of the kills get a crawl of their own.
            done += 1
            output = world.copy(world.base(), "killed")
            world.site.forget()
            continue
        now = Counter(world.site.log.paths())
        again = [path for path in now if before[path] and now[path] > before[path] and path != "/robots.txt"]
        # In flight, and fetched since the last commit: how many, the time that a commit takes decides.
        assert most_again is None or len(again) <= most_again, again
        asked_twice += len(again)
    world.is_whole(output)
    print(f"{kills} kills, {done} runs ended in between, {asked_twice} URLs asked again")


@pytest.mark.timeout(300)
def test_three_kills(small: World) -> None:
    kill_and_go_on(small, 3, seed=1, longest=1.6)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_kills_in_a_crawl_of_20000(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("kills"), 20_000, batch=200) as made:
        # 8 workers; the batch, and three more while a slow disk writes it.
        kill_and_go_on(made, 200, seed=7, longest=4.0, most_again=8 + 4 * made.batch)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_signals_at_random_moments(small: World) -> None:
    """TERM, INT, HUP, twice, STOP and CONT: gone in time, with the right code, no traceback, and the run goes on."""
    chance = random.Random(3)
    ways = {
        "TERM": [signal.SIGTERM],
        "INT": [signal.SIGINT],
        "HUP": [signal.SIGHUP],
        "twice": [signal.SIGTERM, signal.SIGINT],
        "PIPE": [signal.SIGPIPE],
        "STOP": [signal.SIGSTOP, signal.SIGCONT],
    }
    for number in range(36):
        name = list(ways)[number % len(ways)]
        output = small.copy(small.base(), "signalled")
        with open(small.folder / "said", "wb") as said:
            process = small.begin(output, "--grace", "5", stderr=said)
            time.sleep(chance.uniform(0.0, 1.6))
            for one in ways[name]:
                if process.poll() is None:
                    os.kill(process.pid, one)
                    time.sleep(0.05)
            began = time.monotonic()
            code = process.wait(30)
        text = (small.folder / "said").read_text("utf-8", "replace")
        # Before the first line of ours has run it is Python that answers Ctrl-C.
        assert not ("Traceback" in text and "crawler/" in text), f"{name}: {text}"
        if name not in ("PIPE", "STOP"):
            assert time.monotonic() - began < 5 + 3, name
        # Before Python is up the kernel's own answer to a signal holds; then 3, or 0 where the crawl was through,
        # or 130 before the crawl had begun to listen.
        by_signal = {-one for one in ways[name]}
        assert code in {0, 3, 130} | by_signal, (name, code, text)
        small.is_kept(output)
        if code != 0:
            small.is_whole(output)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_starts_at_once(large: World) -> None:
    output = large.copy(large.base(), "twenty")
    starts = [large.begin(output) for _ in range(20)]
    codes = Counter(process.wait(120) for process in starts)
    assert set(codes) <= {0, 4}, codes
    assert codes[0] >= 1
    # Those that got the lock after the first had ended made runs of their own: never two at once.
    for run in (output / "j" / "runs").iterdir():
        assert audit(find_run(run.name, output)).sound, run


@pytest.mark.timeout(120)
def test_four_starts_at_once(large: World) -> None:
    output = large.output("four")
    starts = [large.begin(output, "--delay", "0.3", "--max-time", "6s") for _ in range(4)]
    codes = sorted(process.wait(60) for process in starts)
    assert codes == [3, 4, 4, 4]
    assert len(list((output / "j" / "runs").iterdir())) == 1
    assert audit(find_run("j", output)).sound
