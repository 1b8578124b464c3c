"""The composition root: it builds every object, starts and stops them, and listens."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from proxy.api.admin.routes import admin_routes
from proxy.api.billing.events import EventRoutes
from proxy.api.billing.notices import NoticeRoutes
from proxy.api.billing.quotes import quote_routes
from proxy.api.billing.routes import billing_routes
from proxy.api.health import Health
from proxy.api.holdings import HoldingsRoutes
from proxy.api.models import Models
from proxy.api.objects import ObjectLists
from proxy.api.openapi import openapi_routes
from proxy.api.operations import refuse_other_methods
from proxy.api.reader import Reader
from proxy.billing.levels import LevelCharges
from proxy.billing.payments import Notices
from proxy.billing.providers import Providers, provider_for
from proxy.billing.sessions import Sessions
from proxy.billing.top_ups import TopUps
from proxy.billing.usage_events import UsageEvents
from proxy.call.admission import Admission
from proxy.call.closing import Closing
from proxy.call.policy import Catalog, Policy
from proxy.call.quotes import Quotes
from proxy.call.relay import Relay
from proxy.clock import Clock, SystemClock
from proxy.config.load import Settings
from proxy.edge.bodies import Bounds
from proxy.edge.gateway import Gateway, expect_later
from proxy.edge.listener import Listener
from proxy.edge.middleware import Edge
from proxy.edge.quotes import QuoteRequests
from proxy.edge.watch import DRAIN_PACE, ConnectionWatch, Pace, usual_pace
from proxy.endpoints.registry import ENDPOINTS, KINDS
from proxy.errors import Refusal
from proxy.jobs.poller import Poller
from proxy.ledger.ledger import Ledger
from proxy.ledger.readiness import Readiness
from proxy.ledger.store import LedgerUnavailable, Store
from proxy.logs import configure_logging
from proxy.process.descriptors import allowed_files, most_connections
from proxy.process.rounds import rounds_of
from proxy.storage.locations import store_for
from proxy.tasks import Tasks
from proxy.telemetry import Telemetry
from proxy.upstream.client import HttpUpstreams
from proxy.upstream.denials import Denials
from proxy.upstream.model_lists import ModelLists

CLOSING_SECONDS: Final = 10.0
"""How long the last closes may take at the end; no caller waits for them."""
RECOVER_SECONDS: Final = 30.0
"""How often a process looks for others that are gone."""
FIGURES_SECONDS: Final = 1.0
"""How old a worker's figures may be when another worker shows them."""
CUT_SECONDS: Final = 0.2
"""How long handlers that the drain cuts may take to end."""


class Parts(msgspec.Struct, frozen=True):
    """What makes the parts that tests put something around; each takes what the part itself takes."""

    store: Callable[..., Store] = store_for
    ledger: Callable[..., Ledger] = Ledger
    upstreams: Callable[..., HttpUpstreams] = HttpUpstreams
    relay: Callable[..., Relay] = Relay
    clock: Callable[..., Clock] = SystemClock


