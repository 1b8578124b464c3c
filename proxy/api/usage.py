"""Usage by day, model, key or account: the days of a query, its pages, and the views of the sums."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from proxy.api.decode import invalid
from proxy.api.paging import Cursor, bad_cursor, page_of, place_of
from proxy.api.pieces import in_order
from proxy.api.reader import SUM_BYTES, Reader, UsageGroup, UsageSum
from proxy.api.usage_sums import Sums, usage_sums
from proxy.api.views.money import Display, Usd, display
from proxy.call.off_loop import off_loop
from proxy.ledger.windows import EPOCH
from proxy.money import Unit, usd_string
from proxy.validation import wants

_Rank = tuple[int, str]

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30
MAX_GROUPS: Final = 1000
"""How many groups a page has at most."""

GroupLimit = Annotated[int, wants(f"a whole number from 1 to {MAX_GROUPS}", ge=1, le=MAX_GROUPS)]
EndUser = Annotated[str, wants("an end user", min_length=1, max_length=256)]
MetadataKey = Annotated[
    str,
    wants("the name of a member of metadata: letters, digits, _ - and .", pattern=r"^[A-Za-z_][\w.-]{0,63}$"),
]
Day = Annotated[date, wants("a UTC day such as 2030-01-31")]


class UsageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The days, both ends included, the grouping, and the page. The default is the last 30 days, by day.

    As CSV it has all groups, whatever `limit` is. By `metadata` it is grouped by what the member
    `metadata_key` says. What is only of an `end_user`, or by one, or by metadata, is summed from receipts.
    """

    start_date: Day | None = None
    end_date: Day | None = None
    group_by: Literal["day", "month", "model", "key", "end_user", "metadata"] = "day"
    metadata_key: MetadataKey | None = None
    end_user: EndUser | None = None
    limit: GroupLimit = MAX_GROUPS
    cursor: Cursor | None = None
    format: Literal["json", "csv"] = "json"


class AdminUsageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As the account's own query, over all accounts or one of them."""

    start_date: Day | None = None
    end_date: Day | None = None
    group_by: UsageGroup = "day"
    metadata_key: MetadataKey | None = None
    end_user: EndUser | None = None
    account_id: str | None = None
    limit: GroupLimit = MAX_GROUPS
    cursor: Cursor | None = None


class UsageTotalView(Struct, frozen=True, kw_only=True):
    """The usage and charges of calls. Cached input is part of the input; void calls are not counted."""

    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    total_tokens: int
    charged: Usd
    display: Display | UnsetType = UNSET


class UsageGroupView(UsageTotalView, frozen=True, kw_only=True):
    """The total of one group: a UTC day or month, a model, an end user, or the id of a key or account.

    What is of no end user, or has no such metadata, is in a group without a name.
    """

    group: str


class DailyUsageView(Struct, frozen=True, kw_only=True):
    """The tokens of one UTC day, and what they and all else cost: an exact number of US dollars."""

    date: date
    requests: int
    total_tokens: int
    cost: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]


class UsageView(Struct, frozen=True, kw_only=True):
    """A page of usage by group: days in order, others dearest first.

    `total` is of all groups, whichever are on the page. `next_cursor` leads to the rest, and is null on the
    last page: the rows of all pages sum to the total, unless a call has ended between two pages. `daily` has
    each day with usage, however it is grouped.
    """

    object: Literal["usage"] = "usage"
    start_date: date
    end_date: date
    group_by: UsageGroup
    data: list[UsageGroupView]
    has_more: bool
    next_cursor: str | None
    total: UsageTotalView
    daily: list[DailyUsageView]


