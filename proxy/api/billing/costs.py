"""GET /v1/organization/costs: what an account was charged by day, as OpenAI's clients ask for it."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Struct

from proxy.api.decode import invalid
from proxy.api.operations import Nothing, Operation
from proxy.api.pieces import in_order
from proxy.api.reader import SUM_BYTES, CostSum, Reader
from proxy.call.off_loop import off_loop
from proxy.money import usd_string
from proxy.validation import wants

DAY_SECONDS: Final = 86_400
MAX_BUCKETS: Final = 180
MAX_RESULTS: Final = 10_000
"""How many results all buckets of a page may have."""
_PAGE: Final = re.compile(r"page_([0-9]{1,10})")

Seconds = Annotated[int, wants("seconds since 1970 in UTC", ge=0, le=253_402_300_799)]
Group = Literal["project_id", "user_id", "line_item", "api_key_id"]


class CostsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From when to when, in UTC days, and what costs are told apart by, in the words of OpenAI's API.

    A project is an account here, and so is a user; a line item is a model or a tool.
    """

    start_time: Seconds
    end_time: Seconds | None = None
    bucket_width: Literal["1d"] = "1d"
    group_by: list[Group] = []
    project_ids: list[str] = []
    api_key_ids: list[str] = []
    line_items: list[str] = []
    limit: Annotated[int, wants(f"a whole number from 1 to {MAX_BUCKETS}", ge=1, le=MAX_BUCKETS)] = 7
    page: str | None = None


class AmountView(Struct, frozen=True):
    """US dollars, as an exact number."""

    value: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]
    currency: Literal["usd"] = "usd"


class CostView(Struct, frozen=True, kw_only=True):
    """What was charged; what it is not grouped by is null."""

    object: Literal["organization.costs.result"] = "organization.costs.result"
    amount: AmountView
    line_item: str | None
    project_id: str | None
    api_key_id: str | None
    user_id: str | None
    quantity: None = None
    quantity_unit: None = None


class CostsBucketView(Struct, frozen=True, kw_only=True):
    """The costs of one UTC day, dearest first."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[CostView]


class CostsView(Struct, frozen=True, kw_only=True):
    """A page of days, in order; `next_page` leads to the rest."""

    object: Literal["page"] = "page"
    data: list[CostsBucketView]
    has_more: bool
    next_page: str | None


COSTS: Final = Operation(
    id="organization_costs",
    method="GET",
    path="/v1/organization/costs",
    summary="What the account was charged by UTC day, model and key, in the shape of OpenAI's API.",
    audience="account",
    reply=CostsView,
    query=CostsQuery,
    body=Nothing,
)


async def costs_page(reader: Reader, query: CostsQuery, *, account_id: str, now_us: int) -> CostsView:
    """A page of an account's costs, or of all if its id is empty. Raises Refusal `invalid_value`."""
    first, end = _days(query, now_us)
    last = min(end, first + query.limit) - 1
    sums = await reader.costs(
        account_id=account_id,
        first_day=first,
        last_day=last,
        by_key="api_key_id" in query.group_by or bool(query.api_key_ids),
        by_model="line_item" in query.group_by or bool(query.line_items),
        limit=MAX_RESULTS + 1,
    )
    if len(sums) > MAX_RESULTS:
        raise invalid("limit", query.limit, f"ask for fewer days: they have more than {MAX_RESULTS} results")
    return await off_loop(len(sums) * SUM_BYTES, lambda: _view(query, sums, range(first, last + 1), end))


def _view(query: CostsQuery, sums: Sequence[CostSum], days: range, end: int) -> CostsView:
    """The buckets of a page of days, of those before `end`."""
    by_day: dict[int, list[CostSum]] = defaultdict(list)
    for one in sums:
        by_day[one.day].append(one)
    has_more = end > days.stop
    return CostsView(
        data=[_bucket(day, by_day[day], query) for day in days],
        has_more=has_more,
        next_page=f"page_{days.stop * DAY_SECONDS}" if has_more else None,
    )


def _days(query: CostsQuery, now_us: int) -> tuple[int, int]:
    """The first day of the page, and the day after the last of the query."""
    start = query.start_time // DAY_SECONDS
    end = now_us // 1_000_000 // DAY_SECONDS + 1
    if query.end_time is not None:
        end = -(-query.end_time // DAY_SECONDS)
    if end <= start or (query.end_time is not None and query.end_time <= query.start_time):
        raise invalid("start_time", query.start_time, "it has to be before the end")
    if query.page is None:
        return start, end
    found = _PAGE.fullmatch(query.page)
    day = int(found[1]) // DAY_SECONDS if found else -1
    if not start <= day < end:
        raise invalid("page", query.page, "send the `next_page` of the page before, as it is")
    return day, end


def _bucket(day: int, sums: Sequence[CostSum], query: CostsQuery) -> CostsBucketView:
    groups: dict[tuple[str | None, ...], int] = defaultdict(int)
    for one in sums:
        if query.project_ids and one.account_id not in query.project_ids:
            continue
        if query.api_key_ids and one.key_id not in query.api_key_ids:
            continue
        if query.line_items and one.model not in query.line_items:
            continue
        by = (
            one.model if "line_item" in query.group_by else None,
            one.key_id if "api_key_id" in query.group_by else None,
            one.account_id if "project_id" in query.group_by else None,
            one.account_id if "user_id" in query.group_by else None,
        )
        groups[by] += one.charged_nano
    dearest = in_order(list(groups.items()), lambda group: (-group[1], str(group[0])))
    return CostsBucketView(
        start_time=day * DAY_SECONDS,
        end_time=(day + 1) * DAY_SECONDS,
        results=[
            CostView(
                amount=AmountView(msgspec.Raw(usd_string(charged_nano).encode())),
                line_item=model,
                api_key_id=key_id,
                project_id=project_id,
                user_id=user_id,
            )
            for (model, key_id, project_id, user_id), charged_nano in dearest
        ],
    )
