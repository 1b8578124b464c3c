"""Usage by day, model, key or account: the days of a query, and the views of the sums."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.decode import invalid
from proxy.api.reader import Reader, UsageGroup, UsageSum
from proxy.api.views.money import Display, Usd, display
from proxy.ledger.windows import EPOCH
from proxy.money import Unit, usd_string
from proxy.validation import wants

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30
MAX_GROUPS: Final = 1000

Day = Annotated[date, wants("a UTC day such as 2030-01-31")]


class UsageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The days, both ends included, and the grouping. The default is the last 30 days, by day."""

    start_date: Day | None = None
    end_date: Day | None = None
    group_by: Literal["day", "model", "key"] = "day"


class AdminUsageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As the account's own query, over all accounts or one of them."""

    start_date: Day | None = None
    end_date: Day | None = None
    group_by: UsageGroup = "day"
    account_id: str | None = None


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
    """The total of one group: a UTC day, a model, or the id of a key or account."""

    group: str


class UsageView(Struct, frozen=True, kw_only=True):
    """Usage by group: days in order, others dearest first. `has_more`: the cheapest are left out."""

    object: Literal["usage"] = "usage"
    start_date: date
    end_date: date
    group_by: UsageGroup
    data: list[UsageGroupView]
    has_more: bool
    total: UsageTotalView


async def usage_report(
    reader: Reader, query: UsageQuery | AdminUsageQuery, *, account_id: str, unit: Unit, now_us: int
) -> UsageView:
    """The usage of a query; an empty `account_id` sums over all. Raises Refusal `invalid_value`."""
    first, last = days_of(query, now_us)
    sums = await reader.usage(
        query.group_by,
        account_id=account_id,
        first_day=(first - EPOCH).days,
        last_day=(last - EPOCH).days,
    )
    return UsageView(
        start_date=first,
        end_date=last,
        group_by=query.group_by,
        data=[_group_view(one, unit) for one in sums[:MAX_GROUPS]],
        has_more=len(sums) > MAX_GROUPS,
        total=_total_view(sums, unit),
    )


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


def _group_view(one: UsageSum, unit: Unit) -> UsageGroupView:
    name = str(EPOCH + timedelta(days=one.group)) if isinstance(one.group, int) else one.group
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
