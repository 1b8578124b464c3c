"""The billing API's runs: what calls that are billed together cost, and live while they go on."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import hdrs, web
from msgspec import Struct

from proxy.api.operations import BILLING, Binder, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.run_reader import RunReader
from proxy.api.views.runs import (
    RunStepView,
    RunView,
    WholeRunView,
    component_view,
    run_view,
    step_view,
)
from proxy.edge.middleware import REQUEST_ID, name_ourselves, raw_path
from proxy.endpoints.dialects import dialect_of
from proxy.errors import Refusal
from proxy.ledger.rows import Key
from proxy.money import Unit
from proxy.pricing.runs import RunSum

STEPS_AT_ONCE: Final = 100
"""How many of the latest steps are looked at; of more than these in between, only the total is told."""
HEARTBEAT: Final = b": nothing new\n\n"

LIST_RUNS: Final = Operation(
    id="billing_runs",
    method="GET",
    path=f"{BILLING}/runs",
    summary="The account's runs and what each costs by now, in the order of their ids.",
    audience="account",
    reply=Page[RunView],
    query=PageQuery,
    body=Nothing,
)
SHOW_RUN: Final = Operation(
    id="billing_run",
    method="GET",
    path=f"{BILLING}/runs/{{run_id}}",
    summary="One run: its subtotal, its markup, and what it costs by component and by step.",
    audience="account",
    reply=WholeRunView,
    query=PageQuery,
    body=Nothing,
)
RUN_EVENTS: Final = Operation(
    id="billing_run_events",
    method="GET",
    path=f"{BILLING}/runs/{{run_id}}/events",
    summary="What a run costs, live: server-sent events `step`, of each call that ends, and `run`, of all.",
    audience="account",
    reply=str,
    query=Nothing,
    body=Nothing,
    media="text/event-stream",
)
OPERATIONS: Final = (LIST_RUNS, SHOW_RUN, RUN_EVENTS)


class StreamBounds(Struct, frozen=True):
    """How many streams of runs a process keeps open, and one account.

    A stream looks so often, every `look_seconds`, whether its run has gone on, and sends something after
    `heartbeat_looks` at the latest. Then it ends, and a client may ask again.
    """

    at_once: int = 64
    of_account: int = 4
    looks: int = 600
    look_seconds: float = 1.0
    heartbeat_looks: int = 15


BOUNDS: Final = StreamBounds()


class Runs:
    """Shows an account its own runs only."""

    def __init__(self, *, reader: RunReader) -> None:
        self._reader = reader

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation but the live one."""
        return [bind(LIST_RUNS, self.runs), bind(SHOW_RUN, self.run)]

    async def runs(self, incoming: Incoming[Key, PageQuery, Nothing]) -> Page[RunView]:
        """A page of the account's runs."""
        return await runs_page(
            self._reader, incoming.caller.account_id, incoming.query, incoming.settings.unit
        )

    async def run(self, incoming: Incoming[Key, PageQuery, Nothing]) -> WholeRunView:
        """One run. Raises Refusal `not_found`, also for another account's, which must not show."""
        ids = incoming.caller.account_id, incoming.path["run_id"]
        return await whole_run(self._reader, *ids, incoming.query, incoming.settings.unit)


async def runs_page(reader: RunReader, account_id: str, query: PageQuery, unit: Unit) -> Page[RunView]:
    """A page of an account's runs."""
    rows = await reader.runs(account_id, after=place_of(query, str), limit=query.limit + 1)
    return page_of(rows, query.limit, lambda row: run_view(row, unit), lambda row: row.id)


async def whole_run(
    reader: RunReader, account_id: str, run_id: str, query: PageQuery, unit: Unit
) -> WholeRunView:
    """A run with its components and a page of its steps. Raises Refusal `not_found`."""
    run = run_view(await reader.run(account_id, run_id), unit)
    rows = await reader.run_steps(account_id, run_id, before=place_of(query, str), limit=query.limit + 1)
    members = {name: getattr(run, name) for name in RunView.__struct_fields__ if name != "object"}
    return WholeRunView(
        **members,
        components=[component_view(each) for each in await reader.components(account_id, run_id)],
        steps=page_of(rows, query.limit, step_view, lambda row: row.call.id),
    )


class Told(Struct):
    """What a stream has told of its run: the last sum, and the ids of the latest steps."""

    run: RunSum | None = None
    steps: OrderedDict[str, None] = msgspec.field(default_factory=OrderedDict)

    def is_new(self, call_id: str) -> bool:
        """Whether a step has not been told yet; it is from now on."""
        if call_id in self.steps:
            return False
        self.steps[call_id] = None
        while len(self.steps) > 2 * STEPS_AT_ONCE:
            self.steps.popitem(last=False)
        return True


class RunEvents:
    """Tells what runs cost while they go on. Streams are bounded, in number and in time."""

    def __init__(
        self,
        *,
        reader: RunReader,
        gate: Callable[[web.Request], Awaitable[Key]],
        unit: Callable[[], Unit],
        is_draining: Callable[[], bool] = lambda: False,
        bounds: StreamBounds = BOUNDS,
    ) -> None:
        self._reader = reader
        self._gate = gate
        self._unit = unit
        self._is_draining = is_draining
        self._bounds = bounds
        self._open: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """The route."""
        return [web.get(RUN_EVENTS.path, self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The stream of one run. Raises Refusal `not_found`, or where there are too many streams."""
        key = await self._gate(request)
        run_id = request.match_info["run_id"]
        await self._reader.run(key.account_id, run_id)
        with self._counted(key.account_id):
            response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store"})
            response.content_type = RUN_EVENTS.media
            # Nobody names a response that is on its way.
            dialect = dialect_of(raw_path(request), request.headers)
            name_ourselves(response.headers, request[REQUEST_ID], dialect)
            await response.prepare(request)
            async for event in self._news(key.account_id, run_id):
                await response.write(event)
            await response.write_eof()
        return response

    @contextmanager
    def _counted(self, account_id: str) -> Iterator[None]:
        if self._open.total() >= self._bounds.at_once:
            raise Refusal("overloaded", "Too many streams of runs are open; try again in a moment.")
        if self._open[account_id] >= self._bounds.of_account:
            message = f"The account has {self._bounds.of_account} streams of runs open, as many as it may."
            raise Refusal("concurrency_limit_exceeded", message)
        self._open[account_id] += 1
        try:
            yield
        finally:
            self._open[account_id] -= 1
            if not self._open[account_id]:
                del self._open[account_id]

    async def _news(self, account_id: str, run_id: str) -> AsyncIterator[bytes]:
        told, quiet = Told(), 0
        for _ in range(self._bounds.looks):
            events = await self._since(account_id, run_id, told)
            quiet = 0 if events else quiet + 1
            if events:
                yield b"".join(events)
            elif quiet % self._bounds.heartbeat_looks == 0:
                yield HEARTBEAT
            if self._is_draining():
                return
            await asyncio.sleep(self._bounds.look_seconds)

    async def _since(self, account_id: str, run_id: str, told: Told) -> list[bytes]:
        """The events of what has happened since the last look."""
        run = await self._reader.run(account_id, run_id)
        if run == told.run:
            return []
        told.run = run
        rows = await self._reader.run_steps(account_id, run_id, before=None, limit=STEPS_AT_ONCE)
        steps: list[RunStepView] = [step_view(row) for row in reversed(rows) if told.is_new(row.call.id)]
        return [*(_event("step", step) for step in steps), _event("run", run_view(run, self._unit()))]


def _event(name: str, data: RunStepView | RunView) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
