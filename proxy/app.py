"""The composition root: builds every object, owns their life cycle, and listens."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp.http_parser
import structlog
import uvloop
from aiohttp import web

from proxy.admission import Admission, Catalog, Policy
from proxy.clock import Clock, SystemClock
from proxy.closing import Closing
from proxy.config.load import Settings, load
from proxy.config.source import ConfigError
from proxy.endpoints import ENDPOINTS
from proxy.ledger.ledger import Ledger
from proxy.metering.model_names import encoding_name
from proxy.metering.vocabulary import SHARED
from proxy.relay import Relay
from proxy.storage.sqlite import SqliteStore
from proxy.tasks import Tasks
from proxy.telemetry import Telemetry, configure_logging
from proxy.upstream.client import HttpUpstreams
from proxy.web.admin import admin_routes
from proxy.web.billing import billing_routes
from proxy.web.gateway import Bounds, Gateway, expect_later
from proxy.web.health import Health
from proxy.web.listener import Listener
from proxy.web.middleware import Edge
from proxy.web.models import Models
from proxy.web.openapi import openapi_routes
from proxy.web.quickstart import demo_upstream, welcome

CLOSING_SECONDS: Final = 10.0
"""How long closes that nobody waits for may take at the end."""
SWITCH_SECONDS: Final = 0.0005
"""How long a busy event loop may keep the interpreter from the thread that writes the ledger."""
GC_THRESHOLDS: Final = (10_000, 20, 10)
CUT_SECONDS: Final = 0.2
"""How long handlers that were not done within the drain may take to notice that they are cut."""


class Farebox:
    """One process: `start`, then `stop`. `settings` may be swapped by `reload` in between."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.telemetry = Telemetry(log_calls=settings.log.calls)
        self.tasks = Tasks(self.telemetry.fault)
        self._background = Tasks(self.telemetry.fault)
        self.store = SqliteStore(settings.storage)
        self.ledger = Ledger(
            self.store,
            tasks=self._background,
            on_batch=self.telemetry.committed,
            on_outage=self.telemetry.outage,
        )
        self.upstreams = HttpUpstreams(max_reply_bytes=settings.server.max_reply_bytes)
        self.closing = Closing(ledger=self.ledger, clock=self.clock, tasks=self.tasks, witness=self.telemetry)
        self.admission = Admission(ledger=self.ledger, store=self.store, clock=self.clock)
        self.relay = Relay(
            catalog=catalog_of(settings),
            admission=self.admission,
            closing=self.closing,
            upstreams=self.upstreams,
            clock=self.clock,
        )
        self.gateway = Gateway(relay=self.relay, bounds=lambda: bounds_of(self.settings))
        self._edge = Edge(
            clock=self.clock,
            payment_status=lambda: self.settings.server.payment_status,
            on_refusal=self.telemetry.refused,
        ).middleware()
        self._log = structlog.get_logger("farebox")
        self._listener: Listener | None = None
        self.port = settings.server.port

    async def start(self) -> None:
        """Open the ledger, close what a crash left open, and listen. Raises OSError for a taken address."""
        await self.store.open()
        self.ledger.start()
        recovered = await self.ledger.recover(self.clock.now_us())
        if recovered:
            self.telemetry.recovered.inc(recovered)
            self._log.warning("recovered", holds=recovered)
        self._background.spawn(
            self.closing.watch(lambda: self.settings.streams.observe_seconds), name="watch"
        )
        await self.upstreams.open()
        # A vocabulary takes up to half a second to load, so it is not left to the first call that needs it.
        await asyncio.to_thread(SHARED.preload, {encoding_name(glob) for glob in self.settings.routes.globs})
        self._listener = Listener(
            self.application(),
            direct=ENDPOINTS,
            handler=partial(self._edge, handler=self.gateway.handle),
            clock=self.clock,
            shutdown_seconds=CUT_SECONDS,
        )
        self.port = await self._listener.open(self.settings.server.host, self.settings.server.port)

    async def stop(self) -> None:
        """Drain: refuse new calls, let those in flight end up to the bound, close every hold, let go."""
        self.gateway.draining = True
        finished = await self.gateway.drained(self.settings.server.drain_seconds)
        if not finished:
            self._log.warning("drain timed out", calls=self.gateway.in_flight)
        if self._listener is not None:
            await self._listener.close(self.settings.server.drain_seconds if finished else 0)
        await self.tasks.drain(CLOSING_SECONDS)
        await self.upstreams.close()
        await self.ledger.close()
        await self._background.drain(0)
        await self.store.close()

    def reload(self, settings: Settings) -> None:
        """Put new settings in force for calls that begin from now on. Address and storage stay."""
        server, before = settings.server, self.settings.server
        fixed = {
            "server.host": server.host != before.host,
            "server.port": server.port != before.port,
            "server.max_reply_bytes": server.max_reply_bytes != before.max_reply_bytes,
            "storage": settings.storage != self.settings.storage,
            "quickstart": settings.quickstart != self.settings.quickstart,
        }
        for name in (name for name, changed in fixed.items() if changed):
            self._log.warning("this change takes effect at the next start", key=name)
        configure_logging(settings.log.level, settings.log.format)
        self.settings = settings
        self.relay.catalog = catalog_of(settings)
        self.telemetry.log_calls = settings.log.calls

    def application(self) -> web.Application:
        """Every route. The relay's own paths come first, the tools' paths are caught last."""
        app = web.Application(middlewares=[self._edge])
        for path in ENDPOINTS:
            app.router.add_route("*", path, self.gateway.handle, expect_handler=expect_later)
        models = Models(store=self.store, catalog=lambda: self.relay.catalog, clock=self.clock)
        health = Health(gateway=self.gateway, telemetry=self.telemetry, ledger=self.ledger)
        app.add_routes(models.routes())
        app.add_routes(health.routes())
        for api_routes in (admin_routes, billing_routes):
            app.add_routes(
                api_routes(
                    ledger=self.ledger, store=self.store, clock=self.clock, settings=lambda: self.settings
                )
            )
        app.add_routes(openapi_routes())
        app.router.add_route("*", "/{tool:.*}", self.gateway.handle, expect_handler=expect_later)
        return app


