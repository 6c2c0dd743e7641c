"""`[output] upload`: finished parts in a bucket, once each, and never a run.json whose parts are missing."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator

import pytest

from crawler.audit import audit, find_run
from tests.redis_server import RedisServer, free_port
from tests.s3_server import S3Server
from tests.servers import Crawl

pytest.importorskip("obstore")

PAGES = 24
#: Each commit closes a part.
SMALL = {"output": {"part_size": 1}, "frontier": {"commit_every": 0.1, "commit_records": 5}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    running = S3Server(tmp_path_factory.mktemp("s3")).start()
    yield running
    running.kill()


@pytest.fixture
def s3(server: S3Server) -> S3Server:
    server.forget()
    server.make_bucket()
    return server


def build(site, wait: float = 0.0) -> list[str]:
    for page in range(PAGES):
        site.host("127.0.0.1").page(f"/{page}", [f"/{page + 1}"] if page < PAGES - 1 else [], wait=wait)
    return [site.host("127.0.0.1").url("/0")]


def options(s3: S3Server) -> dict[str, object]:
    return {
        "depth": "none",
        "upload": f"s3://{s3.bucket}/nightly",
        "environment": s3.environment,
        "config": SMALL,
    }


def in_the_bucket(s3: S3Server, ended: Crawl) -> dict[str, bytes]:
    """What the bucket has of the run, by its names in the run's folder."""
    prefix = f"nightly/seeds/runs/{ended.folder.name}/"
    return {name.removeprefix(prefix): data for name, data in s3.objects().items() if name.startswith(prefix)}


def whole(s3: S3Server, ended: Crawl) -> None:
    """The bucket has the published run: the bytes of every part that run.json names, and of nothing else."""
    assert ended.code == 0, ended
    assert len(ended.by_url) == PAGES
    found = in_the_bucket(s3, ended)
    manifest = json.loads(found["run.json"])
    assert manifest == ended.manifest
    assert manifest["upload"] == f"s3://{s3.bucket}/nightly/seeds/runs/{ended.folder.name}/"
    assert len(manifest["parts"]) > 1
    assert set(found) == {part["name"] for part in manifest["parts"]} | {"run.json", "failed.txt"}
    for part in manifest["parts"]:
        assert hashlib.sha256(found[part["name"]]).hexdigest() == part["sha256"]
    latest = json.loads(s3.objects()["nightly/seeds/latest.json"])
    assert latest["manifest"] == f"{manifest['upload']}run.json"
    assert audit(find_run(str(ended.folder), ended.job_folder.parent)).sound


def last_words(s3: S3Server) -> list[str]:
    """The last part of each object's name, in the order in which they were put."""
    return [name.rpartition("/")[2] for name in s3.asked("PUT")]


def test_each_part_goes_up_once_and_run_json_behind_them(crawl, site, s3):
    ended = crawl(build(site, wait=0.02), **options(s3))
    whole(s3, ended)
    put = last_words(s3)
    assert len(put) == len(set(put))
    assert put[0] == "started.json"
    assert put[-3:] == ["failed.txt", "run.json", "latest.json"]
    assert f"s3://{s3.bucket}/nightly/seeds/runs/{ended.folder.name}/" in ended.stderr


def test_a_killed_crawl_sends_nothing_again_that_is_there(crawl, site, s3):
    seeds = build(site, wait=0.1)
    running = crawl.start(seeds, **options(s3))
    until = time.monotonic() + 60
    while not any(word.startswith("pages-") for word in last_words(s3)):
        assert not running.ended, running.wait()
        assert time.monotonic() < until
        time.sleep(0.02)
    running.kill()
    there = in_the_bucket(s3, running.wait())
    assert there
    assert "run.json" not in there
    site.forget()
    ended = crawl(seeds, **options(s3))
    whole(s3, ended)
    put = last_words(s3)
    assert not [name for name in there if put.count(name) > 1]
    assert there.items() <= in_the_bucket(s3, ended).items()


def test_a_bucket_that_goes_leaves_a_run_that_the_next_start_ends(crawl, site, s3):
    seeds = build(site, wait=0.03)
    running = crawl.start(seeds, **options(s3))
    site.wait_for_requests(3)
    s3.forget()
    cut = running.wait()
    assert cut.code == 6, cut
    assert "NoSuchBucket" in cut.stderr
    assert "it uploads what is missing" in cut.stderr
    assert (cut.manifest["outcome"], cut.manifest["stopped_by"]) == ("stopped", "upload")
    assert cut.manifest["counts"]["pending"] == 0
    assert not (cut.job_folder / "latest").exists()
    s3.make_bucket()
    asked = len(site.log)
    whole(s3, crawl(seeds, **options(s3)))
    assert len(site.log) == asked


