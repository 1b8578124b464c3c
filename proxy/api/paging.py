"""Pages of lists. A cursor says where the page before ended, so rows added meanwhile shift nothing."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct

from proxy.api.decode import invalid
from proxy.errors import Refusal
from proxy.validation import wants

Row = TypeVar("Row")
View = TypeVar("View")

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_CURSOR_LENGTH: Final = 500

PlaceKind = TypeVar("PlaceKind", str, int)
"""The place of a row in its list: its id, since ids sort by time, or its number."""

LAST_NUMBER: Final = 2**62

Cursor = Annotated[str, wants("the `next_cursor` of the page before", max_length=MAX_CURSOR_LENGTH)]


class Paged(Protocol):
    """A query of a list that has pages."""

    @property
    def cursor(self) -> str | None:
        """The `next_cursor` of the page before."""
        ...


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows of a list, and after which place."""

    limit: Annotated[int, wants("a whole number from 1 to 100", ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: Cursor | None = None


class Page(Struct, Generic[View], frozen=True):
    """One page of a list; `next_cursor` is null on the last."""

    data: list[View]
    has_more: bool
    next_cursor: str | None
    object: Literal["list"] = "list"


def place_of(query: Paged, kind: type[PlaceKind]) -> PlaceKind | None:
    """The place before the page, None for the first. Raises Refusal `invalid_value` for a bad cursor."""
    if query.cursor is None:
        return None
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        place = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, ValueError):
        place = None
    is_place = "\0" not in place if isinstance(place, str) else 0 <= (place or 0) <= LAST_NUMBER
    if place is None or not is_place:
        raise bad_cursor(query)
    return place


def bad_cursor(query: Paged) -> Refusal:
    """The refusal of a cursor that no page has ended with."""
    return invalid("cursor", query.cursor, "send the `next_cursor` of the page before, as it is")


def page_of(
    rows: Sequence[Row], limit: int, view: Callable[[Row], View], place: Callable[[Row], str | int]
) -> Page[View]:
    """A page of the first `limit` rows. One row more than that means that another page follows."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page([view(row) for row in shown], more, cursor_of(place(shown[-1])) if more else None)


def continued(page: Page[View], place: str | int) -> Page[View]:
    """A page whose search ended at `place`, after which the next begins. It may have no rows."""
    return Page(page.data, has_more=True, next_cursor=cursor_of(place))


def cursor_of(place: str | int) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")
