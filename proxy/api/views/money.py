"""Money and instants as every view shows them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from proxy.ledger.rows import NEVER_US, NO_LIMIT
from proxy.money import Unit, usd_string

Usd = Annotated[
    str, Meta(description="US dollars as an exact decimal string.", examples=["0.000055", "10.00"])
]
When = Annotated[
    str, Meta(description="An instant: RFC 3339 in UTC.", extra_json_schema={"format": "date-time"})
]
Display = Annotated[
    dict[str, str],
    Meta(
        description="The configured unit, and the object's amounts in it; absent when the unit is US dollars."
    ),
]

Bar = int | Literal["none"] | None
"""A limit on a count; `none` is no limit, null is the default."""

UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(at_us: int) -> str:
    """An instant as RFC 3339 in UTC; microseconds are shown if there are any."""
    return (UNIX_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


def expiry(at_us: int) -> str | None:
    """As `instant`, None for an expiry that never comes."""
    return None if at_us >= NEVER_US else instant(at_us)


def display(unit: Unit, **amounts_nano: int | None) -> dict[str, str] | UnsetType:
    """Amounts in the configured unit; UNSET if that is US dollars."""
    if unit.name == "usd":
        return UNSET
    shown = {name: unit.show(nano) for name, nano in amounts_nano.items() if nano is not None}
    return {"unit": unit.name, **shown}


def money_bar(limit_nano: int | None) -> str | None:
    """A limit on money; `none` is no limit, null is the default."""
    if limit_nano is None:
        return None
    return "none" if limit_nano == NO_LIMIT else usd_string(limit_nano)


def bar(limit: int | None) -> Bar:
    """A limit on a count."""
    return "none" if limit == NO_LIMIT else limit
