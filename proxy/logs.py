"""The log: structured lines on standard error, each of them one write."""

import contextlib
import logging
import os
import sys
from typing import Any, Final, Literal, TextIO, cast

import structlog

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LINE_BYTES: Final = 4_096
"""How much Linux takes at once of what several processes write to one pipe."""
LINE_CUTS: Final = 64
"""How often a line is shortened at most; no line of ours needs a tenth of that."""
CUT_MARK: Final = " [...] "


def configure_logging(level: str, style: Literal["json", "console"]) -> None:
    """Write structured lines to standard error, one for each event. No secret is ever given to it."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            LineRenderer(renderer),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,
    )
    # What libraries tell the standard library's log takes the same way; a log that is set up already stays.
    logging.basicConfig(handlers=[_Forwarder()], level=logging.WARNING)
    # aiohttp logs malformed requests through the standard library; they are the clients' faults, not ours.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class _Forwarder(logging.Handler):
    """Makes lines of ours of what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


class LineRenderer:
    """Renders an event as one line that a pipe takes at once, so that lines of several processes never mix.

    A longer one loses the middle of its longest text, which is a traceback as a rule.
    """

    def __init__(self, renderer: structlog.types.Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: object, method: str, event: structlog.types.EventDict) -> str:
        """The line, without its end."""
        line = self._rendered(logger, method, event)
        for _ in range(LINE_CUTS):
            if len(line.encode("utf-8", "backslashreplace")) < LINE_BYTES:
                break
            name, text = max(
                ((name, str(value)) for name, value in event.items()), key=lambda each: len(each[1])
            )
            kept = len(text) // 3
            event = {**event, name: f"{text[:kept]}{CUT_MARK}{text[-kept:] if kept else ''}"}
            line = self._rendered(logger, method, event)
        return line

    def _rendered(self, logger: object, method: str, event: structlog.types.EventDict) -> str:
        # A renderer takes out what it renders first, and consoles show texts over several lines.
        line: Any = self._renderer(logger, method, {**event})
        return str(line)


class _StandardError:
    """Standard error, one write for each line. A full disk or a closed pipe loses lines and stops nothing."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Nothing waits."""
