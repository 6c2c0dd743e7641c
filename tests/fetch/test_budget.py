"""The crawl is fitted to the open-file limit: a table of what fits, and a clear refusal where nothing does."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from crawler.fetch.budget import FEWEST, RESERVE, Budget, fit, raise_open_files
from crawler.model.errors import UsageError


@pytest.mark.parametrize(
    ("workers", "limit", "open_files", "used", "connections", "fitted", "why"),
    [
        # plenty: four connections a worker, at least 1,024
        (256, None, 1_048_576, 20, 8192, 256, None),
        (1000, None, 1_048_576, 20, 8192, 1000, None),
        (1, None, 1_048_576, 20, 8192, 1, None),
        # the usual soft limit
        (256, None, 1024, 20, 980, 256, None),
        # ulimit -n 64
        (256, None, 64, 10, 30, 30, "ulimit -n is 64"),
        (8, None, 64, 10, 30, 8, None),
        # a limit of one's own
        (256, 100, 1_048_576, 20, 100, 100, "[http] limit is 100"),
        (64, 100, 1_048_576, 20, 100, 64, None),
        (4, 1, 1_048_576, 20, 1, 1, "[http] limit is 1"),
        # more than there is room for
        (256, 5000, 1024, 20, 980, 256, None),
        (2000, 5000, 1024, 20, 980, 980, "ulimit -n is 1024"),
        # just enough
        (256, None, RESERVE + 10 + FEWEST, 10, FEWEST, FEWEST, "ulimit -n"),
    ],
)
def test_what_fits(
    workers: int,
    limit: int | None,
    open_files: int,
    used: int,
    connections: int,
    fitted: int,
    why: str | None,
) -> None:
    budget = fit(workers, limit, open_files, used)
    assert (budget.connections, budget.workers, budget.open_files) == (connections, fitted, open_files)
    assert budget.connections + used + RESERVE <= open_files
    assert budget.workers <= budget.connections
    if why is None:
        assert budget.note is None
    else:
        assert budget.note is not None
        assert budget.note.startswith(f"{workers} workers wanted, {fitted} started: ")
        assert why in budget.note


@pytest.mark.parametrize("open_files", [0, 16, RESERVE + 10 + FEWEST - 1])
def test_too_few_open_files_is_said_with_what_would_do(open_files: int) -> None:
    with pytest.raises(UsageError) as refused:
        fit(256, None, open_files, 10)
    assert refused.value.exit_code == 2
    text = str(refused.value)
    assert f"ulimit -n is {open_files}, of which 10 are in use" in text
    assert f"raise it to at least {10 + RESERVE + FEWEST}" in text
    assert isinstance(fit(256, None, 10 + RESERVE + FEWEST, 10), Budget)


def test_descriptors_already_open_are_counted() -> None:
    """This process has some open: the same limit gives less room than a fresh one would have."""
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
    try:
        with pytest.raises(UsageError, match="are in use"):
            fit(8, None, RESERVE + FEWEST + 40)
    finally:
        for each in held:
            os.close(each)


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    script = (
        "import resource; from crawler.fetch.budget import raise_open_files;"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200));"
        "print(raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE), raise_open_files())"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["200", "200", "200", "200"]


def test_it_says_what_holds() -> None:
    assert raise_open_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
