"""The model of a fleet: its scheduler is the real one, its prices are measured, its picture can be read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.fleet.hosts import pages_of
from bench.fleet.plot import draw, knee
from bench.fleet.prices import _SIZES, Price, Prices, _price, measure
from bench.fleet.simulation import World, simulate
from bench.machine import ROOT
from tests.redis_server import require_redis

PRICES = Prices(Price(2e-4, 4e-5, 1e-5), Price(2e-4, 4e-5, 5e-5), 300.0, 300.0)
SMALL = World(hosts=10_000_000, workers=2, prices=PRICES, in_flight=40)


def test_a_fleet_in_virtual_time_is_polite_and_fair():
    seen = simulate(SMALL, warm_up=3.0, seconds=2.0)
    assert seen.smallest_gap >= 0.999
    # 40 in flight, 0.38 s an answer, each host's robots.txt once.
    assert 60 < seen.rate < 300
    assert seen.fairness > 0.8
    assert 100 < seen.hosts_met < 1_000
    assert 0 < seen.store_busy < 0.2


def test_a_store_that_is_full_is_what_a_fleet_waits_for():
    dear = replace(PRICES, settle=Price(2e-2, 1e-3, 5e-3))
    seen = simulate(replace(SMALL, prices=dear), warm_up=3.0, seconds=2.0)
    assert seen.store_busy > 0.9


def test_a_price_is_what_its_questions_cost():
    price = Price(3e-4, 5e-5, 1e-5)
    found = _price([price.of(hosts, urls) for hosts, urls, _ in _SIZES])
    assert (found.question, found.host, found.url) == pytest.approx((3e-4, 5e-5, 1e-5))


def test_hosts_have_the_pages_of_a_power_law():
    pages = [pages_of(number) for number in range(100_000)]
    assert min(pages) == 2
    assert 4 < sum(pages) / len(pages) < 8
    assert 500 < max(pages) <= 10_000


def test_the_picture_is_an_svg_with_every_size():
    fleet = [
        {"workers": n, "pages_per_second": min(700 * n, 9000), "store_busy": min(1.0, n / 13)} for n in (1, 8, 16)
    ]  # fmt: skip
    assert knee(fleet)["workers"] == 8
    drawn = ElementTree.fromstring(draw(fleet, 10_000_000))
    assert len(drawn.findall("{*}circle")) == 3
    assert "10,000,000 hosts" in "".join(drawn.itertext())


@pytest.mark.slow
def test_the_store_has_its_prices(tmp_path):
    require_redis()
    prices = asyncio.run(measure(tmp_path, hosts=1_000, questions=60))
    assert 100 < prices.bytes_pending < 1_000
    assert prices.settle.url > 0


@pytest.mark.slow
def test_the_command(tmp_path):
    require_redis()
    words = ["--workers", "1", "--warm-up", "2", "--seconds", "1", "--questions", "40"]
    files = ["--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "f.svg")]
    done = subprocess.run([sys.executable, "-m", "bench.fleet", *words, *files], cwd=ROOT, capture_output=True,
                          text=True, timeout=100, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "us a question" in done.stdout
    again = [*words, "--prices", str(tmp_path / "f.json")]
    done = subprocess.run([sys.executable, "-m", "bench.fleet", *again], cwd=ROOT, capture_output=True, text=True,
                          timeout=100, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
