"""Work on many rows in pieces: of no answer, however large, does a step hold the event loop for long.

A thread alone is not enough, as it holds the interpreter for as long as one step of it takes: encoding ten
thousand rows at once would keep every call waiting from there as well.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from proxy.call.off_loop import LARGE_BYTES, in_thread

AT_ONCE: Final = 100
"""How many rows a piece has. Each takes up to 20 microseconds."""

SORTED_AT_ONCE: Final = 1_000

_Row = TypeVar("_Row")
_Made = TypeVar("_Made")
_encode: Final = msgspec.json.Encoder().encode


async def each(rows: list[_Row], make: Callable[[_Row], _Made]) -> list[_Made]:
    """What is made of each row, with other work of the loop in between.

    The list is empty afterwards: to let go of thousands of rows at once would be one long step.
    """
    made: list[_Made] = []
    rows.reverse()
    while rows:
        made.append(make(rows.pop()))
        if len(made) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return made


def in_order(rows: Sequence[_Row], key: Callable[[_Row], Any]) -> list[_Row]:
    """The rows by their keys. Threads can take turns while many are sorted, which they cannot in one go."""
    parts = (
        sorted(rows[place : place + SORTED_AT_ONCE], key=key) for place in range(0, len(rows), SORTED_AT_ONCE)
    )
    return list(merge(*parts, key=key))


async def encoded(reply: object) -> bytes:
    """The JSON of a reply. One with many rows is encoded in a thread, in pieces."""
    if not isinstance(reply, Struct) or _rows_in(reply) <= AT_ONCE:
        return _encode(reply)
    return await in_thread(LARGE_BYTES, lambda: _encode(_shortened(reply)))


def _rows_in(reply: Struct) -> int:
    """How many rows a reply has in its lists, and in those of their rows."""
    count = 0
    for _, rows in _lists_of(reply):
        count += len(rows)
        if rows and isinstance(rows[0], Struct):
            names = [name for name, _ in _lists_of(rows[0])]
            # What one row has another may leave out.
            lists = (getattr(row, name) for name in names for row in rows)
            count += sum(len(member) for member in lists if isinstance(member, list))
    return count


def _lists_of(value: Struct) -> list[tuple[str, list[Any]]]:
    members = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return [(name, member) for name, member in members if isinstance(member, list)]


def _shortened(value: Struct) -> Struct:
    """A value whose lists are JSON already, made of one piece after the other."""
    lists = {name: Raw(b"[" + b",".join(texts(rows)) + b"]") for name, rows in _lists_of(value)}
    return replace(value, **lists) if lists else value


def texts(rows: list[Any]) -> Iterator[bytes]:
    """The JSON of the rows, some at a time; those with lists of their own one by one."""
    if rows and isinstance(rows[0], Struct) and _lists_of(rows[0]):
        yield from (_encode(_shortened(row)) for row in rows)
    else:
        yield from (_encode(rows[place : place + AT_ONCE])[1:-1] for place in range(0, len(rows), AT_ONCE))
