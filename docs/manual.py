"""Manual pages made from the commands' own help: ``make man``, then ``man -l dist/man/annotate.1``."""

import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

Command = TyperCommand | TyperGroup


def manual_page(program: str, command: Command) -> str:
    """The page of a command, and of the commands below it, in man's macros."""
    said = " ".join((command.help or "").split())
    lines = [
        f'.TH {program.upper()} 1 "" "emotion-annotate {version("emotion-annotate")}"',
        *(".SH NAME", _plain(f"{program} - {said.split('. ')[0].rstrip('.')}")),
        *(".SH SYNOPSIS", *_synopsis(program, command)),
        *(".SH DESCRIPTION", _plain(said), ".SH OPTIONS", *_options(program, command)),
    ]
    for name, below in sorted(getattr(command, "commands", {}).items()):
        called = f"{program} {name}"
        lines += [
            f".SH {_plain(called)}",
            *_synopsis(called, below),
            ".PP",
            _plain(" ".join((below.help or "").split())),
        ]
        lines += _options(called, below)
    return "\n".join(lines) + "\n"


def _synopsis(program: str, command: Command) -> list[str]:
    words = command.collect_usage_pieces(typer.Context(command, info_name=program))
    return [f".B {_plain(program)}", _plain(" ".join(words))]


def _options(program: str, command: Command) -> list[str]:
    context = typer.Context(command, info_name=program)
    records = (option.get_help_record(context) for option in command.get_params(context))
    return [line for name, told in filter(None, records) for line in (".TP", f".B {_plain(name)}", _plain(told))]


def _plain(text: str) -> str:
    """Text in one line, as it is, whatever man's macros would make of it."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


def main() -> None:
    """Write the page of each console program of this project into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entry_points(group="console_scripts"):
        if entry.value.startswith("jobs."):
            app = getattr(import_module(entry.module), entry.attr)
            page = manual_page(entry.name, typer.main.get_command(app))
            (folder / f"{entry.name}.1").write_text(page, "utf-8")


if __name__ == "__main__":
    main()
