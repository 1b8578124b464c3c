"""A report that comes in pages, put together."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import click

from proxy.cli.api import Json

TRIES: Final = 3
_COUNTS: Final = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")


def whole_usage(page_after: Callable[[str | None], bytes]) -> bytes:
    """The answer of the usage API with the rows of all pages, as if there were one.

    Its rows sum to its total. Calls that end while several pages are read may move groups between them; all
    are read again then. An answer without a next page is returned as it is. Raises click.ClickException for
    pages that do not add up, and what `page_after` raises.
    """
    for _ in range(TRIES):
        first = page_after(None)
        cursor = _cursor(first)
        if not cursor:
            return first
        pages = [json.loads(first)]
        while cursor:
            body = page_after(cursor)
            cursor = _cursor(body)
            pages.append(json.loads(body))
        rows = [row for page in pages for row in page["data"]]
        if _sums(rows) == _sums([pages[-1]["total"]]):
            return json.dumps({**pages[-1], "data": rows}).encode()
    raise click.ClickException("Calls end while the pages are read. Ask for days that have ended.")


def _cursor(body: bytes) -> str | None:
    """What leads to the next page; None where there is none, or no page at all."""
    try:
        page = json.loads(body)
    except ValueError:
        return None
    return page.get("next_cursor") if isinstance(page, dict) else None


def _sums(rows: list[Json]) -> tuple[object, ...]:
    charged = sum((Decimal(row["charged"]) for row in rows), Decimal(0))
    return (charged, *(sum(row[name] for row in rows) for name in _COUNTS))
