"""Seeds as people give them: every line comes out, the bad ones with file and line, and nothing is too long."""

from __future__ import annotations

import io
import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.model.errors import UsageError
from crawler.model.reasons import Reason
from crawler.run.seeds import LONGEST_LINE, SeedLine, check_seeds, is_url, job_name, read_seeds, with_a_seed

NOTHING = io.BytesIO()
Put = Callable[[bytes], list[SeedLine]]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write bytes into a seeds file and read it as the program does."""
    path = tmp_path / "seeds.txt"

    def put(data: bytes) -> list[SeedLine]:
        path.write_bytes(data)
        check_seeds([str(path)])
        return list(read_seeds([str(path)], NOTHING))

    return put


def texts(lines: list[SeedLine]) -> list[str]:
    return [line.text for line in lines]


# -- lines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_boms_comments_and_blanks(put: Put, end: bytes, bom: bytes, last: bool) -> None:
    lines = [b"a.test", b"", b"# comment", b"  # another", b" \t", b"\tb.test  ", b"c.test/#fragment"]
    found = put(bom + end.join(lines) + (end if last else b""))
    assert texts(found) == ["a.test", "b.test", "c.test/#fragment"]
    assert [line.line for line in found] == [1, 6, 7]
    assert [line.place for line in found] == [f"{found[0].source}:{number}" for number in (1, 6, 7)]


def test_white_space_and_a_mark_begin_a_comment(put: Put) -> None:
    lines = [
        "a.test/p # note",
        "b.test/p\t#note #2",
        "c.test/p#part",
        "d.test/p#part # note",
        "e.test/#!/x y#z",
    ]
    found = put("\n".join(lines).encode())
    assert texts(found) == ["a.test/p", "b.test/p", "c.test/p#part", "d.test/p#part", "e.test/#!/x y#z"]


def test_an_old_mac_file_longer_than_the_longest_line(put: Put) -> None:
    """CR alone: to a reader that knows only LF it is one line of half a megabyte."""
    seeds = [f"http://h{number}.test/{'x' * (number % 60)}" for number in range(10_000)]
    found = put("\r".join(seeds).encode())
    assert texts(found) == seeds
    assert [line.line for line in found] == list(range(1, 10_001))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["\n", "\r\n", "\r"])), max_size=30),
    st.integers(8, 50),
)
def test_a_line_is_the_same_wherever_the_pieces_are_cut(lines: list[tuple[int, str]], longest: int) -> None:
    """Every mixture of line ends, and every place where a piece of the file may end, between CR and LF too."""
    from crawler.run import seeds

    text = "".join(f"{'x' * length}{end}" for length, end in lines)
    expected = [(number, len(line)) for number, line in enumerate(text.encode().splitlines(), 1) if line]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "LONGEST_LINE", longest)
        found = list(read_seeds(["-"], io.BytesIO(text.encode())))
    got = [(line.line, int(line.detail.split()[3]) if line.detail else len(line.text)) for line in found]
    assert got == expected
    assert all(
        (line.refused is not None) <= (length >= longest)
        for line, (_, length) in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b""])
def test_a_line_of_ten_megabytes(put: Put, end: bytes) -> None:
    tracemalloc.start()
    found = put(
        b"before.test"
        + (end or b"\n")
        + b"http://x.test/"
        + b"y" * 10_000_000
        + end
        + (b"after.test" if end else b"")
    )
    tracemalloc.stop()
    bad = found[1]
    assert (bad.refused, bad.line) == (Reason.URL_TOO_LONG, 2)
    assert bad.detail == "a line of 10000014 bytes"
    assert len(bad.text) == 4096
    assert [(line.text, line.line) for line in found[2:]] == ([("after.test", 3)] if end else [])


def test_the_memory_for_a_long_line_is_small(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
    tracemalloc.start()
    (line,) = read_seeds([str(path)], NOTHING)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert line.detail == "a line of 100000000 bytes"
    assert peak < 20 * LONGEST_LINE


def test_bad_lines_are_told_apart_by_all_of_their_bytes(put: Put) -> None:
    """Rule 6: a bad line is keyed by the hash of the raw line, also where its text is cut or replaced."""
    long = b"y" * 200_000
    found = put(b"\n".join([long + b"1", long + b"2", b"\xff\xfe1", b"\xfe\xff1", b"\xff\xfe1"]))
    digests = [line.raw_digest for line in found]
    assert len(set(digests)) == 4
    assert digests[2] == digests[4]
    assert all(len(digest) == 16 for digest in digests)


def test_bytes_that_are_not_utf8(put: Put) -> None:
    (good, bad) = put(b"http://x.test/caf\xc3\xa9\nhttp://x.test/caf\xe9\n")
    assert (good.text, good.refused) == ("http://x.test/café", None)
    assert (bad.text, bad.refused, bad.detail) == ("http://x.test/caf\ufffd", Reason.URL_INVALID, "not UTF-8")


def test_a_nul_behind_the_first_bytes_is_a_line_like_any(put: Put) -> None:
    found = put(b"a.test\n" * 2000 + b"b\x00c\nd.test\n")
    assert texts(found)[-2:] == ["b\x00c", "d.test"]


# -- files -----------------------------------------------------------------------------------------------------


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as error:
        check_seeds(arguments)
    assert error.value.exit_code == 2
    return str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/no.txt: No such file" in refused(f"{tmp_path}/no.txt")
    assert f"{tmp_path}: Is a directory" in refused(str(tmp_path))
    assert "for a URL write https://example.org" in refused("example.org")
    for name in ("nosuch.txt", "Seeds.CSV", "example.org.urls.gz"):
        said = refused(name)
        assert said.startswith(
            f"seeds file {name}: No such file or directory; name a file with one URL a line"
        )
        assert f"https://{name}" not in said
    assert "no seeds" in refused()
    assert "standard input" in refused("-", "-")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", "binary file"),
        (b"a.test" + b"\x00" * 10, "binary file"),
        ("http://a.test/\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("http://a.test/\n".encode("utf-16-be"), "binary"),
        (b"\xfe\xff" + "http://a.test/\n".encode("utf-16-be"), "UTF-16; save it as UTF-8"),
    ],
)
def test_files_that_are_no_text_are_refused_wherever_they_come_from(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "seeds"
    path.write_bytes(data)
    assert words in refused(str(path))
    with pytest.raises(UsageError, match=words):
        list(read_seeds(["-"], io.BytesIO(data)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "seeds"
    path.write_text("a.test\n")
    path.chmod(0)
    assert "Permission denied" in refused(str(path))


def test_a_pipe_with_a_name_is_read_once(tmp_path: Path) -> None:
    """``crawler run <(zcat seeds.gz)``: a look ahead would take its lines away for good."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        path.write_bytes(b"a.test\nb.test\n")

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    check_seeds([str(path)])
    assert texts(list(with_a_seed(read_seeds([str(path)], NOTHING)))) == ["a.test", "b.test"]
    writer.join(5)


