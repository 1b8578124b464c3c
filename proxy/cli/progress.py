"""The progress of a long command: a bar on a terminal, and nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from proxy.cli.output import console


class Bar(Protocol):
    """Shows the progress of a step."""

    def advance(self, count: int) -> None:
        """Add `count` to what is done."""
        ...

    def reach(self, done: int, total: int) -> None:
        """Set what is done, and the total."""
        ...


@contextmanager
def step(title: str, total: int | None = None, *, shown: bool = True) -> Iterator[Bar]:
    """Show the progress of a step, on standard error if that is a terminal."""
    screen = console(stderr=True)
    with Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=screen,
        transient=True,
        disable=not (shown and screen.is_terminal),
        # The command prints for itself, also while a bar is shown.
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
