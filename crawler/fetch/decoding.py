"""Content-Encoding undone as the bytes come in (RFC 9110, 8.4), within a cap at every coding of the chain.

The law: no coding may have more output waiting than one step (64 KiB, and brotli's 32 KiB blocks), none may
put out more than the cap in all, and what comes out does not depend on how the wire cut the chunks.
An 8 KB zstd body that opens to 514 MB therefore costs the cap, and so does one coding wrapped in another.
The codecs' windows come on top: 32 KiB for deflate, at most 16 MiB for brotli (RFC 7932, 9.1) and 8 MiB for
zstd (RFC 9659, larger is refused).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Final, Protocol, cast

import brotli
from isal import igzip_lib

from crawler.model.reasons import Reason

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Most codings one answer may be wrapped in. Real ones have one; three is what a proxy or two can add.
MAX_CODINGS: Final = 3

#: Decoded bytes a wire byte above which a body that reached the cap is a bomb; below, it is long.
BOMB_RATIO: Final = 200

#: Output bytes asked of a coding at a time.
_STEP: Final = 64 * 1024

#: Decoded bytes after which whoever feeds may do something else: 2 to 5 ms.
_PAUSE: Final = 512 * 1024

#: Decoded bytes from which a body is one growing buffer, which becomes the body where it lies: pieces that are joined
#: at the end are twice in memory then, and the holes that 160 pieces of 64 KiB leave go back to nobody. From this size
#: on the allocator maps a block by itself (``crawler/run/allocator.py``): it grows without a copy and leaves no hole.
_ONE_BUFFER: Final = 1024 * 1024

#: Wire bytes given to the first coding at a time: how exactly the bomb ratio knows what the output cost.
_SLICE: Final = 4 * 1024

#: RFC 9659, 3: a zstd content coding needs a window of 8 MB at most.
_ZSTD_WINDOW_LOG: Final = 23

#: How far compressed bytes may exceed what they decode to: stored blocks, headers, empty members.
_OVERHEAD: Final = 64 * 1024


class DecodeError(Exception):
    """A body that cannot be decoded: ``reason`` is a ``decode_*``, ``detail`` says it to a person."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class _Stream(Protocol):
    """One compressed stream: the shape of ``bz2.BZ2Decompressor``, which isal and zstd have too."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _BrotliStream:
    """Brotli in the same shape. Bytes after the end, in one piece with it, are an error of the library's."""

    __slots__ = ("_stream", "needs_input")

    unused_data = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out: bytes = self._stream.process(data, output_buffer_limit=max_length)
        # `can_accept_more_data()` is true although output waits, once all input is taken: only silence tells.
        self.needs_input = not out
        return out


def _open_gzip(_: bytes) -> _Stream:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _open_deflate(head: bytes) -> _Stream:
    # RFC 9110, 8.4.1.2: `deflate` is zlib's format, and some servers send it raw. A zlib header is a
    # compression method of 8 and a multiple of 31 (RFC 1950, 2.2).
    wrapped = len(head) >= 2 and head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB if wrapped else igzip_lib.DECOMP_DEFLATE)


def _open_brotli(_: bytes) -> _Stream:
    return _BrotliStream()


def _open_zstd(_: bytes) -> _Stream:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


def _starts_gzip(head: bytes) -> bool:
    return head[:3] == b"\x1f\x8b\x08"


def _starts_zstd(head: bytes) -> bool:
    # A frame, or a skippable one (RFC 8878, 3.1).
    return head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5)