class Farebox:
    """One process: `start`, then `stop`. `reload` may swap `settings` in between.

    `loss` tells why this process can never use the ledger again; it is empty as long as all is well.

    It listens on `port` if that is given, and on the configured port otherwise. With `shares_port` other
    processes may listen there, too. With `figures_folder` it shares its figures with them in files there.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        port: int | None = None,
        shares_port: bool = False,
        figures_folder: str | None = None,
        parts: Parts | None = None,
    ) -> None:
        parts = parts or Parts()
        self.settings = settings
        self.telemetry = Telemetry(log_calls=settings.log.calls, figures_folder=figures_folder)
        self.clock = parts.clock(on_step=self.telemetry.clock_set)
        self.tasks = Tasks(self.telemetry.fault)
        self._background = Tasks(self.telemetry.fault)
        self.store = parts.store(settings.storage, tasks=self._background, keep_months=settings.keep_months)
        self.ledger = parts.ledger(
            self.store,
            tasks=self._background,
            on_batch=self.telemetry.committed,
            on_outage=self.telemetry.outage,
        )
        self.readiness = Readiness(ledger=self.ledger, store=self.store, observer=self.telemetry)
        self.upstreams = parts.upstreams(max_reply_bytes=settings.server.max_reply_bytes)
        self.closing = Closing(
            ledger=self.ledger, clock=self.clock, tasks=self.tasks, observer=self.telemetry
        )
        self.admission = Admission(
            ledger=self.ledger,
            store=self.store,
            clock=self.clock,
            on_unknown_group=self.telemetry.group_unknown,
        )
        self.relay = parts.relay(
            catalog=catalog_of(settings),
            admission=self.admission,
            closing=self.closing,
            upstreams=self.upstreams,
            clock=self.clock,
            denials=Denials(on_denial=self.telemetry.upstream_denied, on_end=self.telemetry.upstream_accepts),
        )
        self.poller = Poller(
            store=self.store,
            jobs=self.closing.jobs,
            upstreams=self.upstreams,
            catalog=lambda: self.relay.catalog,
            clock=self.clock,
            kinds=KINDS,
            on_fault=self.telemetry.fault,
        )
        self.providers = Providers(provider_for)
        self._rounds = rounds_of(
            store=self.store,
            providers=self.providers,
            ledger=self.ledger,
            renewals=self.admission.renewals,
            clock=self.clock,
            settings=lambda: self.settings,
            telemetry=self.telemetry,
        )
        self.gateway = Gateway(relay=self.relay, bounds=bounds_of(self.settings))
        self._edge = self._new_edge()
        self._log = structlog.get_logger("farebox")
        self._listener: Listener | None = None
        self._polling: asyncio.Task[None] | None = None
        self._shares_port, self._shares_figures = shares_port, figures_folder is not None
        self.loss = ""
        self.port = settings.server.port if port is None else port

    async def start(self, on_loss: Callable[[], object] = lambda: None) -> None:
        """Open the ledger, close what a crash left open, and listen. Raises OSError for a taken address.

        `on_loss` is called when there is a `loss`: all that is left to do then is to stop.
        """
        self.store.alerts = self.settings.alerts
        await self.store.open()
        self._background.spawn(self._watch_store(on_loss), name="store")
        self.ledger.start()
        await self._recover()
        await self.readiness.check()
        self._background.spawn(self.readiness.watch(), name="readiness")
        self._background.spawn(self._recover_others(), name="recover")
        self._background.spawn(
            self.closing.watch(lambda: self.settings.streams.observe_seconds), name="watch"
        )
        if self._shares_figures:
            self._background.spawn(self._share_figures(), name="figures")
        await self.upstreams.open()
        self._polling = self._background.spawn(self.poller.run(), name="jobs")
        for name, run in self._rounds.items():
            self._background.spawn(run(), name=name)
        watch = ConnectionWatch(
            pace=self._pace,
            now=asyncio.get_running_loop().time,
            most=most_connections(self.settings.server.max_connections, allowed_files()),
        )
        self._background.spawn(watch.run(), name="connections")
        self._listener = Listener(
            self.application(),
            direct=ENDPOINTS,
            gateway=self.gateway,
            edge=self._edge,
            clock=self.clock,
            tasks=Tasks(self.telemetry.fault),
            watch=watch,
            shutdown_seconds=CUT_SECONDS,
        )
        self.port = await self._listener.open(self.settings.server.host, self.port, shared=self._shares_port)

    async def stop(self) -> None:
        """Drain: refuse new calls, let those in flight end up to the bound, close every hold, let go.

        After a loss there is nothing to wait for: no call can be closed any more.
        """
        loop = asyncio.get_running_loop()
        drain_seconds, closing_seconds = self.settings.server.drain_seconds, CLOSING_SECONDS
        if self.loss:
            drain_seconds = closing_seconds = 0.0
        until = loop.time() + drain_seconds
        self.gateway.draining = True
        if self._polling is not None:
            self._polling.cancel()
        # The last that is put here is let go first, and a fault in one keeps none of the others.
        async with AsyncExitStack() as parts:
            parts.push_async_callback(self.store.close)
            parts.push_async_callback(self._background.drain, 0)
            parts.push_async_callback(self.ledger.close)
            parts.push_async_callback(self.upstreams.close)
            parts.push_async_callback(self.providers.close)
            parts.push_async_callback(self.tasks.drain, closing_seconds)
            if not await self.gateway.drained(drain_seconds):
                self._log.warning("drain timed out", calls=self.gateway.in_flight)
            if self._listener is not None:
                await self._listener.close(max(0.0, until - loop.time()))

    def _new_edge(self) -> Edge:
        return Edge(
            clock=self.clock,
            payment_status=lambda: self.settings.server.payment_status,
            on_refusal=self.telemetry.refused,
            top_up_url=lambda: self.settings.top_up_url,
        )

    def _pace(self) -> Pace:
        return DRAIN_PACE if self.gateway.draining else usual_pace(self.settings.streams.write_seconds)

    async def _watch_store(self, on_loss: Callable[[], object]) -> None:
        self.loss = await self.store.loss()
        self._log.error("ledger lost", reason=self.loss)
        on_loss()

    async def _recover(self) -> None:
        """Close the holds of processes that are gone. Raises LedgerUnavailable or Refusal."""
        recovered = await self.ledger.recover(self.clock.now_us(), self.settings.on_shortfall)
        if recovered:
            self.telemetry.recovered.inc(len(recovered))
            self._log.warning("recovered", holds=len(recovered))
        for hold, settled in recovered:
            if settled.shortfall_nano or settled.owed_nano:
                self.telemetry.exceeded(hold.call, hold.amount_nano, settled)

    async def _recover_others(self) -> None:
        """Close the holds of other processes that have gone: no successor may ever start in their place."""
        while True:
            await asyncio.sleep(RECOVER_SECONDS)
            try:
                await self._recover()
            except (LedgerUnavailable, Refusal):
                continue  # Callers hear of the outage, and the next round may find the ledger back.
            except Exception as fault:  # noqa: BLE001 - the next round may go well after any fault.
                self.telemetry.fault("recover", fault)

    async def _share_figures(self) -> None:
        """Write this worker's figures again and again where the other workers find them."""
        while True:
            self.telemetry.put(self.gateway.in_flight)
            await asyncio.sleep(FIGURES_SECONDS)

    def reload(self, settings: Settings) -> None:
        """Put new settings in force for calls that begin from now on. Address and storage stay."""
        server, before = settings.server, self.settings.server
        fixed = {
            "server.host": server.host != before.host,
            "server.port": server.port != before.port,
            "server.max_connections": server.max_connections != before.max_connections,
            "server.workers": server.workers != before.workers,
            "server.max_reply_bytes": server.max_reply_bytes != before.max_reply_bytes,
            "storage": settings.storage != self.settings.storage,
            "keep_months": settings.keep_months != self.settings.keep_months,
            "quickstart": settings.quickstart != self.settings.quickstart,
        }
        for name in (name for name, changed in fixed.items() if changed):
            self._log.warning("this change takes effect at the next start", key=name)
        configure_logging(settings.log.level, settings.log.format)
        self.settings = settings
        self.store.alerts = settings.alerts
        self.relay.catalog = catalog_of(settings)
        self.gateway.bounds = bounds_of(settings)
        self.telemetry.log_calls = settings.log.calls
        self.telemetry.unknown_groups.clear()

    def application(self) -> web.Application:
        """Every route. The paths of endpoints come first; what nothing else serves goes to the tools."""
        app = web.Application(middlewares=[self._edge.middleware()])
        app.add_routes(ObjectLists(store=self.store, clock=self.clock, kinds=KINDS).routes())
        listed = {kind.path for kind in KINDS if kind.is_listed}
        for path in ENDPOINTS:
            method = "POST" if path in listed else "*"
            app.router.add_route(method, path, self.gateway.handle, expect_handler=expect_later)
        for method, path in (each[:2] for kind in KINDS for each in kind.paths()):
            app.router.add_route(method, path, self.gateway.handle, expect_handler=expect_later)
        lists = ModelLists(
            client=self.upstreams,
            tasks=self._background,
            now=lambda: self.clock.monotonic_us() / 1_000_000,
            on_fault=self.telemetry.models_unlisted,
        )
        models = Models(store=self.store, catalog=lambda: self.relay.catalog, clock=self.clock, lists=lists)
        health = Health(gateway=self.gateway, telemetry=self.telemetry, readiness=self.readiness)
        app.add_routes(models.routes())
        app.add_routes(health.routes())
        app.add_routes(self._event_routes().routes())
        seams: dict[str, Any] = {"ledger": self.ledger, "store": self.store, "clock": self.clock}
        seams |= {"settings": lambda: self.settings, "providers": self.providers}
        app.add_routes(admin_routes(**seams))
        app.add_routes(billing_routes(**seams, is_draining=lambda: self.gateway.draining))
        app.add_routes(self._notice_routes().routes())
        holdings = HoldingsRoutes(ledger=self.ledger, clock=self.clock, settings=lambda: self.settings)
        app.add_routes(holdings.routes())
        reader = Reader(ledger=self.ledger, store=self.store, clock=self.clock)
        quotes = Quotes(admission=self.admission, catalog=lambda: self.relay.catalog, counts=reader.counts)
        requests = QuoteRequests(
            quotes=quotes, bounds=lambda: self.gateway.bounds, memory=self.gateway.memory
        )
        app.add_routes(quote_routes(requests.quote, lambda: self.settings))
        app.add_routes(openapi_routes())
        refuse_other_methods(app)
        app.router.add_route("*", "/{tool:.*}", self.gateway.handle, expect_handler=expect_later)
        return app

    def _notice_routes(self) -> NoticeRoutes:
        top_ups = TopUps(ledger=self.ledger, clock=self.clock, providers=self.providers)
        notices = Notices(top_ups=top_ups, store=self.store, payments=lambda: self.settings.payments)
        return NoticeRoutes(
            notices=notices, providers=self.providers, payments=lambda: self.settings.payments
        )

    def _event_routes(self) -> EventRoutes:
        seams: dict[str, Any] = {
            "ledger": self.ledger,
            "store": self.store,
            "clock": self.clock,
            "terms": lambda: self.settings,
        }
        return EventRoutes(
            events=UsageEvents(levels=LevelCharges(**seams), sessions=Sessions(**seams), **seams),
            reader=Reader(ledger=self.ledger, store=self.store, clock=self.clock),
            store=self.store,
            clock=self.clock,
            settings=lambda: self.settings,
            policy=lambda: self.settings.events,
        )


def catalog_of(settings: Settings) -> Catalog:
    """The part of the settings that the relay uses."""
    streams = settings.streams
    policy = Policy(
        when_short=settings.when_short,
        on_shortfall=settings.on_shortfall,
        min_output_tokens=settings.min_output_tokens,
        on_disconnect=streams.on_disconnect,
        drain_seconds=streams.drain_seconds,
        on_upstream_failure=streams.on_upstream_failure,
        job_seconds=settings.jobs.longest_hours * 3_600,
        on_job_overdue=settings.jobs.on_overdue,
        job_output_per_second=settings.jobs.unreported_output_per_second,
    )
    return Catalog(settings.routes, settings.book, settings.groups, policy)


def bounds_of(settings: Settings) -> Bounds:
    """The part of the settings that bounds clients."""
    server = settings.server
    return Bounds(
        max_body_bytes=server.max_body_bytes,
        body_seconds=server.body_seconds,
        write_seconds=settings.streams.write_seconds,
        body_memory_bytes=server.body_memory_bytes,
    )
