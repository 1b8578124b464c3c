"""The log: lines that are whole, whatever is in them and however many processes write."""

import json
import os
import subprocess
import sys

import pytest
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer

from proxy.logs import LINE_BYTES, LineRenderer
from tests.sources import ROOT

LONG = "x" * 20_000
EVENTS: list[dict[str, object]] = [
    {"event": "refused", "code": "not_found"},
    {"event": "task failed", "exception": f"Traceback\n{LONG}\nValueError: the end"},
    {"event": "refused", "model": "\u20ac\U0001f600" * 5_000, "path": LONG},
    {"event": LONG},
    {"event": "calls", "many": list(range(5_000))},
    {"event": "\ud800" * 4_000},
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_is_short_enough_for_one_write(event: dict[str, object], style: str) -> None:
    """A pipe takes it whole or not at all, and what decides is still in it."""
    renderer = JSONRenderer() if style == "json" else ConsoleRenderer(colors=False)
    line = LineRenderer(renderer)(None, "info", {"level": "info", "request_id": "req_1", **event})
    assert len(line.encode("utf-8", "backslashreplace")) < LINE_BYTES
    assert "req_1" in line
    if style == "json":
        assert json.loads(line)["level"] == "info"
    if "exception" in event:
        assert "Traceback" in line
        assert "the end" in line


WRITER = """
import sys
from proxy.logs import configure_logging
import logging, structlog
configure_logging("info", "json")
log = structlog.get_logger("test")
for number in range(400):
    log.info("refused", writer=sys.argv[1], number=number, model="m" * (number * 13 % 6000))
    logging.getLogger("asyncio").warning("number %d", number)
"""


def test_lines_of_several_processes_never_mix() -> None:
    """Each line that several write to one pipe is whole, also those of libraries."""
    read, write = os.pipe()
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, str(number)], stderr=write, cwd=ROOT) for number in range(4)]
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        lines = [json.loads(line) for line in pipe.read().splitlines()]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(lines) == 4 * 2 * 400
    assert {line["event"] for line in lines} >= {"refused", "number 399"}
    assert {line["logger"] for line in lines if line["event"] != "refused"} == {"asyncio"}
