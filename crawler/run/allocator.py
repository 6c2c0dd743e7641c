"""How glibc's malloc is set for a crawl: what one large page took goes back to the machine when the page is done.

Left alone it learns from each large block that is freed to take the next from the heap, up to 32 MiB, where a small
one that lies behind it keeps all of it; and each thread that reads a page or writes a long line gets an arena of its
own to do that in. All that is hostile at once beside 20,000 good pages then took 45 MiB more.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

#: Bytes from which a block is mapped by itself, and unmapped when it is freed. That costs a fault each 4 KiB, 0.2 ms a
#: mebibyte; a page of 128 KiB, whose line asks for eight times that while it is written, stays below.
_MAPPED: Final = 1024 * 1024
#: Bytes free at the heap's end that are kept: the default of 128 KiB would be a system call a page.
_KEPT: Final = 2 * 1024 * 1024
_ARENAS: Final = 2
#: Bytes free between blocks in use from which those pages go back as well. A crawl of ordinary pages has 3 MiB of them,
#: and uses them again at once.
_HOLES: Final = 5 * 1024 * 1024
#: The field that counts them.
_FORDBLKS: Final = "_8"
#: Seconds between two looks: a look takes 0.1 ms, giving 5 MiB back 1.
_EVERY: Final = 0.25


def return_large_blocks() -> None:
    """Does nothing where there is no ``mallopt`` (musl, macOS). A few milliseconds, most of them an import."""
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    libc.mallopt(_M_ARENA_MAX, _ARENAS)
    # glibc 2.33
    if hasattr(libc, "mallinfo2"):
        # struct mallinfo2: ten sizes.
        libc.mallinfo2.restype = type(
            "mallinfo2", (ctypes.Structure,), {"_fields_": [(f"_{at}", ctypes.c_size_t) for at in range(10)]}
        )
        # A daemon: it holds nothing. Both calls are without the interpreter's lock.
        threading.Thread(target=_return_holes, args=(libc,), name="allocator", daemon=True).start()


def _return_holes(libc: Any) -> None:
    while True:
        time.sleep(_EVERY)
        if getattr(libc.mallinfo2(), _FORDBLKS) > _HOLES:
            libc.malloc_trim(0)