async def usage_report(
    reader: Reader,
    query: UsageQuery | AdminUsageQuery,
    *,
    account_id: str,
    unit: Unit,
    now_us: int,
    whole: bool = False,
) -> UsageView:
    """A page of the usage of a query, or the `whole` of it; an empty `account_id` sums over all.

    Raises Refusal `invalid_value`.
    """
    first, last = days_of(query, now_us)
    after = _rank_after(query)
    days = ((first - EPOCH).days, (last - EPOCH).days)
    found = await usage_sums(reader, query, account_id=account_id, days=days)
    build = partial(_report, query, found, (first, last), after, unit=unit, whole=whole)
    return await off_loop(len(found.groups) * SUM_BYTES, build)


def _report(
    query: UsageQuery | AdminUsageQuery,
    found: Sums,
    days: tuple[date, date],
    after: _Rank | None,
    *,
    unit: Unit,
    whole: bool,
) -> UsageView:
    """The page of a query's sums that comes after a group."""
    sums = found.groups
    rest = in_order([one for one in sums if after is None or _rank(one) > after], _rank)
    limit = len(rest) if whole else query.limit
    page = page_of(rest, limit, lambda one: _group_view(one, query.group_by, unit), _place)
    return UsageView(
        start_date=days[0],
        end_date=days[1],
        group_by=query.group_by,
        data=page.data,
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        total=_total_view(sums, unit),
        daily=[_daily_view(one) for one in found.daily],
    )


def _daily_view(one: UsageSum) -> DailyUsageView:
    return DailyUsageView(
        date=EPOCH + timedelta(days=int(one.group)),
        requests=one.requests,
        total_tokens=one.input_tokens + one.output_tokens,
        cost=msgspec.Raw(usd_string(one.charged_nano).encode()),
    )


def _rank(one: UsageSum) -> _Rank:
    """Where a group comes: days in order, others dearest first, and by name where they cost the same."""
    return (one.group, "") if isinstance(one.group, int) else (-one.charged_nano, one.group)


def _place(one: UsageSum) -> str:
    return msgspec.json.encode(_rank(one)).decode()


def _rank_after(query: UsageQuery | AdminUsageQuery) -> _Rank | None:
    """The last group of the page before, None for the first page. Raises Refusal `invalid_value`."""
    place = place_of(query, str)
    if place is None:
        return None
    try:
        rank: _Rank = msgspec.json.decode(place, type=_Rank)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise bad_cursor(query) from None
    return rank


def days_of(query: UsageQuery | AdminUsageQuery, now_us: int) -> tuple[date, date]:
    """The first and last day of a query. Raises Refusal `invalid_value` for no days or too many."""
    last = query.end_date or datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
    earliest = max(EPOCH.toordinal(), last.toordinal() - DEFAULT_DAYS + 1)
    first = query.start_date or date.fromordinal(earliest)
    if first < EPOCH:
        raise invalid("start_date", first, f"it has to be {EPOCH} or later")
    if last < first:
        raise invalid("end_date", last, f"it has to be {first} or later, where the range starts")
    if (last - first).days >= MAX_DAYS:
        raise invalid(
            "start_date", first, f"a range has at most {MAX_DAYS} days, and this one ends at {last}"
        )
    return first, last


def _group_view(one: UsageSum, group_by: UsageGroup, unit: Unit) -> UsageGroupView:
    name = str(EPOCH + timedelta(days=one.group)) if isinstance(one.group, int) else one.group
    name = name[:7] if group_by == "month" else name
    total = _total_view([one], unit)
    members = {member: getattr(total, member) for member in UsageTotalView.__struct_fields__}
    return UsageGroupView(group=name, **members)


def _total_view(sums: Sequence[UsageSum], unit: Unit) -> UsageTotalView:
    charged_nano = sum(one.charged_nano for one in sums)
    input_tokens = sum(one.input_tokens for one in sums)
    output_tokens = sum(one.output_tokens for one in sums)
    return UsageTotalView(
        requests=sum(one.requests for one in sums),
        input_tokens=input_tokens,
        cached_input_tokens=sum(one.cached_input_tokens for one in sums),
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
        charged=usd_string(charged_nano),
        display=display(unit, charged=charged_nano),
    )