def catalog_of(settings: Settings) -> Catalog:
    """The part of the settings that the relay works by."""
    streams = settings.streams
    policy = Policy(
        when_short=settings.when_short,
        min_output_tokens=settings.min_output_tokens,
        on_disconnect=streams.on_disconnect,
        drain_seconds=streams.drain_seconds,
        on_upstream_failure=streams.on_upstream_failure,
    )
    return Catalog(settings.routes, settings.book, settings.limits, policy)


def bounds_of(settings: Settings) -> Bounds:
    """The part of the settings that bounds clients."""
    server = settings.server
    return Bounds(server.max_body_bytes, server.body_seconds, settings.streams.write_seconds)


def refuse_pure_python_parser() -> None:
    """Raise RuntimeError without aiohttp's C parser: the Python one lets requests be smuggled."""
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp's C extension is missing, or off by AIOHTTP_NO_EXTENSIONS; its Python parser is not safe"
        )


def serve(path: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError for a bad file, OSError for a taken address."""
    refuse_pure_python_parser()
    settings = load(path, os.environ)
    configure_logging(settings.log.level, settings.log.format)
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is loaded by now stays: it need not be looked through again and again. Calls leave few cycles, so
    # that looking for them less often is as good, and takes less.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(_main(settings, path))


async def _main(settings: Settings, path: Path) -> None:
    farebox = Farebox(settings)
    log = structlog.get_logger("farebox")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, farebox, path)
    async with contextlib.AsyncExitStack() as stack:
        if settings.quickstart is not None:
            await stack.enter_async_context(demo_upstream(settings.quickstart.port))
        stack.push_async_callback(farebox.stop)
        await farebox.start()
        if settings.quickstart is not None:
            await welcome(farebox.ledger, farebox.store, farebox.clock, settings, farebox.port)
        log.info("listening", host=settings.server.host, port=farebox.port)
        await stopping.wait()
        log.info("draining", calls=farebox.gateway.in_flight)


def _reload(farebox: Farebox, path: Path) -> None:
    log = structlog.get_logger("farebox")
    try:
        farebox.reload(load(path, os.environ))
    except (ConfigError, OSError) as error:
        log.error("reload refused, the old configuration stays", reason=str(error))  # noqa: TRY400 - no trace helps.
    else:
        log.info("reloaded", file=str(path))
