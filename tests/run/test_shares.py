"""The settings of a run, divided among its processes: their sum is what was asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.model.errors import UsageError
from crawler.model.settings import Crawl, FrontierSettings, Http, Output, Politeness, Settings
from crawler.run.assembly import Plan
from crawler.run.orders import InState, InStore, Orders, read_orders
from crawler.run.shares import share_of, usable_cores, with_processes


def test_the_shares_add_up() -> None:
    settings = Settings(crawl=Crawl(workers=10, processes=4), http=Http(limit=7))
    shares = [share_of(settings, worker) for worker in range(4)]
    assert [share.crawl.workers for share in shares] == [3, 3, 2, 2]
    assert [share.http.limit for share in shares] == [2, 2, 2, 1]
    assert sum(share.http.body_memory for share in shares) == settings.http.body_memory
    assert sum(share.crawl.hosts_in_hand for share in shares) == settings.crawl.hosts_in_hand
    assert share_of(Settings(), 0) == Settings()


def test_ray_takes_several_processes_over_a_store_and_nowhere_else() -> None:
    pytest.importorskip("redis")
    ray = Settings(crawl=Crawl(processes=3, engine="ray"), frontier=FrontierSettings(url="redis://store"))
    assert with_processes(ray).crawl.processes == 3
    with pytest.raises(UsageError, match="one process keeps the pace of addresses"):
        with_processes(replace(ray, politeness=Politeness(per_ip=1)))
    with pytest.raises(UsageError, match="its workers meet in a store"):
        Plan.of(replace(ray, frontier=FrontierSettings()))


def test_no_more_processes_than_workers() -> None:
    assert with_processes(Settings(crawl=Crawl(workers=3, processes=8))).crawl.processes == 3


def test_auto_is_the_cores_or_one_where_only_one_can_do_it() -> None:
    auto = Settings(crawl=Crawl(processes=None))
    assert with_processes(auto).crawl.processes == usable_cores()
    assert with_processes(replace(auto, output=Output(path="-"))).crawl.processes == 1
    assert with_processes(replace(auto, frontier=FrontierSettings(url="memory"))).crawl.processes == 1


def test_the_cores_of_a_container_are_those_that_it_may_use(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    assert usable_cores(quota) == cores
    for text, usable in (("max 100000", cores), ("150000 100000", 1), ("50000 100000", 1), ("?", cores)):
        quota.write_text(text)
        assert usable_cores(quota) == usable


@pytest.mark.parametrize(
    "change", [{"output": Output(path="-")}, {"frontier": FrontierSettings(url="memory")}]
)
def test_what_one_process_alone_can_do_is_refused_to_several(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="processes = 2"):
        with_processes(replace(Settings(crawl=Crawl(processes=2)), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(("worker", "place"), [(1, InState("s", 2, 3, 4, 5.0)), ("a", InStore("ab"))])
def test_orders_survive_the_pipe(tmp_path: Path, worker: int | str, place: InState | InStore) -> None:
    orders = Orders(Settings(http=Http(headers={"A": "b"})), worker, "j", "r", tmp_path, place, "INFO", 6)
    path = tmp_path / "orders"
    path.write_bytes(orders.packed())
    with path.open("rb") as stream:
        assert read_orders(stream) == orders


def test_a_number_of_processes_that_cannot_be_had_or_meant_is_said() -> None:
    few = Settings(crawl=Crawl(workers=3, processes=8))
    assert Plan.of(few).warnings[0].startswith("8 processes wanted, 3 started: [crawl] workers is 3, ")
    many = 4 * usable_cores() + 1
    crowd = Settings(crawl=Crawl(processes=many))
    assert f"{many} processes share {usable_cores()} cores" in Plan.of(crowd).warnings[0]
    for meant in (None, 1, 2):
        assert Plan.of(Settings(crawl=Crawl(processes=meant))).notes == []
