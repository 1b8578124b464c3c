"""The APIs as tests ask them: real HTTP, middleware, ledger and SQLite store, under a clock that stands."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.api.admin.routes import admin_routes
from proxy.api.billing.events import EventRoutes
from proxy.api.billing.routes import billing_routes
from proxy.api.billing.runs import BOUNDS, StreamBounds
from proxy.api.holdings import HoldingsRoutes
from proxy.api.openapi import openapi_routes
from proxy.api.reader import Reader
from proxy.billing.levels import LevelCharges
from proxy.billing.offers import Payments
from proxy.billing.providers import Providers
from proxy.billing.sessions import Sessions
from proxy.billing.usage_events import UsageEvents
from proxy.config.holdings import NO_HOLDINGS, Holdings
from proxy.config.schema import Admin
from proxy.edge.middleware import Edge
from proxy.endpoints.event_plan import NO_EVENTS, EventPolicy
from proxy.ledger.commands import Authorize, Granted, Settle
from proxy.ledger.groups import Groups
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Call, Outcome
from proxy.ledger.windows import DAY_US
from proxy.metering.usage import Usage
from proxy.money import USD, Unit
from proxy.pricing.book import PriceBook
from proxy.pricing.charge import Charge, Line
from proxy.storage.sqlite.store import SqliteStore
from proxy.tasks import Tasks
from proxy.upstream.routes import Routes, Upstream
from proxy.upstream.webhooks import Webhooks

ADMIN_KEY = "the-admin-key-of-these-tests"
NOON_US = 20_000 * DAY_US + DAY_US // 2
"""Noon of 2024-10-04 UTC, a Friday."""


@dataclass
class Hands:
    """A clock whose hands only tests move."""

    at_us: int = NOON_US

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us


@dataclass(frozen=True)
class ApiConfig:
    """What the APIs know of a configuration."""

    unit: Unit = USD
    groups: Groups = field(default_factory=Groups)
    payments: Payments | None = None
    holdings: Holdings = NO_HOLDINGS
    admin: Admin = field(default_factory=lambda: Admin(key=ADMIN_KEY))
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    routes: Routes = field(default_factory=lambda: Routes(()))
    webhooks: Webhooks = field(default_factory=Webhooks)
    events: EventPolicy = NO_EVENTS
    invoices: InvoicePolicy | None = None
    refund_days: int | None = None
    book: PriceBook = field(default_factory=lambda: PriceBook(()))


@dataclass(frozen=True)
class Answer:
    """A status, the decoded body, and the headers."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.body["error"]
        return error

    @property
    def data(self) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.body["data"]
        return data


