"""How far a run is, where a person looks: on a terminal, or below the cell of a notebook."""

import sys
import time
from typing import Any, Protocol

_EVERY_SECONDS = 0.2


class Bar(Protocol):
    """Shows how many of how many are done, None being unknown, and a line of text; gone once it is stopped."""

    def start(self) -> None:
        """Begin to show it."""

    def update(self, done: int, total: int | None, text: str) -> None:
        """Show this from now on."""

    def stop(self) -> None:
        """Take it away."""


class NoBar:
    """Nobody looks."""

    def start(self) -> None:
        """Show nothing."""

    def update(self, done: int, total: int | None, text: str) -> None:
        """Show nothing."""

    def stop(self) -> None:
        """Nothing was shown."""


class TerminalBar:
    """A bar on stderr, below the log lines."""

    def __init__(self) -> None:
        from rich.console import Console  # takes its time, which a run at night does without
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._progress.add_task("finding images", total=None)

    def start(self) -> None:
        """Begin to show it."""
        self._progress.start()

    def update(self, done: int, total: int | None, text: str) -> None:
        """Show this from now on."""
        self._progress.update(self._task, completed=done, total=total, description=text)

    def stop(self) -> None:
        """Take it away."""
        self._progress.stop()


class NotebookBar:
    """HTML's own progress bar below the cell: it needs no widgets, which not every notebook has."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._updated = 0.0

    def start(self) -> None:
        """Begin to show it."""
        from IPython import display

        self._html: Any = display.HTML
        self._shown = display.display(self._html("<progress></progress> finding images"), display_id=True)

    def update(self, done: int, total: int | None, text: str) -> None:
        """Show this from now on, a few times a second at most."""
        if self._shown is not None and time.monotonic() - self._updated >= _EVERY_SECONDS:
            self._updated = time.monotonic()
            known = "" if total is None else f' value="{done}" max="{total}"'
            self._shown.update(
                self._html(f"<progress{known}></progress> {done}/{'?' if total is None else total} {text}")
            )

    def stop(self) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.update(self._html(""))


def in_notebook() -> bool:
    """Whether this is Jupyter, Colab, or what behaves like them."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


def bar_for_person() -> Bar:
    """The bar for whoever sits before this process."""
    return NotebookBar() if in_notebook() else TerminalBar()
