"""``python -m tests.fuzz TARGET [libFuzzer's flags]``."""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.mutation import mutations

try:
    import atheris
except ImportError:
    atheris = None

if atheris is not None:
    # Only our own code is followed: instrumenting the parsers' bindings would slow them for nothing.
    with atheris.instrument_imports(include=["crawler"]):
        from tests.fuzz.targets import TARGETS, Target
else:
    from tests.fuzz.targets import TARGETS, Target

#: CPU seconds that no input of a few kilobytes may take.
SLOWEST = 1.0
#: Seconds, unless -max_total_time says otherwise.
_USUAL = 60.0


def main(arguments: Sequence[str]) -> int:
    names = [word for word in arguments if not word.startswith("-")]
    if not names or names[0] not in TARGETS or {"-h", "--help"} & set(arguments):
        print(__doc__, "\nTargets:", ", ".join(TARGETS), file=sys.stderr)
        return 0 if {"-h", "--help"} & set(arguments) else 2
    target = TARGETS[names[0]]
    rest = [word for word in arguments if word != names[0]]
    if atheris is None:
        print("without atheris (pip install -e '.[dev,fuzz]'): a plain loop of mutations", file=sys.stderr)
        return loop(target, rest)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as corpus:
        for seed in target.seeds():
            (Path(corpus) / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        if not any(word.startswith("-max_total_time=") for word in rest):
            rest.append(f"-max_total_time={_USUAL:g}")
        atheris.Setup([sys.argv[0], *rest, corpus], lambda data: timed(target, data))
        atheris.Fuzz()  # ends the process
    return 0


def timed(target: Target, data: bytes) -> None:
    """Run it; a slow one is a fault like any other."""
    began = time.process_time()
    target.run(data)
    took = time.process_time() - began
    assert took < SLOWEST, f"{took:.1f} s of CPU for {len(data)} bytes"


def loop(target: Target, flags: Sequence[str]) -> int:
    """``-max_total_time``, ``-runs`` and ``-seed`` as libFuzzer has them. 1 where something broke."""
    given = dict(word.lstrip("-").split("=", 1) for word in flags if "=" in word)
    until = time.monotonic() + float(given.get("max_total_time", _USUAL))
    most = int(given.get("runs", -1))
    done = 0
    for data in mutations(target.seeds(), random.Random(int(given.get("seed", 0)))):
        if time.monotonic() > until or done == most:
            break
        try:
            timed(target, data)
        except Exception:
            traceback.print_exc()
            path = Path(f"crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}")
            path.write_bytes(data)
            print(f"after {done} runs: {data[:200]!r}, written to {path}", file=sys.stderr)
            return 1
        done += 1
    print(f"{done} runs, nothing broke", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
