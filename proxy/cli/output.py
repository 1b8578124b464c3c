"""The output of commands: tables for people, the API's JSON for machines."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.cli.api import Json

Cell = Callable[[Json], str]

PIPED_WIDTH: Final = 1_000
"""The width without a terminal: enough that no id is ever cut."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and the function that makes a cell of a row."""

    heading: str
    cell: Cell
    right: bool = False


def field(name: str) -> Cell:
    """A cell that shows one member; empty if it is null."""
    return lambda row: shown(row.get(name))


def money(name: str) -> Column:
    """A column of amounts in US dollars, and in the configured unit if there is one."""
    return Column(name.replace("_", " "), lambda row: amount(row, name), right=True)


def plain(*names: str) -> tuple[Column, ...]:
    """Columns that show members as they are."""
    return tuple(Column(name.replace("_", " "), field(name)) for name in names)


def amount(row: Json, name: str) -> str:
    """One amount of a row: `10.00`, or `10.00 (100000.00 credits)`; empty if it is null."""
    value = row.get(name)
    if value is None:
        return ""
    display = row.get("display") or {}
    return f"{value} ({display[name]} {display['unit']})" if name in display else str(value)


def shown(value: object) -> str:
    """A value for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(shown, value))
        case dict():
            return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items())
    return str(value)


def console(*, stderr: bool = False) -> Console:
    """The console of tables. Values are not markup, and a pipe does not fold lines."""
    found = Console(stderr=stderr, markup=False, highlight=False)
    return (
        found
        if found.is_terminal
        else Console(stderr=stderr, markup=False, highlight=False, width=PIPED_WIDTH)
    )


def print_table(rows: Iterable[Json], columns: Sequence[Column], *, title: str | None = None) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(column.cell(row)) for column in columns))
    console().print(table)


def print_members(pairs: Iterable[tuple[str, str]]) -> None:
    """Print one object, a member to a line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(value))
    console().print(table)


class Out:
    """The output of a command: the API's JSON as it came, or a table for people."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def answer(self, body: bytes, show: Callable[[Any], None]) -> None:
        """Print one answer of the API. Raises click.ClickException if it is not an answer of Farebox."""
        if self._as_json:
            click.echo(body)
            return
        try:
            show(json.loads(body))
        except (ValueError, LookupError, TypeError, AttributeError) as fault:
            raise click.ClickException(
                "The answer is not one of Farebox; is this the address of a server of this version?"
            ) from fault

    def listing(self, body: bytes, columns: Sequence[Column]) -> None:
        """Print a page of a list. The cursor of the next goes to standard error."""

        def show(page: Json) -> None:
            print_table(page["data"], columns)
            if page.get("next_cursor"):
                click.echo(f"There is more: --cursor {page['next_cursor']}", err=True)

        self.answer(body, show)
