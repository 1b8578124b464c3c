"""A report that comes in pages is whole, or it is refused."""

import json
from collections.abc import Callable
from typing import Any

import click
import pytest

from proxy.cli.pages import TRIES, whole_usage


def row(group: str, charged: str, requests: int = 1) -> dict[str, Any]:
    return {"group": group, "charged": charged, **figures(requests)}


def figures(requests: int) -> dict[str, int]:
    tokens = {"input_tokens": 2 * requests, "cached_input_tokens": 0, "output_tokens": 3 * requests}
    return {"requests": requests, **tokens}


def page(*rows: dict[str, Any], total: tuple[str, int], cursor: str | None) -> bytes:
    body = {"data": rows, "has_more": bool(cursor), "next_cursor": cursor}
    return json.dumps({**body, "total": {"charged": total[0], **figures(total[1])}}).encode()


def served(*answers: bytes) -> tuple[Callable[[str | None], bytes], list[str | None]]:
    """These answers, one after the other, and the cursors that were asked with."""
    asked: list[str | None] = []

    def page_after(cursor: str | None) -> bytes:
        asked.append(cursor)
        return answers[(len(asked) - 1) % len(answers)]

    return page_after, asked


def test_one_page_is_the_answer_as_it_is() -> None:
    for only in (page(row("a", "1.00"), total=("1.00", 1), cursor=None), b"not a page", b"[]"):
        page_after, asked = served(only)
        assert (whole_usage(page_after), asked) == (only, [None])


def test_the_rows_of_all_pages_are_one_answer() -> None:
    total = ("0.60", 3)
    page_after, asked = served(
        page(row("a", "0.30"), total=total, cursor="x"),
        page(row("b", "0.20"), total=total, cursor="y"),
        page(row("c", "0.10"), total=total, cursor=None),
    )
    whole = json.loads(whole_usage(page_after))
    assert [each["group"] for each in whole["data"]] == ["a", "b", "c"]
    assert (whole["has_more"], whole["next_cursor"], whole["total"]["charged"]) == (False, None, "0.60")
    assert asked == [None, "x", "y"]


def test_pages_between_which_a_call_ended_are_read_again() -> None:
    """A group that became dearer was passed over: its rows would not sum to the total."""
    page_after, asked = served(
        page(row("a", "0.30"), total=("0.50", 2), cursor="x"),
        page(total=("0.70", 3), cursor=None),
        page(row("b", "0.40", 2), total=("0.70", 3), cursor="y"),
        page(row("a", "0.30"), total=("0.70", 3), cursor=None),
    )
    assert [each["group"] for each in json.loads(whole_usage(page_after))["data"]] == ["b", "a"]
    assert asked == [None, "x", None, "y"]


def test_pages_that_never_add_up_are_refused() -> None:
    page_after, asked = served(
        page(row("a", "0.30"), total=("0.50", 2), cursor="x"), page(total=("0.70", 3), cursor=None)
    )
    with pytest.raises(click.ClickException, match="days that have ended"):
        whole_usage(page_after)
    assert len(asked) == 2 * TRIES
