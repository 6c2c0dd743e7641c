"""The options that a command takes: its own, and one for each setting."""

from __future__ import annotations

from dataclasses import replace

from crawler.cli.grammar import Command, Option


def options_of(command: Command) -> list[Option]:
    """Its own options and, where it takes them, those of the settings."""
    shows = command.settings
    if shows is None:
        return list(command.options)
    # The table of settings takes 0.07 s to make; most commands do without.
    from crawler.cli.flags import setting_options

    return [
        *command.options,
        *(replace(each, usual=shows(each)) for each in setting_options(command.preset or {})),
    ]