class _Coding:
    """One coding of the chain.

    ``again`` says whether bytes after the end of a stream (``magic`` of them) open another one, as RFC 1952
    and RFC 8878 allow; anything else there is garbage and is ignored, as browsers do.
    """

    __slots__ = ("_again", "_head", "_magic", "_open", "_pending", "_stream", "made", "name", "over", "taken")

    def __init__(
        self,
        name: str,
        open_stream: Callable[[bytes], _Stream],
        head: int,
        again: Callable[[bytes], bool] | None = None,
        magic: int = 0,
    ) -> None:
        self.name = name
        self.taken = 0
        self.made = 0
        #: The end was seen: whatever follows is ignored.
        self.over = False
        self._open = open_stream
        self._head = head
        self._again = again
        self._magic = magic
        self._stream: _Stream | None = None
        self._pending = b""

    @property
    def whole(self) -> bool:
        """No stream is open: all that came ended where it should, or nothing came."""
        return self.over or self.taken == 0 or (self._stream is not None and self._stream.eof)

    def put(self, data: bytes) -> None:
        """More input. Only to be called when :meth:`read` has answered with nothing."""
        self.taken += len(data)
        if not self.over:
            self._pending = self._pending + data if self._pending else data

    def read(self, limit: int, ending: bool) -> bytes:
        """Up to ``limit`` bytes of output (brotli: up to 32 KiB more), or nothing where more input is needed.

        ``ending``: no more input will come, so a head shorter than it should be has to do.
        """
        while not self.over:
            stream = self._stream
            if stream is None:
                if not self._pending or (len(self._pending) < self._head and not ending):
                    return b""
                stream = self._stream = self._open(self._pending)
            elif stream.eof:
                if self._again is None:
                    self._end()
                elif len(self._pending) >= self._magic:
                    if self._again(self._pending):
                        self._stream = None
                    else:
                        self._end()
                else:
                    return b""
                continue
            elif stream.needs_input and not self._pending:
                return b""
            data, self._pending = self._pending, b""
            try:
                out = stream.decompress(data, limit)
            except _CORRUPT as error:
                raise _refusal(self.name, error) from error
            if stream.eof:
                self._pending = stream.unused_data
            if out:
                self.made += len(out)
                return out
            if not data and not stream.eof:
                return b""
        return b""

    def _end(self) -> None:
        self.over = True
        self._pending = b""


# isal's stub says that its error is an instance.
_CORRUPT: Final = (cast("type[Exception]", igzip_lib.IsalError), brotli.error, zstd.ZstdError)


def _refusal(name: str, error: Exception) -> DecodeError:
    text = f"{name}: {error}"[:200]
    if isinstance(error, zstd.ZstdError) and "too much memory" in str(error):
        return DecodeError(Reason.DECODE_UNSUPPORTED, text)
    return DecodeError(Reason.DECODE_CORRUPT, text)


_CODINGS: Final[dict[str, Callable[[], _Coding]]] = {
    "gzip": lambda: _Coding("gzip", _open_gzip, 1, _starts_gzip, 3),
    "deflate": lambda: _Coding("deflate", _open_deflate, 2),
    "br": lambda: _Coding("br", _open_brotli, 1),
    "zstd": lambda: _Coding("zstd", _open_zstd, 1, _starts_zstd, 4),
}
_CODINGS["x-gzip"] = _CODINGS["gzip"]


class Decoder:
    """One body on its way in.

    ``wire_bytes``: bytes fed. ``taken``: those of them that codings have had. ``body_bytes``: decoded bytes kept.
    ``truncated``: ``"length"`` once the cap has cut the body, else None.
    """

    __slots__ = (
        "_bomb_from",
        "_buffer",
        "_cap",
        "_chain",
        "_chunks",
        "_refuses_bombs",
        "body_bytes",
        "taken",
        "truncated",
        "wire_bytes",
    )

    def __init__(
        self, chain: list[_Coding], cap: int, bomb_from: int | None = None, refuses_bombs: bool = True
    ) -> None:
        self._chain = chain
        self._cap = cap
        self._refuses_bombs = refuses_bombs
        self._bomb_from = bomb_from if bomb_from is not None and chain else cap
        self._chunks: list[bytes] = []
        self._buffer: io.BytesIO | None = None
        self.taken = 0
        self.body_bytes = 0
        self.wire_bytes = 0
        self.truncated: str | None = None

    @classmethod
    def of(
        cls,
        content_encoding: str | None,
        cap: int,
        *,
        bomb_from: int | None = None,
        refuses_bombs: bool = True,
    ) -> Decoder:
        """The decoder for a Content-Encoding field (several joined by commas) and a cap in decoded bytes.

        ``bomb_from``: decoded bytes from which a bomb is refused before it has reached the cap. Without
        ``refuses_bombs`` one is cut like a body that is long: of a robots.txt the first 500 KiB count, whatever they
        are the beginning of (RFC 9309, 2.5).
        Raises :class:`DecodeError` (``decode_unsupported``) for a coding that is not known or one too many.
        """
        if not content_encoding:
            return cls([], cap)
        names = [name for part in content_encoding.split(",") if (name := part.strip(" \t").lower())]
        names = [name for name in names if name != "identity"]
        if len(names) > MAX_CODINGS:
            raise DecodeError(
                Reason.DECODE_UNSUPPORTED, f"{len(names)} content codings, more than {MAX_CODINGS}"
            )
        for name in names:
            if name not in _CODINGS:
                raise DecodeError(Reason.DECODE_UNSUPPORTED, f"content coding {name[:60]!r}")
        # The field lists them in the order they were applied; they come off in the other.
        return cls([_CODINGS[name]() for name in reversed(names)], cap, bomb_from, refuses_bombs)

    def feed(self, chunk: bytes) -> bool:
        """Take in what came over the wire; False once the cap is reached and the caller may stop reading.

        O(bytes in + bytes out), the latter at most the cap and a step for each coding.
        Raises :class:`DecodeError` (``decode_corrupt``, ``decode_unsupported``).
        """
        for _ in self.steps(chunk):
            pass
        return not self.truncated

    def steps(self, chunk: bytes) -> Iterator[None]:
        """As :meth:`feed`, with a pause after each half megabyte decoded: 4 KiB can hold a whole bomb."""
        self.wire_bytes += len(chunk)
        if self.truncated:
            return
        if not self._chain:
            self._keep(chunk)
            return
        paused = self.body_bytes
        for at in range(0, len(chunk), _SLICE):
            self.taken += len(chunk[at : at + _SLICE])
            # Input that decodes to nothing (empty members, empty blocks) must come to an end as well.
            if self.taken > self._cap + self._cap // 64 + _OVERHEAD:
                self.truncated = "length"
                return
            self._chain[0].put(chunk[at : at + _SLICE])
            for _ in self._drained(ending=False):
                if self.body_bytes - paused >= _PAUSE:
                    paused = self.body_bytes
                    yield
            if self.truncated:
                return

    def finish(self) -> bytes:
        """The body, whole or cut at the cap; it is the caller's alone from here on.

        Raises :class:`DecodeError`: ``decode_truncated`` where a stream has no end, ``decode_bomb`` where the
        cap was reached at over 200 decoded bytes a wire byte, ``decode_corrupt``.
        """
        if self._chain:
            if not self.truncated:
                for _ in self._drained(ending=True):
                    pass
            if self.truncated:
                self._check_bomb()
            else:
                for coding in self._chain:
                    if not coding.whole:
                        raise DecodeError(
                            Reason.DECODE_TRUNCATED, f"{coding.name}: cut after {self.wire_bytes} wire bytes"
                        )
        if self._buffer is not None:
            # No copy: nothing else has the buffer.
            body = self._buffer.getvalue()
            self._buffer = None
            return body
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)

    def _drained(self, ending: bool) -> Iterator[None]:
        last = len(self._chain) - 1
        while out := self._pull(last, min(_STEP, self._cap - self.body_bytes + 1), ending):
            if not self._keep(out):
                return
            yield

    def _pull(self, at: int, limit: int, ending: bool) -> bytes:
        """Up to ``limit`` bytes out of coding ``at``, which takes from the one before it what it needs."""
        coding = self._chain[at]
        while True:
            # Only the first coding can know that nothing more comes; the next ones know when it has run dry.
            out = coding.read(limit, ending and at == 0)
            if out or at == 0:
                return out
            before = self._pull(at - 1, _STEP, ending)
            if not before:
                return coding.read(limit, ending)
            if self._chain[at - 1].made > self._cap + self._cap // 64 + _OVERHEAD:
                self.truncated = "length"
                return b""
            coding.put(before)

    def _keep(self, out: bytes) -> bool:
        room = self._cap - self.body_bytes
        if len(out) > room:
            self.truncated = "length"
            out = out[:room]
        self.body_bytes += len(out)
        if self.body_bytes < _ONE_BUFFER:
            self._chunks.append(out)
        else:
            self._keep_in_buffer(out)
        if self.body_bytes > self._bomb_from:
            self._check_bomb()
        return not self.truncated

    def _keep_in_buffer(self, out: bytes) -> None:
        if self._buffer is None:
            self._buffer = io.BytesIO(b"".join(self._chunks))
            self._buffer.seek(0, io.SEEK_END)
            self._chunks = []
        self._buffer.write(out)

    def _check_bomb(self) -> None:
        if not self._refuses_bombs:
            return
        made = max(self.body_bytes, *(coding.made for coding in self._chain[:-1]), 0)
        if made > BOMB_RATIO * self.taken:
            raise DecodeError(
                Reason.DECODE_BOMB, f"{self.taken} wire bytes decode to over {made} bytes, cap {self._cap}"
            )
