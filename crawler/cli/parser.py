"""The tables of :mod:`crawler.cli.commands` as cyclopts reads them: it parses, completes, and says what was meant.

Each command is made when it is asked for (:func:`__getattr__`), and what it does is imported when it is called.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter, Token

from crawler.cli.commands import COMMANDS
from crawler.cli.grammar import DASH, HELP, Operand, Option
from crawler.cli.options import options_of
from crawler.cli.version import program_version

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext


def build() -> App:
    """The command line, none of its commands made yet. Help is not the parser's (:mod:`crawler.cli.help`)."""
    app = App(
        name="crawler",
        help="Crawl web sites into NDJSON: politely, fast, and so that nothing is lost.",
        help_format="plaintext",
        version=program_version,
        version_flags="--version",
        # Answered before anything is parsed; named here for completion.
        help_flags=sorted(HELP, reverse=True),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        default_parameter=None,
    )
    for name, command in COMMANDS.items():
        app.command(f"{__name__}:{name}", name=name, help=command.says)
    return app


def __getattr__(name: str) -> Callable[..., int]:
    """The command of this name, as a function with the signature of its table."""
    if name not in COMMANDS:
        raise AttributeError(name)
    command = COMMANDS[name]

    def call(*words: str, **typed: Any) -> int:
        module, _, function = command.does.partition(":")
        does = getattr(importlib.import_module(module), function)
        answer: int = does(*map(_dash, words), **{into: _dash(value) for into, value in typed.items()})
        return answer

    parameters = [*map(_operand, command.operands), *map(_option, options_of(command))]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _operand(operand: Operand) -> inspect.Parameter:
    annotation: Any = Literal[operand.choices] if operand.choices else str
    more: dict[str, Any] = {}
    if operand.kind == "file":
        annotation, more["converter"] = Path, _as_typed
    elif operand.kind == "job":
        more["completer"] = _jobs
    parameter = Parameter(help=operand.help, show_default=False, negative=(), **more)
    several = operand.several
    return inspect.Parameter(
        operand.into,
        inspect.Parameter.VAR_POSITIONAL if several else inspect.Parameter.POSITIONAL_ONLY,
        default=inspect.Parameter.empty if operand.required or several else None,
        annotation=Annotated[annotation, parameter],
    )


def _option(option: Option) -> inspect.Parameter:
    more: dict[str, Any] = {"negative": option.opposite or ()}
    names = option.names
    annotation: Any = str
    default: Any = None
    match option.kind:
        case "flag":
            annotation, default = bool, None if option.opposite else False
            if names[0].startswith("--no-") and option.opposite:
                names, more["negative"] = (option.opposite,), names[0]
        case "count":
            annotation, default, more["count"] = int, 0, True
        case "list":
            annotation = list[str]
        case "file":
            annotation, more["converter"] = Path, _as_typed
        case "job":
            more["completer"] = _jobs
        case _ if option.choices:
            annotation = Literal[option.choices]
            if not option.strict:
                more["converter"] = _as_typed
    # `--depth -1` is a bad depth, and no unknown option; `--to -` is standard output.
    more["allow_leading_hyphen"] = option.kind not in ("flag", "count")
    parameter = Parameter(name=names, help=option.help, show_default=False, **more)
    return inspect.Parameter(
        option.into,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, parameter],
    )


def _dash(value: Any) -> Any:
    """What was typed, with its ``-`` again."""
    if isinstance(value, list):
        return list(map(_dash, value))
    return "-" if value == DASH else value


def _as_typed(kind: Any, tokens: Sequence[Token]) -> str:
    """The words themselves. ``kind`` says only what a shell completes; what they mean is judged where they are read."""
    return tokens[0].value


def _jobs(context: CompletionContext) -> list[str]:
    """For a shell: the jobs that have run here. What cannot be read completes nothing, and no error cuts the line."""
    from crawler.cli.verify import output_folder
    from crawler.model.errors import CrawlerError

    try:
        folder = output_folder(context["output"].raw, context["config"].raw)
        return sorted(found.parent.name for found in folder.glob("*/runs"))
    except (CrawlerError, OSError):
        return []
