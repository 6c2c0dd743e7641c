"""Content-Encoding undone: every coding, cut anywhere, corrupt, wrapped in itself, and as a bomb."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.fetch.decoding import MAX_CODINGS, DecodeError, Decoder
from crawler.model.reasons import Reason

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CAP = 10 * 1024 * 1024
TEXT = b"".join(b"<p>line %d of a page that is like others</p>\n" % number for number in range(2000))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
}
#: One entry for each way a server may send it: the name of the coding, and how it packs.
WAYS = [*PACK.items(), ("deflate", raw_deflate)]
ways = pytest.mark.parametrize(("name", "pack"), WAYS, ids=["gzip", "x-gzip", "deflate", "br", "zstd", "raw"])


def decode(
    encoding: str | None, wire: bytes, size: int | None = None, cap: int = CAP
) -> tuple[bytes, str | None]:
    decoder = Decoder.of(encoding, cap)
    step = size or max(len(wire), 1)
    for at in range(0, len(wire), step):
        if not decoder.feed(wire[at : at + step]):
            break
    body = decoder.finish()
    assert decoder.body_bytes == len(body) <= cap
    return body, decoder.truncated


def refusal(encoding: str | None, wire: bytes, size: int | None = None, cap: int = CAP) -> Reason:
    with pytest.raises(DecodeError) as caught:
        decode(encoding, wire, size, cap)
    assert caught.value.detail
    assert len(caught.value.detail) <= 200
    return caught.value.reason


@ways
@pytest.mark.parametrize("size", [None, 1, 2, 3, 1000])
def test_whole_and_in_pieces(name: str, pack: Callable[[bytes], bytes], size: int | None) -> None:
    assert decode(name, pack(TEXT), size) == (TEXT, None)
    assert decode(name.upper(), pack(b""), size) == (b"", None)
    assert decode(name, pack(b"x"), size) == (b"x", None)


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity , ", ","])
def test_identity_is_the_same_object(encoding: str | None) -> None:
    decoder = Decoder.of(encoding, CAP)
    assert decoder.feed(TEXT)
    assert decoder.finish() is TEXT
    assert decoder.wire_bytes == len(TEXT)
    assert decoder.truncated is None


def test_identity_is_cut_at_the_cap_and_never_a_bomb() -> None:
    decoder = Decoder.of(None, 10)
    assert decoder.feed(b"12345")
    assert decoder.feed(b"67890")
    assert not decoder.feed(b"1")
    assert not decoder.feed(b"more")
    assert (decoder.finish(), decoder.truncated) == (b"1234567890", "length")


@ways
def test_an_empty_body_needs_no_stream(name: str, pack: Callable[[bytes], bytes]) -> None:
    assert decode(name, b"") == (b"", None)
    # Nothing in the outer coding is nothing for the inner one.
    assert decode(f"br, {name}", pack(b"")) == (b"", None)


@ways
def test_cut_anywhere_is_truncated(name: str, pack: Callable[[bytes], bytes]) -> None:
    wire = pack(TEXT[:3000])
    for end in range(1, len(wire)):
        assert refusal(name, wire[:end]) is Reason.DECODE_TRUNCATED, end


@pytest.mark.parametrize("name", sorted(PACK))
def test_corrupt(name: str) -> None:
    wire = PACK[name](TEXT)
    middle = len(wire) // 2
    broken = wire[:middle] + bytes(byte ^ 0xFF for byte in wire[middle : middle + 60]) + wire[middle + 60 :]
    assert refusal(name, broken) in (Reason.DECODE_CORRUPT, Reason.DECODE_TRUNCATED)


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_plain_text_under_a_coding_is_corrupt(name: str) -> None:
    assert (
        refusal(name, b"<!doctype html><p>not compressed at all, whatever the header says")
        is Reason.DECODE_CORRUPT
    )


def test_a_raw_deflate_block_of_no_known_type_is_corrupt() -> None:
    assert refusal("deflate", b"\x07" + bytes(20)) is Reason.DECODE_CORRUPT


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_wrong_checksum_is_corrupt(name: str, pack: Callable[[bytes], bytes]) -> None:
    wire = bytearray(pack(TEXT))
    wire[-6 if name == "gzip" else -1] ^= 1
    assert refusal(name, bytes(wire)) is Reason.DECODE_CORRUPT


@pytest.mark.parametrize("size", [None, 1, 7])
def test_streams_that_follow_each_other_are_one_body(size: int | None) -> None:
    assert (
        decode("gzip", gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two"), size)[0]
        == b"one two"
    )
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00junk"
    wire = zstd.compress(b"one ") + skippable + zstd.compress(b"two")
    assert decode("zstd", wire, size)[0] == b"one two"
    assert refusal("gzip", gzip.compress(b"one") + gzip.compress(TEXT)[:-9], size) is Reason.DECODE_TRUNCATED


@pytest.mark.parametrize("garbage", [b"\0", b"\0" * 9000, b"\r\n", b"\x1f", b"\x1f\x8b", b"garbage" * 99])
@pytest.mark.parametrize("size", [None, 1, 4096])
def test_garbage_after_the_end_is_ignored(garbage: bytes, size: int | None) -> None:
    for name, pack in (
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("zstd", zstd.compress),
    ):
        assert decode(name, pack(TEXT) + garbage, size) == (TEXT, None), name


@pytest.mark.parametrize("size", [None, 1, 100])
def test_chains_come_off_last_first(size: int | None) -> None:
    assert decode("gzip, br", brotli.compress(gzip.compress(TEXT)), size)[0] == TEXT
    assert decode("deflate , identity,zstd", zstd.compress(zlib.compress(TEXT)), size)[0] == TEXT
    assert decode("br, zstd, gzip", gzip.compress(zstd.compress(brotli.compress(TEXT))), size)[0] == TEXT
    assert refusal("br, zstd, gzip", gzip.compress(zstd.compress(brotli.compress(TEXT)[:-1])), size) is (
        Reason.DECODE_TRUNCATED
    )


@pytest.mark.parametrize(
    "encoding",
    ["compress", "gzip;q=1", "utf-8", "gzip br", "gzip, what", ",".join(["gzip"] * (MAX_CODINGS + 1))],
)
def test_unsupported(encoding: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Decoder.of(encoding, CAP)
    assert caught.value.reason is Reason.DECODE_UNSUPPORTED


def test_a_zstd_window_above_eight_mebibytes_is_unsupported() -> None:
    wide = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.compression_level: 19}
    packer = zstd.ZstdCompressor(options=wide)
    wire = packer.compress(TEXT) + packer.flush()
    assert refusal("zstd", wire) is Reason.DECODE_UNSUPPORTED


@ways
@pytest.mark.parametrize("size", [None, 1000])
def test_a_body_of_exactly_the_cap_is_whole_and_one_more_is_cut(
    name: str, pack: Callable[[bytes], bytes], size: int | None
) -> None:
    wire = pack(TEXT)
    assert decode(name, wire, size, cap=len(TEXT)) == (TEXT, None)
    assert decode(name, wire, size, cap=len(TEXT) - 1) == (TEXT[:-1], "length")


@ways
@pytest.mark.parametrize("size", [None, 512])
def test_a_bomb_and_a_long_body_differ_by_the_ratio(
    name: str, pack: Callable[[bytes], bytes], size: int | None
) -> None:
    assert refusal(name, pack(bytes(4 << 20)), size, cap=2 << 20) is Reason.DECODE_BOMB
    assert decode(name, pack(TEXT), size, cap=50_000) == (TEXT[:50_000], "length")


def test_the_ratio_does_not_depend_on_the_chunks() -> None:
    # 2,000 wire bytes open to 2 MiB; a million more stand in the same chunk and must not count.
    wire = gzip.compress(bytes(2 << 20)) + b"\x1f\x8b\x08" + bytes(1 << 20)
    assert refusal("gzip", wire, cap=(2 << 20) - 1) is Reason.DECODE_BOMB


def test_input_that_decodes_to_nothing_comes_to_an_end() -> None:
    empty = gzip.compress(b"")
    decoder = Decoder.of("gzip", 1000)
    fed = 0
    while decoder.feed(empty * 100):
        fed += 1
        assert fed < 1000
    assert decoder.finish() == b""
    assert decoder.truncated == "length"
    # And so does a bomb of nothing: the outer coding opens to empty members without end.
    assert refusal("gzip, gzip", gzip.compress(empty * 200_000, 9), cap=3_000_000) is Reason.DECODE_BOMB


CHILD = """
import resource, sys
from crawler.fetch.decoding import DecodeError, Decoder
wire = open(sys.argv[1], "rb").read()
decoder = Decoder.of(sys.argv[2], 4 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decoder.feed(wire)
try:
    decoder.finish()
except DecodeError as error:
    print(error.reason, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@ways
def test_under_a_large_cap_a_bomb_is_refused_before_it_is_reached(
    name: str, pack: Callable[[bytes], bytes]
) -> None:
    decoder = Decoder.of(name, 50 << 20, bomb_from=1 << 20)
    with pytest.raises(DecodeError) as refused:
        decoder.feed(pack(bytes(20 << 20)))
    assert refused.value.reason is Reason.DECODE_BOMB
    assert decoder.body_bytes < 7 << 20
    assert Decoder.of(None, 50 << 20, bomb_from=1 << 20).feed(bytes(2 << 20)), "nothing is decoded"


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "br, br", "zstd, gzip", "nothing"]
)
def test_no_bomb_takes_more_memory_than_the_cap(encoding: str, tmp_path: Path) -> None:
    if encoding == "nothing":
        # The middle coding opens wide, and what it holds decodes to nothing.
        encoding = "gzip, gzip, gzip"
        wire = gzip.compress(gzip.compress(gzip.compress(b"") * (64 << 16)))
    else:
        wire = bytes(64 << 20)
        for name in encoding.split(", "):
            wire = PACK[name](wire)
    (tmp_path / "bomb").write_bytes(wire)
    child = [sys.executable, "-c", CHILD, str(tmp_path / "bomb"), encoding]
    reason, grown = subprocess.run(child, check=True, capture_output=True, text=True).stdout.split()
    assert reason == "decode_bomb"
    # The body and its pieces (the cap twice), steps, and the windows (brotli 16 MiB, zstd 8 MiB).
    window = {"br": 16, "zstd": 8}
    assert int(grown) < (4 << 20) * 2 + (1 << 20) + sum(
        window.get(name, 0) << 20 for name in encoding.split(", ")
    )


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=3000),
    st.lists(st.sampled_from(sorted(PACK)), max_size=MAX_CODINGS),
    st.integers(1, 5000),
    st.integers(1, 4000),
)
def test_any_chain_any_cap_any_chunks(body: bytes, names: list[str], size: int, cap: int) -> None:
    wire = body
    for name in names:
        wire = PACK[name](wire)
    got, truncated = decode(", ".join(names), wire, size, cap)
    assert got == body[:cap]
    assert truncated == ("length" if len(body) > cap else None)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(PACK)), min_size=1, max_size=2),
    st.integers(0, 400),
    st.binary(max_size=40),
    st.integers(1, 600),
)
def test_damage_never_escapes_the_closed_list(names: list[str], at: int, patch: bytes, size: int) -> None:
    wire = TEXT[:2000]
    for name in names:
        wire = PACK[name](wire)
    wire = wire[:at] + patch + wire[at + len(patch) :]
    with suppress(DecodeError):
        decode(", ".join(names), wire, size, 5000)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(PACK)), st.binary(max_size=200))
def test_noise_never_escapes_the_closed_list(name: str, wire: bytes) -> None:
    with suppress(DecodeError):
        decode(name, wire, 13, 5000)
