"""Mutated seeds in a plain loop: what fuzzing is where libFuzzer is not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

#: Bytes that mean something to a parser.
_LOADED = (
    *(
        b"\0",
        b"\n",
        b"\r\n",
        b"<",
        b">",
        b"<!--",
        b"]]>",
        b"&x;",
        b"%",
        b"%00",
        b"@",
        b"//",
        b"\\",
        b"#",
        b"?",
    ),
    *(
        b":",
        b"..",
        b"[",
        b"]",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
        b"\x1b[",
        b"-1",
    ),
    *(b"9" * 30, b"xn--", b"\xc2\xad", b"*", b"$", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"e999", b" "),
)
_LONGEST = 4096


def mutations(seeds: Sequence[bytes], random_: random.Random) -> Iterator[bytes]:
    """The seeds as they are, then for ever one of them changed in one to eight places. O(length) each."""
    yield from seeds
    while True:
        data = bytearray(random_.choice(seeds))
        for _ in range(random_.randint(1, 8)):
            at = random_.randint(0, len(data))
            match random_.randrange(7):
                case 0 if data:
                    data[at % len(data)] = random_.randrange(256)
                case 1:
                    data[at:at] = random_.choice(_LOADED)
                case 2:
                    del data[at : at + random_.randint(1, 16)]
                case 3:
                    data[at:at] = data[at : at + random_.randint(1, 64)] * random_.randint(1, 8)
                case 4:
                    other = random_.choice(seeds)
                    start = random_.randint(0, len(other))
                    data[at:] = other[start:]
                case 5 if data:
                    data[at % len(data)] ^= 1 << random_.randrange(8)
                case _:
                    data[at:at] = random_.randbytes(random_.randint(1, 8))
        yield bytes(data[:_LONGEST])
