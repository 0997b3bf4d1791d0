"""A console program that ends with an exit code of the table also where nobody hears it, or its folder is gone."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from batch.names import names_are_misread
from jobs.log import LogFormat, say_end, start_logging
from jobs.streams import enduring, open_missing_streams

CANNOT_GO_ON = 5
_WrongUsage: Any = typer.BadParameter.__base__
"""Click's, wherever this version of Typer has it from."""


class _Command(TyperCommand):
    """A command whose help has no Python type beside the name of an argument."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for parameter in self.params:
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # type: ignore[attr-defined]


class Program(typer.Typer):
    """A Typer application whose streams may be closed, full or broken."""

    def __init__(self, **more: Any) -> None:
        super().__init__(pretty_exceptions_enable=False, rich_markup_mode=None, **more)

    def command(self, *arguments: Any, **named: Any) -> Callable[[Any], Any]:
        """Make a function a command, as Typer does."""
        return super().command(*arguments, cls=_Command, **named)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run as Typer does; what cannot be said is not said, and ends no run."""
        open_missing_streams()
        sys.stdout, sys.stderr = enduring(1), enduring(2)
        in_json = "--log-format json" in " ".join(sys.argv).replace("=", " ")  # before Typer knows
        if in_json:
            start_logging(LogFormat.JSON)
        if told := names_are_misread():
            say_end(f"error: {told}", CANNOT_GO_ON)
            sys.exit(CANNOT_GO_ON)
        try:
            Path.cwd()
        except FileNotFoundError:
            say_end("error: The working directory is gone. Change to one that is there (cd).", CANNOT_GO_ON)
            sys.exit(CANNOT_GO_ON)
        try:
            sys.exit(super().__call__(*arguments, standalone_mode=False, **named))
        except _WrongUsage as error:
            error.message = error.message.removeprefix("Value error, ")  # Pydantic's, of no use to a person
            if in_json:
                say_end(error.format_message(), error.exit_code)
            else:
                error.show()
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit("Aborted!")
