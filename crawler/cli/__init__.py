"""What a person types and sees: commands, progress, summary, exit codes."""

from __future__ import annotations

# Not signal: it makes enums, and Ctrl-C until main() begins is Python's to answer, with a traceback.
import _signal
import gc


class quiet_interrupt:  # noqa: N801
    """Ctrl-C while modules are imported is the kernel's to answer: no traceback, and nothing is begun yet. Where SIGINT
    is ignored (a job in the background) it stays so."""

    def __enter__(self) -> None:
        self._ours = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
        if self._ours:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

    def __exit__(self, *exception: object) -> None:
        if self._ours:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)


#: Objects made between two searches for garbage while modules are imported: they are none, and at the interpreter's
#: 700 the search is a tenth of the start.
_IMPORTING = 50_000


def main() -> None:
    """The ``crawler`` command. Ends the process with the exit code of the command."""
    gc.set_threshold(_IMPORTING)
    code = 130  # what a shell reports for a command ended by SIGINT (128 + 2)
    try:
        with quiet_interrupt():
            from crawler.cli.program import run_program
        code = run_program()
        _be_deaf()
    except KeyboardInterrupt:
        _be_deaf()
    raise SystemExit(code)


def _be_deaf() -> None:
    """How it ended is known; while the interpreter takes itself apart (50 ms) no signal may say otherwise."""
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)