@pytest.mark.slow
def test_a_stopped_run_is_in_the_bucket_as_far_as_it_is(crawl, site, s3):
    seeds = build(site)
    stopped = crawl(seeds, max_pages=7, **options(s3))
    assert stopped.code == 3, stopped
    found = in_the_bucket(s3, stopped)
    manifest = json.loads(found["run.json"])
    assert manifest["outcome"] == "stopped"
    assert {part["name"] for part in manifest["parts"]} < set(found)
    assert "nightly/seeds/latest.json" not in s3.objects()
    whole(s3, crawl(seeds, **options(s3)))


def test_an_ending_cut_in_half_is_completed_in_the_bucket_too(crawl, site, tmp_path):
    seeds, there = build(site), tmp_path / "share"
    in_the_way = there / "seeds" / "latest.json"
    in_the_way.mkdir(parents=True)
    cut = crawl(seeds, depth="none", upload=f"file://{there}")
    assert cut.code == 6, cut
    assert f"file://{there}/seeds/latest.json" in cut.stderr
    in_the_way.rmdir()
    asked = len(site.log)
    ended = crawl(seeds, depth="none", upload=f"file://{there}")
    assert ended.code == 0, ended
    assert len(site.log) == asked
    assert len(ended.runs) == 1
    assert json.loads(in_the_way.read_text())["run_id"] == ended.folder.name


@pytest.mark.slow
def test_several_processes_upload_to_a_folder(crawl, site, tmp_path):
    seeds = build(site)
    there = tmp_path / "share"
    ended = crawl(seeds, depth="none", upload=f"file://{there}", processes=2, config=SMALL)
    assert ended.code == 0, ended
    assert len(ended.by_url) == PAGES
    run = there / "seeds" / "runs" / ended.folder.name
    for path in [*ended.parts, ended.folder / "run.json"]:
        assert (run / path.name).read_bytes() == path.read_bytes()
    assert json.loads((there / "seeds" / "latest.json").read_text())["run_id"] == ended.folder.name


def test_without_a_bucket_or_keys_nothing_is_fetched(crawl, site, s3):
    seeds = build(site)
    lost = crawl(seeds, **{**options(s3), "upload": "s3://nowhere/x"})
    assert lost.code == 2, lost
    assert "s3://nowhere/x cannot be written to (NoSuchBucket" in lost.stderr
    assert "make the bucket, or name another; nothing was fetched" in lost.stderr
    nobody = {"AWS_ENDPOINT_URL": s3.address, "AWS_METADATA_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    keyless = crawl(seeds, **{**options(s3), "environment": nobody})
    assert keyless.code == 2, keyless
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in keyless.stderr
    away = {**s3.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    unreachable = crawl(seeds, **{**options(s3), "environment": away})
    assert unreachable.code == 6, unreachable
    assert "is it up, and AWS_ENDPOINT_URL right?" in unreachable.stderr
    assert not site.log


@pytest.mark.slow
def test_workers_of_several_folders_upload_one_run(crawl, site, tmp_path):
    """run.json names the parts of both, and all of them are there."""
    store = RedisServer(tmp_path / "redis").start()
    try:
        seeds, there = [], tmp_path / "share"
        for number in range(6):
            host = site.host(f"127.0.0.{number + 1}")
            for page in range(8):
                host.page(f"/{page}", [f"/{page + 1}"] if page < 7 else [], wait=0.1)
            seeds.append(host.url("/0"))
        both = {"upload": f"file://{there}", "frontier": store.url, "config": SMALL}
        first = crawl.start(seeds, depth="none", delay=0.5, **both)
        site.wait_for_requests(2)
        second = crawl.start(
            None, "--job", "seeds", command="worker", output=tmp_path / "other", allow_network="127.0.0.0/8",
            upload=both["upload"], frontier=store.url,
        )  # fmt: skip
        ended, other = first.wait(), second.wait()
    finally:
        store.kill()
    assert (ended.code, other.code) == (0, 0), (ended, other)
    run = there / "seeds" / "runs" / ended.folder.name
    manifest = json.loads((run / "run.json").read_text())
    assert sum(part["rows"] for part in manifest["parts"]) == 48
    for part in manifest["parts"]:
        assert hashlib.sha256((run / part["name"]).read_bytes()).hexdigest() == part["sha256"]
    assert len(manifest["workers"]) == 2
    assert json.loads((there / "seeds" / "latest.json").read_text())["run_id"] == ended.folder.name
