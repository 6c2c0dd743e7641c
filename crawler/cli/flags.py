"""The settings table as flags: one option for each setting, made from the table, never written by hand.

What is typed stays text until :func:`crawler.run.configuration.load` reads it, so that flags, variables and
config.toml take the same words and give the same errors.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter

from crawler.cli.log import log_level
from crawler.cli.program import DASH
from crawler.cli.reference import default_text
from crawler.model.errors import UsageError
from crawler.model.settings import Settings
from crawler.run.configuration import Key, current_folder, default_file, keys, load

_TITLES: Final = {
    "crawl": "Crawl",
    "frontier": "Crawl",
    "scope": "Scope",
    "politeness": "Politeness",
    "robots": "Politeness",
    "http": "HTTP",
    "limits": "Limits",
    "output": "Output",
    "revisit": "Revisit",
    "gate": "Gate",
    "log": "Display",
    "metrics": "Metrics and hook",
    "on_finish": "Metrics and hook",
}

_GROUPS: Final = {
    title: Group(title, sort_key=place) for place, title in enumerate(dict.fromkeys(_TITLES.values()))
}

_METAVARS: Final = {
    "crawl.job": "NAME",
    "http.user_agent": "TEXT",
    "http.contact": "TEXT",
    "http.allow_networks": "CIDR",
    "http.nameservers": "HOST[:PORT]",
    "output.path": "DIR",
    "frontier.url": "URL",
    "http.timeout": "SECONDS",
    "politeness.delay": "SECONDS",
    "crawl.processes": "N|auto",
    "limits.rate": "N",
    "metrics.listen": "[ADDRESS:]PORT",
    "metrics.textfile": "FILE",
    "on_finish.command": "COMMAND",
}

#: Where the table's own words already name the default.
_SAYS_ITS_DEFAULT: Final = frozenset({"http.user_agent", "crawl.job"})


def takes_settings(
    command: Callable[..., int], *, leading: list[inspect.Parameter], config: bool = True, show: bool = True
) -> Callable[..., int]:
    """Give ``command`` the signature that cyclopts reads: ``leading``, then one option a setting.

    ``config``: with ``--config FILE``; ``show``: whether ``--help`` lists the settings once more.
    """
    file = option(
        "--config", str, None, "Crawl", "default: config.toml in this folder, if it is there", metavar="FILE"
    )
    parameters = [*leading, *([file] if config else []), *_parameters(show=show)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def option(name: str, annotation: Any, default: Any, group: str, help: str, **more: Any) -> inspect.Parameter:
    """An option of a command that is no setting."""
    parameter = Parameter(name=name, group=_GROUPS[group], help=help, show_default=False, negative=(), **more)
    return inspect.Parameter(
        name.lstrip("-").replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, parameter],
    )


def seeds(help: str) -> inspect.Parameter:
    return inspect.Parameter(
        "seeds",
        inspect.Parameter.VAR_POSITIONAL,
        annotation=Annotated[str, Parameter(help=help, show_default=False, negative=())],
    )


def dashes(words: tuple[str, ...]) -> list[str]:
    """The arguments as they were typed: ``-`` again."""
    return ["-" if word == DASH else word for word in words]


def settings_from(typed: Mapping[str, Any], *, preset: Mapping[str, Any] | None = None) -> Settings:
    """Settings from the options typed, the environment and config.toml.

    ``preset`` is for a command with defaults of its own, which reads neither environment nor file (the demo).
    Raises :class:`UsageError`.
    """
    flags = flags_of(typed)
    if preset is not None:
        settings, _ = load({**preset, **flags}, {}, None)
    else:
        settings, _ = load(flags, os.environ, default_file(typed.get("config"), current_folder()))
    verbose, quiet = typed.get("verbose", 0), typed.get("quiet", 0)
    log = dataclasses.replace(settings.log, level=log_level(settings.log.level, verbose, quiet))
    if quiet and log.progress == "auto":
        log = dataclasses.replace(log, progress="never")
    return dataclasses.replace(settings, log=log)


def flags_of(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, by ``section.key``."""
    flags = {}
    for key in keys():
        value = typed.get(_name(key))
        if isinstance(value, list):
            value = ["-" if item == DASH else item for item in value] or None
        if value is not None:
            flags[key.path] = "-" if value == DASH else value
    if typed.get("no_body"):
        if flags.get("output.body", "none") != "none":
            raise UsageError(f"--no-body and --body {flags['output.body']}: one of them, please")
        flags["output.body"] = "none"
    return flags


def _name(key: Key) -> str:
    return f"{key.section}__{key.name}"


def _parameters(*, show: bool) -> list[inspect.Parameter]:
    made = [_parameter(key, show=show) for key in keys()]
    place = next(number for number, each in enumerate(made) if each.name == "output__body")
    made.insert(place + 1, option("--no-body", bool, False, "Output", "same as --body none", show=show))
    made.append(
        option(
            "--quiet",
            int,
            0,
            "Display",
            "no display, warnings only; -qq: errors only, no summary",
            alias="-q",
            count=True,
            show=show,
        )
    )
    made.append(
        option(
            "--verbose",
            int,
            0,
            "Display",
            "a line for each URL and each retry",
            alias="-v",
            count=True,
            show=show,
        )
    )
    return made


def _parameter(key: Key, *, show: bool) -> inspect.Parameter:
    """The option of one setting. One without a flag in the table works as well; ``--help`` leaves it out."""
    group, default = _GROUPS[_TITLES[key.section]], default_text(key)
    says = key.help if key.path in _SAYS_ITS_DEFAULT else f"{key.help} [{default}]"
    annotation: Any
    if key.kind is bool:
        word = key.option.removeprefix("--no-").removeprefix("--")
        parameter = Parameter(
            name=f"--{word}",
            negative=f"--no-{word}",
            group=group,
            help=says,
            show_default=False,
            show=show and bool(key.flag),
        )
        annotation = bool
    else:
        several = key.kind in (tuple, Mapping)
        parameter = Parameter(
            name=key.option,
            negative=(),
            group=group,
            help=f"{says}; again and again" if several else says,
            metavar=_metavar(key),
            show_default=False,
            show=show and bool(key.flag),
            allow_leading_hyphen=True,
        )
        annotation = list[str] if several else str
    return inspect.Parameter(
        _name(key),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation, parameter],
    )


def _metavar(key: Key) -> str:
    if key.path in _METAVARS:
        return _METAVARS[key.path]
    if key.choices:
        return "|".join(key.choices)
    if key.kind is float:
        return "DURATION"
    if key.kind is int:
        return "SIZE" if key.unit.startswith("bytes") else "N"
    return "NAME:VALUE" if key.kind is Mapping else "TEXT"
