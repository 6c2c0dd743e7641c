"""``crawler replay``: what a crawl read out of its pages, read again from its archive."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Final, Literal

from crawler.audit import find_run
from crawler.cli.amounts import count_text, many
from crawler.cli.escape import escape
from crawler.cli.verify import NOT_SOUND, SOUND, output_folder
from crawler.model.errors import StorageError
from crawler.run.replaying import Replay, differing
from crawler.sink.line import encode

#: Differences that are told; all are counted.
_MOST_TOLD: Final = 20


def replay(
    run: str,
    *,
    body: Literal["html", "text", "markdown", "none"] | None = None,
    links: bool | None = None,
    headers: bool | None = None,
    metadata: bool | None = None,
    check: bool = False,
    output: str | None = None,
    config: str | None = None,
) -> int:
    """Exit code 0; with --check 5 where a record differs."""
    folder = find_run(run, output_folder(output, config)).folder
    made = Replay(folder, body=body, links=links, headers=headers, metadata=metadata)
    return asyncio.run(_check(made) if check else _write(made))


async def _write(made: Replay) -> int:
    if sys.stdout is None:
        raise StorageError("standard output is closed: redirect it to a file or a pipe")
    async for replayed in made.records():
        sys.stdout.buffer.write(encode(replayed.record))
    sys.stdout.buffer.flush()
    return SOUND


async def _check(made: Replay) -> int:
    records = read = different = 0
    fields: Counter[str] = Counter()
    told: list[str] = []
    async for replayed in made.records():
        records += 1
        read += replayed.read
        names = differing(replayed)
        if names:
            different += 1
            fields.update(names)
            if len(told) < _MOST_TOLD:
                told.append(f"  {escape(str(replayed.before.get('url')), 200)}: {', '.join(names)}")
    word = "equal" if not different else "NOT EQUAL"
    print(f"{word}: {many(records, 'record')}, {count_text(read)} of them read again from the archive")
    if different:
        counted = ", ".join(f"{name} {number}" for name, number in fields.most_common())
        print(f"  {many(different, 'record')} differ: {counted}", *told, sep="\n")
    return NOT_SOUND if different else SOUND
