"""Sums of usage by group: from the sums of days where these tell it, and else from receipts."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, Protocol

from msgspec import Struct

from proxy.api.call_sums import PACE, Pace, Stretch, events_summed, summed
from proxy.api.reader import SUM_BYTES, CallSum, Reader, UsageGroup, UsageSum
from proxy.call.off_loop import off_loop
from proxy.errors import Refusal
from proxy.ledger.windows import EPOCH

DAY_SECONDS: Final = 86_400
_FIGURES: Final = UsageSum.__struct_fields__[1:]


class Asked(Protocol):
    """The part of a query that says what is summed."""

    @property
    def group_by(self) -> UsageGroup:
        """What is told apart."""
        ...

    @property
    def metadata_key(self) -> str | None:
        """The member of the metadata that tells calls apart."""
        ...

    @property
    def end_user(self) -> str | None:
        """Whose calls alone are summed."""
        ...


class Sums(Struct, frozen=True):
    """Sums by group, and by day."""

    groups: Sequence[UsageSum]
    daily: Sequence[UsageSum]


async def usage_sums(
    reader: Reader, query: Asked, *, account_id: str, days: tuple[int, int], pace: Pace = PACE
) -> Sums:
    """The sums of a query from the first to the last of its days.

    Raises Refusal `invalid_value` for more calls than are read for one answer.
    """
    if query.metadata_key and query.group_by != "metadata":
        raise Refusal("invalid_value", "`metadata_key` is for `group_by=metadata`.", param="metadata_key")
    if query.group_by in ("end_user", "metadata") or query.end_user:
        return await _of_calls(reader, query, account_id, days, pace)
    span = {"first_day": days[0], "last_day": days[1]}
    daily = await reader.usage("day", account_id=account_id, **span)
    if query.group_by in ("day", "month"):
        return Sums(daily if query.group_by == "day" else months_of(daily), daily)
    return Sums(await reader.usage(query.group_by, account_id=account_id, **span), daily)


def months_of(days: Iterable[UsageSum]) -> list[UsageSum]:
    """The sums of days by month, each under the number of its first day."""
    return _merged(days, lambda one: _month(int(one.group)))


async def _of_calls(reader: Reader, query: Asked, account_id: str, days: tuple[int, int], pace: Pace) -> Sums:
    """The sums of calls themselves: only these say for whom they were, and what is in their metadata."""
    if query.group_by == "metadata" and not query.metadata_key:
        raise Refusal("invalid_value", "`metadata_key` says by what.", param="metadata_key")
    stretch = Stretch(
        start_us=days[0] * DAY_SECONDS * 1_000_000,
        end_us=(days[1] + 1) * DAY_SECONDS * 1_000_000,
        width_seconds=DAY_SECONDS,
        by_key=query.group_by == "key",
        by_model=query.group_by == "model",
        by_end_user=query.group_by == "end_user",
        metadata_key=query.metadata_key or "",
        end_user=query.end_user or "",
    )
    sums, reached_us = await summed(reader, stretch, account_id=account_id, pace=pace)
    events, is_whole = await events_summed(reader, stretch, account_id=account_id, pace=pace)
    if reached_us < stretch.end_us or not is_whole:
        raise Refusal(
            "invalid_value",
            f"Ask for fewer days: these have more than {pace.most} calls.",
            param="start_date",
        )
    sums += events
    return await off_loop(len(sums) * SUM_BYTES, lambda: _grouped(query, sums))


def _grouped(query: Asked, sums: Sequence[CallSum]) -> Sums:
    """The sums of calls by what the query groups them by."""
    daily = _merged((_usage_sum(one, one.bucket) for one in sums), lambda one: one.group)
    if query.group_by in ("day", "month"):
        return Sums(daily if query.group_by == "day" else months_of(daily), daily)
    name = {"key": "key_id", "model": "model", "account": "account_id"}.get(query.group_by, "label")
    named = (_usage_sum(one, getattr(one, name)) for one in sums)
    return Sums(_merged(named, lambda one: one.group), daily)


def _usage_sum(one: CallSum, group: int | str) -> UsageSum:
    return UsageSum(group, *(getattr(one, name) for name in _FIGURES))


def _merged(sums: Iterable[UsageSum], group_of: Callable[[UsageSum], int | str]) -> list[UsageSum]:
    groups: dict[int | str, list[UsageSum]] = {}
    for one in sums:
        groups.setdefault(group_of(one), []).append(one)
    return [
        UsageSum(group, *(sum(getattr(one, name) for one in ones) for name in _FIGURES))
        for group, ones in groups.items()
    ]


def _month(day: int) -> int:
    return ((EPOCH + timedelta(days=day)).replace(day=1) - EPOCH).days