@dataclass
class Apis:
    """A running server, and what stands behind it. `settings` may be swapped, as a reload does."""

    store: SqliteStore
    ledger: Ledger
    clock: Hands = field(default_factory=Hands)
    settings: ApiConfig = field(default_factory=ApiConfig)
    client: TestClient[web.Request, web.Application] | None = None
    made: int = 0
    run_streams: StreamBounds = BOUNDS

    def application(self) -> web.Application:
        edge = Edge(clock=self.clock, payment_status=lambda: 402, on_refusal=lambda _: None)
        app = web.Application(middlewares=[edge.middleware()])
        seams: dict[str, Any] = {
            "ledger": self.ledger,
            "store": self.store,
            "clock": self.clock,
            "settings": lambda: self.settings,
            "providers": Providers(),
        }
        app.add_routes(
            [
                *admin_routes(**seams),
                *billing_routes(**seams, run_streams=self.run_streams),
                *openapi_routes(),
            ]
        )
        events = EventRoutes(
            events=UsageEvents(
                ledger=self.ledger,
                store=self.store,
                clock=self.clock,
                terms=lambda: self.settings,
                sessions=Sessions(
                    ledger=self.ledger, store=self.store, clock=self.clock, terms=lambda: self.settings
                ),
                levels=LevelCharges(
                    ledger=self.ledger, store=self.store, clock=self.clock, terms=lambda: self.settings
                ),
            ),
            reader=Reader(ledger=self.ledger, store=self.store, clock=self.clock),
            store=self.store,
            clock=self.clock,
            settings=lambda: self.settings,
            policy=lambda: self.settings.events,
        )
        app.add_routes(events.routes())
        holdings = HoldingsRoutes(ledger=self.ledger, clock=self.clock, settings=lambda: self.settings)
        app.add_routes(holdings.routes())
        return app

    @property
    def url(self) -> str:
        assert self.client is not None
        return str(self.client.make_url(""))

    async def ask(
        self, method: str, path: str, *, key: str | None, body: object = None, **more: Any
    ) -> Answer:
        """Ask with a bearer key; a body that is not bytes is sent as JSON."""
        assert self.client is not None
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        headers |= more.pop("headers", {})
        async with self.client.request(method, path, data=data, headers=headers, **more) as response:
            return Answer(response.status, await response.json(), response.headers)

    async def admin(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Ask the admin API, with an idempotency key of its own for each POST unless the caller gives one."""
        self.made += 1
        headers = {"Idempotency-Key": f"command-{self.made}"} if method == "POST" else {}
        headers |= more.pop("headers", {})
        return await self.ask(method, f"/admin/v1{path}", key=ADMIN_KEY, body=body, headers=headers, **more)

    async def account(self, name: str = "An account", **fields: object) -> str:
        """Open an account and return its id."""
        answer = await self.admin("POST", "/accounts", {"name": name, **fields})
        assert answer.status == 201, answer
        return str(answer.body["id"])

    async def key(self, account_id: str, **fields: object) -> tuple[str, str]:
        """Create a key and return its id and its secret."""
        answer = await self.admin("POST", f"/accounts/{account_id}/keys", fields)
        assert answer.status == 201, answer
        return str(answer.body["id"]), str(answer.body["secret"])

    async def grant(self, account_id: str, amount: str, **fields: object) -> Answer:
        """Put money in."""
        answer = await self.admin("POST", f"/accounts/{account_id}/grants", {"amount": amount, **fields})
        assert answer.status == 201, answer
        return answer

    async def hold(
        self, account_id: str, key_id: str, amount_nano: int, *, model: str = "demo", call_id: str = ""
    ) -> Call:
        """Authorize a call, and leave it open. Without an id it gets one that counts the calls."""
        self.made += 1
        call = Call(
            id=call_id or f"call_{self.made:026d}",
            account_id=account_id,
            key_id=key_id,
            endpoint="chat.completions",
            model=model,
            upstream="the-upstream",
            upstream_model=f"upstream-{model}",
            stream=True,
            started_at_us=self.clock.at_us,
        )
        granted = await self.ledger.authorize(
            Authorize(
                call=call,
                ceiling_nano=amount_nano,
                floor_nano=amount_nano,
                tokens=10,
                at_us=self.clock.at_us,
                owner=self.store.owner,
            )
        )
        assert isinstance(granted, Granted), granted
        return call

    async def call(
        self,
        account_id: str,
        key_id: str,
        charge_nano: int,
        *,
        model: str = "demo",
        usage: Usage | None = None,
        call_id: str = "",
    ) -> str:
        """Make a whole call with this charge, and return its id."""
        call = await self.hold(account_id, key_id, charge_nano, model=model, call_id=call_id)
        line = Line("output_tokens", 7, str(charge_nano), 7, charge_nano)
        used = dict(usage or {"input_tokens": 11, "output_tokens": 7})
        outcome = Outcome("completed", 200, "reported", used, self.clock.at_us + 5, self.clock.at_us + 3)
        await self.ledger.settle(
            Settle(
                call=call,
                authorized_at_us=self.clock.at_us,
                at_us=self.clock.at_us,
                outcome=outcome,
                charge=Charge(charge_nano, (line,), "demo@1"),
            )
        )
        return call.id


@asynccontextmanager
async def serving(
    folder: Path, settings: ApiConfig | None = None, run_streams: StreamBounds = BOUNDS
) -> AsyncIterator[Apis]:
    """A server over a store of its own."""
    faults: list[BaseException] = []
    tasks = Tasks(lambda _, error: faults.append(error))
    store = SqliteStore(folder / "farebox.db")
    await store.open()
    ledger = Ledger(store, tasks)
    ledger.start()
    apis = Apis(store, ledger, settings=settings or ApiConfig(), run_streams=run_streams)
    async with TestClient(TestServer(apis.application())) as client:
        apis.client = client
        yield apis
    await ledger.close()
    await store.close()
    assert not faults
