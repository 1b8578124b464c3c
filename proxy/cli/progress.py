"""How far a long command has come: a bar on the terminal, and nothing anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from proxy.cli.output import console


class Bar(Protocol):
    """Hears how far a step has come."""

    def advance(self, count: int) -> None:
        """So much more is done."""
        ...

    def reach(self, done: int, total: int) -> None:
        """So much is done, of so much."""
        ...


@contextmanager
def step(title: str, total: int | None = None, *, shown: bool = True) -> Iterator[Bar]:
    """Show a step of a command as long as it takes, on standard error where that is a terminal."""
    screen = console(stderr=True)
    with Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=screen,
        transient=True,
        disable=not (shown and screen.is_terminal),
        # What a command prints is its own affair, also while a bar is shown.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        yield _RichBar(progress, title, total)


class _RichBar:
    def __init__(self, progress: Progress, title: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def advance(self, count: int) -> None:
        self._progress.update(self._task, advance=count)

    def reach(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)
