"""GET /v1/organization/usage/...: what calls used by day, hour or minute, as OpenAI's clients ask for it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Struct, field

from proxy.api.billing.usage_shapes import FAMILIES, UsageFamily, UsageResult, UsageView
from proxy.api.call_sums import PACE, Pace, Stretch, summed
from proxy.api.decode import invalid
from proxy.api.operations import Nothing, Operation
from proxy.api.pieces import in_order
from proxy.api.reader import SUM_BYTES, CallSum, Reader
from proxy.api.usage import EndUser
from proxy.call.off_loop import off_loop
from proxy.errors import Refusal
from proxy.validation import wants

PATH: Final = "/v1/organization/usage"
WIDTHS: Final = {"1m": (60, 60, 1_440), "1h": (3_600, 24, 168), "1d": (86_400, 7, 31)}
"""How many seconds a bucket is wide, how many a page has, and how many it may have."""
Seconds = Annotated[int, wants("seconds since 1970 in UTC", ge=0, le=253_402_300_799)]
Group = Literal["project_id", "user_id", "api_key_id", "model", "end_user"]
Ids = Annotated[list[str], wants("a list of at most 100 ids", max_length=100)]


class OrganizationUsageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From when to when, in which width, and what usage is told apart by, in the words of OpenAI's API.

    A project is an account here, and so is a user; whom an account made a call for is its end user. A page
    has 7 days, 24 hours or 60 minutes where `limit` says nothing, and at most 31, 168 or 1440.
    """

    start_time: Seconds
    end_time: Seconds | None = None
    bucket_width: Literal["1m", "1h", "1d"] = "1d"
    group_by: list[Group] = field(default_factory=list)
    project_ids: Ids = field(default_factory=list)
    user_ids: Ids = field(default_factory=list)
    api_key_ids: Ids = field(default_factory=list)
    models: Ids = field(default_factory=list)
    end_user: EndUser | None = None
    limit: Annotated[int, wants("a whole number from 1 to 1440", ge=1, le=1_440)] | None = None
    page: str | None = None


def _operation(family: UsageFamily) -> Operation[OrganizationUsageQuery, Nothing, Any]:
    return Operation(
        id=f"organization_usage_{family.name}",
        method="GET",
        path=f"{PATH}/{family.name}",
        summary=f"{family.summary}, in the shape of OpenAI's API.",
        audience="account",
        reply=family.view,
        query=OrganizationUsageQuery,
        body=Nothing,
    )


OPERATIONS: Final = {family.name: _operation(family) for family in FAMILIES}
"""By the name of the family."""


class _Span(Struct, frozen=True):
    """The buckets of a page, by number: from `first` on, before `end`. The query's are before `last`."""

    width_seconds: int
    first: int
    end: int
    last: int


async def usage_page(
    reader: Reader,
    family: UsageFamily,
    query: OrganizationUsageQuery,
    *,
    account_id: str,
    now_us: int,
    pace: Pace = PACE,
) -> UsageView:
    """A page of usage; an empty `account_id` is that of all accounts. Raises Refusal `invalid_value`."""
    span = _span(query, now_us)
    wanted = _wanted_account(query, account_id)
    sums: list[CallSum] = []
    if wanted is not None:
        sums, end = await _sums(reader, query, span, account_id=wanted, pace=pace)
        span = _Span(span.width_seconds, span.first, end, span.last)
    return await off_loop(len(sums) * SUM_BYTES, lambda: _view(family, query, span, sums))


def _view(
    family: UsageFamily, query: OrganizationUsageQuery, span: _Span, sums: Iterable[CallSum]
) -> UsageView:
    """The buckets of a page."""
    by_bucket: dict[int, list[CallSum]] = defaultdict(list)
    for one in sums:
        if one.bucket < span.end and one.endpoint in family.endpoints and _is_wanted(one, query):
            by_bucket[one.bucket].append(one)
    has_more = span.end < span.last
    width = span.width_seconds
    view: UsageView = family.view(
        data=[
            family.bucket(
                start_time=number * width,
                end_time=(number + 1) * width,
                results=_results(family, by_bucket[number], query),
            )
            for number in range(span.first, span.end)
        ],
        has_more=has_more,
        next_page=f"page_{span.end * width}" if has_more else None,
    )
    return view


