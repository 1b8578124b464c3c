"""Liveness, readiness and metrics."""

from aiohttp import web

from proxy.edge.gateway import Gateway
from proxy.ledger.readiness import Readiness
from proxy.telemetry import Telemetry


class Health:
    """`/healthz`: the process answers. `/readyz`: it takes calls. `/metrics`: its figures."""

    def __init__(self, *, gateway: Gateway, telemetry: Telemetry, readiness: Readiness) -> None:
        self._readiness = readiness
        self._gateway = gateway
        self._telemetry = telemetry

    def routes(self) -> list[web.RouteDef]:
        """The three routes."""
        return [
            web.get("/healthz", self.alive),
            web.get("/readyz", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def alive(self, request: web.Request) -> web.Response:
        """200 as long as the event loop runs."""
        del request
        return web.json_response({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """200 if calls are taken, 503 while draining or while the ledger cannot be read or written."""
        del request
        if self._gateway.draining:
            return web.json_response({"status": "draining"}, status=503)
        if not self._readiness.is_ready:
            return web.json_response({"status": "ledger unavailable"}, status=503)
        return web.json_response({"status": "ok"})

    async def metrics(self, request: web.Request) -> web.Response:
        """All figures in Prometheus' text format."""
        del request
        self._telemetry.put(self._gateway.in_flight)
        return web.Response(
            body=self._telemetry.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )
