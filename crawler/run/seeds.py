"""Seeds as a person gives them: files with one URL a line, ``-`` for standard input, or URLs.

Lines are streamed: memory does not grow with their number, nor with the length of one of them.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from crawler.model.errors import UsageError
from crawler.model.reasons import Reason

#: Longest line that is looked at; of a longer one the rest is read past (and hashed, so that it has a key of its own).
LONGEST_LINE: Final = 64 * 1024

_SNIFFED: Final = 8 * 1024
#: White space and a mark: what follows is a comment. A fragment follows upon the URL itself.
_COMMENT: Final = re.compile(rb"[ \t\f\v]#")
_LINE_END: Final = re.compile(rb"[\r\n]")
#: Of a name that is not there and ends so, a file was meant. No domains but .zip are among them.
# fmt: off
_FILE_ENDINGS: Final = frozenset({
    "bz2", "csv", "dat", "gz", "json", "jsonl", "list", "log", "lst", "ndjson", "out", "seeds", "text", "toml", "tsv",
    "txt", "url", "urls", "xml", "xz", "zip", "zst",
})
# fmt: on
_ELSE: Final = "; name a file with one URL a line, a URL (https://...), or - for standard input"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_JOB: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class SeedLine:
    """One line that isn't blank or a comment. ``raw_digest`` (16 bytes) identifies a line that is no URL.

    ``refused`` is set where the line cannot be a URL whatever it says.
    """

    text: str
    source: str
    line: int
    raw_digest: bytes
    refused: Reason | None = None
    detail: str | None = None

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}"


def is_url(argument: str) -> bool:
    """An argument with ``://`` is a URL, else a file."""
    return "://" in argument


def job_name(arguments: Sequence[str], named: str | None) -> str:
    """The job: as named, else the stem of the first seeds file, the host of the first URL, or ``stdin``.

    Raises :class:`UsageError` for a name that cannot be a folder.
    """
    if named is not None:
        if not _JOB.fullmatch(named) or named.strip(".") == "":
            raise UsageError(
                f"--job {named!r}: a job is named with letters, digits, '.', '_' and '-', at most 64 of them"
            )
        return named
    first = arguments[0] if arguments else "-"
    if first == "-":
        return "stdin"
    if is_url(first):
        host = first.split("://", 1)[1].split("/", 1)[0].split("?", 1)[0].rsplit("@", 1)[-1]
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    else:
        name = Path(first).stem
    name = _UNSAFE.sub("-", name).strip("-.")[:64]
    return name or "job"


def check_seeds(arguments: Sequence[str]) -> None:
    """Every file can be opened and is text. Raises :class:`UsageError` before anything is asked."""
    if not arguments:
        raise UsageError("no seeds: give files with one URL a line, URLs, or - for standard input")
    if list(arguments).count("-") > 1:
        raise UsageError("standard input (-) is named twice and can be read only once: name it once")
    for argument in arguments:
        if argument == "-" or is_url(argument):
            continue
        try:
            if Path(argument).is_fifo():
                # `<(zcat seeds.gz)`: what is read here would be missing later.
                continue
            with open(argument, "rb") as file:
                _refuse_binary(file.read(_SNIFFED), argument)
        except OSError as error:
            hint = ""
            if isinstance(error, FileNotFoundError) and _may_be_a_host(argument):
                hint = f"; for a URL write https://{argument}"
            raise UsageError(f"seeds file {argument}: {error.strerror or error}{hint or _ELSE}") from error


def identity_of(arguments: Sequence[str]) -> str:
    """A digest that two starts have in common only where they read the same seeds: by what stands in their files, not
    by their names alone. What can be read only once is known by its name. O(bytes), a second for a gigabyte."""
    whole = hashlib.blake2b(digest_size=16)
    for argument in arguments:
        whole.update(argument.encode("utf-8", "surrogatepass") + b"\n")
        path = Path(argument)
        if argument != "-" and not is_url(argument) and path.is_file():
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _may_be_a_host(argument: str) -> bool:
    return (
        "." in argument and "/" not in argument and argument.rpartition(".")[2].lower() not in _FILE_ENDINGS
    )


def read_seeds(arguments: Sequence[str], stdin: BinaryIO) -> Iterator[SeedLine]:
    """Every line of every argument, in order; blank lines and comments left out: what stands behind a ``#`` that begins
    the line or follows white space. O(1) memory."""
    for number, argument in enumerate(arguments, 1):
        if is_url(argument):
            yield _line(argument.encode("utf-8", "surrogateescape"), "argument", number)
        elif argument == "-":
            with _own(stdin) as file:
                yield from _read(file, "stdin")
        else:
            try:
                with open(argument, "rb") as file:
                    yield from _read(file, argument)
            except OSError as error:
                raise UsageError(f"seeds file {argument}: {error.strerror or error}{_ELSE}") from error


def with_a_seed(lines: Iterator[SeedLine]) -> Iterator[SeedLine]:
    """The same lines, of which there is at least one: else :class:`UsageError`."""
    first = next(lines, None)
    if first is None:
        raise UsageError("no seeds: there are only blank lines and comments; write one URL a line")
    return chain((first,), lines)


def _refuse_binary(head: bytes, source: str) -> None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"seeds file {source}: this is UTF-16; save it as UTF-8, one URL a line")
    if b"\0" in head:
        raise UsageError(f"seeds file {source}: this is a binary file; name a text file with one URL a line")


@contextmanager
def _own(stdin: BinaryIO) -> Iterator[BinaryIO]:
    """A reader of our own over the same descriptor. Seeds are read in a thread that may never come back from a silent
    pipe; where that is ``sys.stdin``, the interpreter aborts (exit 134) when it wants to close it at its end."""
    try:
        descriptor = os.dup(stdin.fileno())
    except (OSError, ValueError):
        # No descriptor: a stream in memory.
        yield stdin
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _read(file: BinaryIO, source: str) -> Iterator[SeedLine]:
    """Lines end with LF, CR LF or, in old Mac files, CR alone: there all of the file is one line to ``readline``."""
    number, rest, after_cr = 0, b"", False
    first = True
    while (chunk := file.readline(LONGEST_LINE)) or rest:
        if first:
            _refuse_binary(chunk[:_SNIFFED], source)
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            first = False
        elif after_cr:
            # The piece before ended between CR and LF.
            chunk = chunk.removeprefix(b"\n")
        data = rest + chunk
        pieces = data.splitlines()
        rest, after_cr = b"", data.endswith(b"\r")
        if chunk and not data.endswith((b"\n", b"\r")):
            rest = pieces.pop()
        for piece in pieces:
            number += 1
            raw = piece.strip(b" \t\f\v")
            if not raw or raw.startswith(b"#"):
                continue
            if b"#" in raw:
                raw = _COMMENT.split(raw, 1)[0].rstrip(b" \t\f\v")
            yield _line(raw, source, number)
        if len(rest) >= LONGEST_LINE:
            line, rest = _overlong(file, rest, source, number + 1)
            yield line


def _line(raw: bytes, source: str, number: int) -> SeedLine:
    digest = hashlib.blake2b(raw, digest_size=16).digest()
    try:
        return SeedLine(raw.decode("utf-8"), source, number, digest)
    except UnicodeDecodeError:
        return SeedLine(
            raw.decode("utf-8", "replace"), source, number, digest, Reason.URL_INVALID, "not UTF-8"
        )


def _overlong(file: BinaryIO, head: bytes, source: str, number: int) -> tuple[SeedLine, bytes]:
    """The line that begins with ``head``, read past, and what came behind it, its end included."""
    hasher, length, rest = hashlib.blake2b(head, digest_size=16), len(head), b""
    while chunk := file.readline(LONGEST_LINE):
        end = _LINE_END.search(chunk)
        piece = chunk if end is None else chunk[: end.start()]
        hasher.update(piece)
        length += len(piece)
        if end is not None:
            rest = chunk[end.start() :]
            break
    text = head[:4096].decode("utf-8", "replace")
    detail = f"a line of {length} bytes"
    return SeedLine(text, source, number, hasher.digest(), Reason.URL_TOO_LONG, detail), rest