def not_served(name: str) -> Refusal:
    """The refusal of usage that calls do not tell."""
    served = ", ".join(OPERATIONS)
    return Refusal("not_found", f"Usage of {name} is not metered here. There is usage of {served}.")


def _span(query: OrganizationUsageQuery, now_us: int) -> _Span:
    width, usual, most = WIDTHS[query.bucket_width]
    limit = usual if query.limit is None else query.limit
    if limit > most:
        raise invalid("limit", limit, f"a page has at most {most} buckets of {query.bucket_width}")
    start = query.start_time // width
    end = now_us // 1_000_000 // width + 1
    if query.end_time is not None:
        end = min(end, -(-query.end_time // width))
        if query.end_time <= query.start_time:
            raise invalid("start_time", query.start_time, "it has to be before the end")
    if end <= start:
        return _Span(width, start, start, start)
    first = start
    if query.page is not None:
        number = query.page.removeprefix("page_")
        first = int(number) // width if number.isascii() and number.isdigit() and len(number) <= 12 else -1
        if not start <= first < end:
            raise invalid("page", query.page, "send the `next_page` of the page before, as it is")
    return _Span(width, first, min(end, first + limit), end)


def _wanted_account(query: OrganizationUsageQuery, account_id: str) -> str | None:
    """The account whose calls are read, empty for all; None if the filters leave none."""
    filters = [set(ids) for ids in (query.project_ids, query.user_ids) if ids]
    if not filters:
        return account_id
    left = set.intersection(*filters)
    if account_id:
        return account_id if account_id in left else None
    return (next(iter(left)) if len(left) == 1 else "") if left else None


async def _sums(
    reader: Reader, query: OrganizationUsageQuery, span: _Span, *, account_id: str, pace: Pace
) -> tuple[list[CallSum], int]:
    """The sums of a page, and the bucket before which it ends: the last that is whole."""
    width_us = span.width_seconds * 1_000_000
    stretch = Stretch(
        start_us=span.first * width_us,
        end_us=span.end * width_us,
        width_seconds=span.width_seconds,
        by_key="api_key_id" in query.group_by or bool(query.api_key_ids),
        by_model="model" in query.group_by or bool(query.models),
        by_end_user="end_user" in query.group_by,
        end_user=query.end_user or "",
    )
    sums, reached_us = await summed(reader, stretch, account_id=account_id, pace=pace)
    end = min(span.end, reached_us // width_us)
    if end <= span.first < span.end:
        right = f"one bucket has more than {pace.most} calls: ask for narrower ones"
        raise invalid("bucket_width", query.bucket_width, right)
    return sums, end


def _is_wanted(one: CallSum, query: OrganizationUsageQuery) -> bool:
    filters = (
        (query.project_ids, one.account_id),
        (query.user_ids, one.account_id),
        (query.api_key_ids, one.key_id),
        (query.models, one.model),
    )
    return all(not wanted or found in wanted for wanted, found in filters)


def _results(
    family: UsageFamily, sums: Iterable[CallSum], query: OrganizationUsageQuery
) -> list[UsageResult]:
    """One result for each group; those that used nothing are left out."""
    groups: dict[tuple[str | None, ...], Mapping[str, int]] = {}
    for one in sums:
        by = (
            one.account_id if "project_id" in query.group_by else None,
            one.account_id if "user_id" in query.group_by else None,
            one.key_id if "api_key_id" in query.group_by else None,
            one.model if "model" in query.group_by else None,
            (one.label or None) if "end_user" in query.group_by else None,
        )
        figures = family.figures(one)
        before = groups.get(by, {})
        groups[by] = {name: before.get(name, 0) + figure for name, figure in figures.items()}
    names = ("project_id", "user_id", "api_key_id", "model", "end_user")
    return [
        family.result(**figures, **dict(zip(names, by, strict=True)))
        for by, figures in in_order(list(groups.items()), lambda group: [str(part) for part in group[0]])
        if any(figures.values())
    ]
