"""What a person types and sees: commands, progress, summary, exit codes."""

import gc
import signal

#: Objects made between two searches for garbage while modules are imported: they are none, and at the interpreter's
#: 700 the search is a tenth of the start.
_IMPORTING = 50_000


def main() -> None:
    """The ``crawler`` command. Ends the process with the exit code of the command."""
    # Ctrl-C while modules are imported, or as the interpreter ends, is the kernel's to answer: no traceback. Where
    # SIGINT is ignored (a job in the background) it stays so.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_IMPORTING)
    from crawler.cli.program import INTERRUPTED, run_program

    try:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run_program()
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise SystemExit(code)
