"""farebox events: usage that did not pass the proxy, from a file."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from proxy.cli.api import Api, ApiError, Json
from proxy.cli.options import asks
from proxy.cli.output import Out
from proxy.cli.progress import step

PATH: Final = "/v1/billing/events"
AT_ONCE: Final = 100
"""How many events one request takes."""
SHOWN: Final = 50
"""How many rejected events are printed; JSON has all of them."""
_MEMBERS: Final = ("id", "type", "account", "timestamp", "run_id", "end_user")
_LITERAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null")
_PLAIN: Final = ("application/json", b'{"events":[', b"]}")
_CLOUD: Final = ("application/cloudevents-batch+json", b"[", b"]")


class Line(NamedTuple):
    """An event as JSON, and where it stands in its file."""

    number: int
    event: bytes


@click.group()
def events() -> None:
    """Usage that did not pass the proxy."""


@events.command("send")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@asks
def send_events(api: Api, out: Out, file: Path) -> None:
    """Send the events of FILE: JSON Lines, plain or CloudEvents, or CSV; exit code 1 if any was rejected.

    In CSV the columns beside id, type, account, timestamp, run_id and end_user are properties. To send a
    file again is harmless: what was charged before is not charged again.
    """
    counts: Counter[str] = Counter()
    rejected: list[Json] = []
    size = file.stat().st_size
    with file.open("rb") as stream, step("Sending events", size) as bar:
        for lines in _batches(_lines(file, stream)):
            try:
                answer = api.send(PATH, *_body(lines))
            except ApiError as fault:
                raise ApiError(f"Line {lines[0].number} and those after it were not sent: {fault}") from fault
            results = json.loads(answer)["data"]
            counts.update(result["status"] for result in results)
            rejected += (
                {"line": line.number, **result}
                for line, result in zip(lines, results, strict=True)
                if result["status"] == "rejected"
            )
            bar.reach(min(stream.tell(), size), size)
    summary = {
        "object": "events_sent",
        **{name: counts[name] for name in ("charged", "duplicate", "rejected")},
    }
    out.answer(json.dumps({**summary, "data": rejected}).encode(), _show)
    if rejected:
        raise SystemExit(1)


def _show(sent: Json) -> None:
    for result in sent["data"][:SHOWN]:
        error = result["error"]
        click.echo(f"line {result['line']}, event {result['id'] or '?'}: {error['message']}", err=True)
    more = len(sent["data"]) - SHOWN
    if more > 0:
        click.echo(f"There are {more} more: --json prints all.", err=True)
    click.echo(f"{sent['charged']} charged, {sent['duplicate']} known before, {sent['rejected']} rejected.")


def _lines(file: Path, stream: Any) -> Iterator[Line]:
    """The events of a file as JSON, whatever its form. Raises ApiError."""
    rows = ((number, raw.strip()) for number, raw in enumerate(iter(stream.readline, b""), 1))
    filled = (Line(number, raw) for number, raw in rows if raw)
    return _of_csv(filled) if file.suffix.lower() == ".csv" else map(_checked, filled)


def _checked(line: Line) -> Line:
    try:
        json.loads(line.event)
    except ValueError as fault:
        raise ApiError(f"Line {line.number} is not JSON: {fault}.") from None
    return line


def _of_csv(lines: Iterator[Line]) -> Iterator[Line]:
    head = next(lines, None)
    names = next(csv.reader([head.event.decode("utf-8-sig")]), []) if head else []
    if missing := [name for name in ("id", "type", "timestamp") if name not in names]:
        raise ApiError(f"The first line of the file names no column {', '.join(missing)}.")
    for number, raw in lines:
        values = next(csv.reader([raw.decode("utf-8", "replace")]))
        if len(values) != len(names):
            raise ApiError(f"Line {number} has {len(values)} columns, and the first one {len(names)}.")
        yield Line(number, _event(zip(names, values, strict=True)))


def _event(pairs: Iterable[tuple[str, str]]) -> bytes:
    """A row as an event. Numbers stay as they are written; what is empty is left out."""
    members: list[str] = []
    properties: list[str] = []
    for name, value in pairs:
        if not value:
            continue
        if name in _MEMBERS:
            members.append(f"{json.dumps(name)}:{json.dumps(value)}")
        else:
            literal = value if _LITERAL.fullmatch(value) else json.dumps(value)
            properties.append(f"{json.dumps(name)}:{literal}")
    members.append('"properties":{' + ",".join(properties) + "}")
    return ("{" + ",".join(members) + "}").encode()


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """So many events at once as a request takes, all of the same form."""
    for first in lines:
        yield [first, *islice(lines, AT_ONCE - 1)]


def _body(lines: list[Line]) -> tuple[bytes, str]:
    """The body of a request, and its type. The form of the first event is that of all."""
    kind, before, after = _CLOUD if b'"specversion"' in lines[0].event else _PLAIN
    return before + b",".join(chain(line.event for line in lines)) + after, kind