def test_all_arguments_in_order(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    path.write_bytes(b"file.test\n")
    found = list(read_seeds(["http://one.test/", str(path), "-"], io.BytesIO(b"in.test\n")))
    assert [(line.text, line.place) for line in found] == [
        ("http://one.test/", "argument:1"),
        ("file.test", f"{path}:1"),
        ("in.test", "stdin:1"),
    ]


def test_only_comments_are_no_seeds() -> None:
    with pytest.raises(UsageError, match="only blank lines and comments"):
        with_a_seed(read_seeds(["-"], io.BytesIO(b"# nothing\n\n")))


# -- many ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thousands", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_lines_take_a_few_microseconds_and_no_memory(thousands: int) -> None:
    class Lines(io.RawIOBase):
        """Lines that are nowhere all at once."""

        def __init__(self) -> None:
            self._blocks = iter(range(thousands))

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            block = next(self._blocks, None)
            if block is None:
                return 0
            data = b"".join(b"http://h%03d.test/page/%03d\n" % (block, number) for number in range(1000))
            assert len(data) <= len(buffer)
            buffer[: len(data)] = data
            return len(data)

    stream = io.BufferedReader(Lines(), 256 * 1024)
    began = time.process_time()
    tracemalloc.start()
    lines: Iterator[SeedLine] = read_seeds(["-"], stream)
    for _ in range(10_000):
        next(lines)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 10_000 + sum(1 for _ in lines) == 1_000 * thousands
    assert peak < 2_000_000
    assert time.process_time() - began < 15


# -- the job ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named", "job"),
    [
        (["seeds/news.de.txt"], None, "news.de"),
        (["-"], None, "stdin"),
        ([], None, "stdin"),
        (["https://user:pw@example.org:8080/x?y"], None, "example.org"),
        (["http://[::1]:80/"], None, "1"),
        (["https://bücher.test/"], None, "b-cher.test"),
        (["../../etc/passwd"], None, "passwd"),
        (["seeds/..."], None, "job"),
        (["s p a c e.txt"], None, "s-p-a-c-e"),
        (["x" * 200], None, "x" * 64),
        (["seeds.txt"], "my-job_1.2", "my-job_1.2"),
    ],
)
def test_the_name_of_a_job(arguments: list[str], named: str | None, job: str) -> None:
    assert job_name(arguments, named) == job


@pytest.mark.parametrize("named", ["", ".", "..", "a/b", "x" * 65, "a b", "ä", "a\n"])
def test_names_that_cannot_be_a_folder(named: str) -> None:
    with pytest.raises(UsageError, match=r"--job .*: a job is named with letters"):
        job_name([], named)


def test_what_is_a_url() -> None:
    assert is_url("https://example.org")
    assert not is_url("example.org")
    assert not is_url("/tmp/seeds.txt")
