"""POST /v1/billing/events: usage that did not pass the proxy is told of, priced and charged."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final, Literal

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, Struct, UnsetType

from proxy.api.billing.event_bodies import EventsFields, Fault, events_of
from proxy.api.operations import BILLING, ApiSettings, Nothing, Operation, body_of, json_response
from proxy.api.reader import Reader
from proxy.api.turns import Turns
from proxy.api.views.money import Display, Usd, When, display, instant
from proxy.billing.usage_events import Reported, UsageEvent, UsageEvents
from proxy.call.callers import screen_account
from proxy.call.off_loop import off_loop
from proxy.clock import Clock
from proxy.edge.auth import account_or_admin
from proxy.endpoints.event_plan import EventPolicy
from proxy.errors import Refusal
from proxy.ledger.commands import Refused
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import UNLIMITED, Key
from proxy.ledger.spending import Bucket
from proxy.ledger.store import Store
from proxy.ledger.windows import ends_us
from proxy.money import Unit, usd_string

MOST_BYTES: Final = 1_048_576
"""The largest body."""
ADMIN_AT_ONCE: Final = 8
"""How many bodies of the operator a process reads at once."""
KEYS_AT_ONCE: Final = 32
"""How many of all keys; of one account they are as few as `Turns` let through."""
TURN_SECONDS: Final = 5.0
"""How long the next one waits for its turn."""


class EventFault(Struct, frozen=True, kw_only=True):
    """Why an event is rejected: `param` is the field that it has to be mended in."""

    code: str
    message: str
    param: str | None


class EventResult(Struct, frozen=True, kw_only=True):
    """What became of an event. A `duplicate` shows what the first did; `id` is empty where it has none.

    `run_cost` is what its whole run costs with it, its markup included, where it is one of a run. A session
    is held for until `funded_until`.
    """

    object: Literal["event_result"] = "event_result"
    id: str
    account_id: str | None
    status: Literal["charged", "duplicate", "rejected"]
    receipt_id: str | None = None
    charged: Usd | None = None
    shortfall: Usd | None = None
    owed: Usd | None = None
    run_cost: Usd | None = None
    funded_until: When | None = None
    error: EventFault | None = None
    display: Display | UnsetType = UNSET


class EventResults(Struct, frozen=True, kw_only=True):
    """One result for each event, in their order, and how many were charged, known before, or rejected."""

    object: Literal["list"] = "list"
    charged: Annotated[int, Meta(ge=0)]
    duplicates: Annotated[int, Meta(ge=0)]
    rejected: Annotated[int, Meta(ge=0)]
    data: list[EventResult]


EVENTS: Final = Operation(
    id="billing_events",
    method="POST",
    path=f"{BILLING}/events",
    summary="Charge for usage that did not pass the proxy, by up to 100 events: each by itself, and once.",
    audience="account",
    reply=EventResults,
    query=Nothing,
    body=EventsFields,
)


class EventRoutes:
    """Takes events of the admin for any account, and of keys for their own where the operator allows that."""

    def __init__(
        self,
        *,
        events: UsageEvents,
        reader: Reader,
        store: Store,
        clock: Clock,
        settings: Callable[[], ApiSettings],
        policy: Callable[[], EventPolicy],
    ) -> None:
        self._events = events
        self._reader = reader
        self._store = store
        self._clock = clock
        self._settings = settings
        self._policy = policy
        # Slow keys keep the operator from nothing.
        self._of_admin = asyncio.Semaphore(ADMIN_AT_ONCE)
        self._of_keys = asyncio.Semaphore(KEYS_AT_ONCE)
        self._turns = Turns()

    def routes(self) -> list[web.RouteDef]:
        """The route."""
        return [web.route(EVENTS.method, EVENTS.path, self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        key = await self._reporter(request)
        if key is None:
            async with _turn(self._of_admin):
                read, told = await self._told(request, "", "")
        else:
            async with self._turns.of(key):
                await self._screen(key)
                async with _turn(self._of_keys):
                    read, told = await self._told(request, key.account_id, key.id)
        reported = iter(told)
        unit = self._settings().unit
        results = [
            _rejected(each.id, None, each.refusal)
            if isinstance(each, Fault)
            else await self._result(next(reported), unit)
            for each in read
        ]
        counts = [sum(each.status == status for each in results) for status in ("charged", "duplicate")]
        rejected = len(results) - sum(counts)
        answer = EventResults(charged=counts[0], duplicates=counts[1], rejected=rejected, data=results)
        return json_response(EVENTS.status, answer, {})

    async def _told(
        self, request: web.Request, account_id: str, key_id: str
    ) -> tuple[list[UsageEvent | Fault], list[Reported]]:
        """What the body tells, and what became of the events that could be read. Raises Refusal."""
        body = await body_of(request, MOST_BYTES)
        kind = request.headers.get(hdrs.CONTENT_TYPE, "")
        read = await off_loop(len(body), partial(events_of, body, kind, account_id))
        events = [each for each in read if isinstance(each, UsageEvent)]
        return read, await self._events.report(events, key_id)

    async def _screen(self, key: Key) -> None:
        """Refuse a key that could make no call, before its body is waited for. Raises Refusal 402."""
        try:
            await screen_account(self._store, key.account_id, costs=True)
        except Refusal:
            # It may be for want of what the account should have been given by now.
            account = await self._reader.account(key.account_id)
            await self._events.settle(account.id, account.group)
            await screen_account(self._store, key.account_id, costs=True)
        if key.limits == UNLIMITED:
            return
        for bucket in await self._reader.spending(key, self._clock.now_us()):
            limit_nano = key.limits.window_nano(bucket.window)
            if limit_nano is not None and bucket.spent_nano >= limit_nano:
                raise refusal(_used_up(bucket, limit_nano))

    async def _reporter(self, request: web.Request) -> Key | None:
        """The key of who tells; None for the admin. Raises Refusal."""
        admin_key = self._settings().admin.key
        key = await account_or_admin(request, store=self._store, clock=self._clock, admin_key=admin_key)
        if key is not None and not any(plan.from_keys for plan in self._policy().plans.values()):
            raise Refusal("event_not_allowed", "The operator takes no events from keys.")
        return key

    async def _result(self, reported: Reported, unit: Unit) -> EventResult:
        event = reported.event
        if reported.fault is not None:
            return _rejected(event.id, event.account_id, reported.fault)
        figures: dict[str, int] = {
            name: getattr(reported, f"{name}_nano") for name in ("charged", "shortfall", "owed")
        }
        if reported.status == "duplicate":
            figures = await self._first(reported.call_id, figures)
        shown: dict[str, Any] = {name: usd_string(nano) for name, nano in figures.items()}
        return EventResult(
            id=event.id,
            account_id=event.account_id,
            status=reported.status,
            receipt_id=reported.call_id,
            funded_until=instant(reported.funded_us) if reported.funded_us else None,
            run_cost=None if reported.run is None else usd_string(reported.run.total_nano),
            display=display(unit, **figures) if figures else UNSET,
            **shown,
        )

    async def _first(self, call_id: str, figures: dict[str, int]) -> dict[str, int]:
        """What the first one did; nothing where its receipt is not kept any more."""
        try:
            receipt = (await self._reader.receipt(call_id)).receipt
        except Refusal as fault:
            if fault.code != "not_found":
                raise
            return {}
        return {name: getattr(receipt, f"{name}_nano") for name in figures}


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(turns.acquire(), TURN_SECONDS)
    except TimeoutError:
        raise Refusal("overloaded", "Other events are being read; try again in a moment.") from None
    try:
        yield
    finally:
        turns.release()


def _used_up(bucket: Bucket, limit_nano: int) -> Refused:
    spent = f"{usd_string(bucket.spent_nano)} USD of {usd_string(limit_nano)} USD are spent"
    return Refused(
        "key_limit_exceeded",
        f"The key's spending limit ({bucket.window}) is reached: {spent}.",
        limit_source=f"key_{bucket.window}",
        limit_nano=limit_nano,
        spent_nano=bucket.spent_nano,
        resets_at_us=ends_us(bucket.window, bucket.start_day),
    )


def _rejected(id_: str, account_id: str | None, fault: Refusal) -> EventResult:
    error = EventFault(code=fault.code, message=fault.message, param=fault.param)
    return EventResult(id=id_, account_id=account_id, status="rejected", error=error)
