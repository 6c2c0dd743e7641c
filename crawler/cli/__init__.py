"""What a person types and sees: commands, progress, summary, exit codes."""


def main() -> None:
    """The ``crawler`` command. Ends the process with the exit code of the command."""
    from crawler.cli.program import run_program

    raise SystemExit(run_program())
