"""What a person types and sees: commands, progress, summary, exit codes."""

import signal


def main() -> None:
    """The ``crawler`` command. Ends the process with the exit code of the command."""
    # Ctrl-C while modules are imported, or as the interpreter ends, is the kernel's to answer: no traceback. Where
    # SIGINT is ignored (a job in the background) it stays so.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
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
