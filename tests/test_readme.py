"""README says what the programs do."""

from pathlib import Path

import pytest
import typer
from click import Parameter

from jobs import annotate, export, train

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def options(app: typer.Typer) -> list[Parameter]:
    command = typer.main.get_command(app)
    commands = list(getattr(command, "commands", {}).values()) or [command]
    return [option for one in commands for option in one.params if "--help" not in option.opts]


@pytest.mark.parametrize(
    "app", [annotate.app, export.app, train.app], ids=["annotate", "annotate-export", "annotate-train"]
)
def test_every_option_has_help_and_a_sentence_that_ends(app: typer.Typer) -> None:
    """No option without help."""
    for option in options(app):
        assert getattr(option, "help", None), option.name


def test_options_of_annotate_stand_in_the_readme() -> None:
    """README's table has each option with the words of --help, and no other."""
    expected = [row(option) for option in options(annotate.app) if option.param_type_name == "option"]
    table = README.split("## Options", 1)[1].split("\n## ", 1)[0]
    assert [line for line in table.splitlines() if line.startswith("| `-")] == expected


def row(option: Parameter) -> str:
    """One line of README's table of options; print them all with ``python tests/test_readme.py``."""
    sentence = getattr(option, "help", "") or ""
    return f"| {', '.join(f'`{name}`' for name in option.opts)} | {' '.join(sentence.split())} |"


if __name__ == "__main__":
    print(*(row(one) for one in options(annotate.app) if one.param_type_name == "option"), sep="\n")  # noqa: T201
