"""The life of a call, in one function: see `Relay.relay`."""

from typing import Final, Protocol

from proxy.call.admission import Admission, forward_body
from proxy.call.base import InboundRequest, RoutedCall
from proxy.call.budget import OutputBudget, budget_of
from proxy.call.closing import Closing
from proxy.call.headers import admission_headers, receipt_headers
from proxy.call.in_flight import InFlightCall
from proxy.call.policy import Catalog
from proxy.clock import Clock
from proxy.endpoints.base import ForwardPlan
from proxy.errors import Refusal
from proxy.ledger.rows import Call, Key
from proxy.money import usd_string
from proxy.upstream.base import Answer, UpstreamClient, UpstreamFailure, UpstreamRequest
from proxy.upstream.moderation import is_moderation

FAILOVER_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
"""Answers after which the next target is tried; the last target's is passed on."""
OUR_CREDENTIAL_STATUSES: Final = frozenset({401, 402, 403})
"""Answers about Farebox's own credential, but for a 403 about what the client has sent. The client cannot
help those, and must not see them."""


class ClientReply(Protocol):
    """The reply to the client. Nothing is sent before the first `write`, so a refusal can take its place."""

    @property
    def started(self) -> bool:
        """Whether anything was sent."""
        ...

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Set status and headers; they go out with the first bytes."""
        ...

    def add_headers(self, headers: dict[str, str]) -> None:
        """Add headers of our own; this has no effect once anything was sent."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises ConnectionResetError when the client is gone."""
        ...

    async def end(self, data: bytes = b"") -> None:
        """Send the last bytes and end the reply properly."""
        ...

    async def break_off(self, refusal: Refusal) -> None:
        """End a started reply in such a way that the client sees that it is not whole."""
        ...


class Relay:
    """Takes calls through Farebox. `catalog` may be replaced at any time; a call keeps its own."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        admission: Admission,
        closing: Closing,
        upstreams: UpstreamClient,
        clock: Clock,
    ) -> None:
        self.catalog = catalog
        self._admission = admission
        self._closing = closing
        self._upstreams = upstreams
        self._clock = clock

    async def relay(self, request: InboundRequest, reply: ClientReply) -> None:
        """Take one call from its first byte to its last. Raises Refusal while nothing was sent.

        Whatever happens after authorize, a cancel at any await included, `Closing` closes the hold exactly
        once. The bytes that complete the answer are sent only after that is durable.
        """
        catalog = self.catalog
        key = await self._admission.identify(request)
        routed = await self._admission.route(request, catalog)
        call = self._call(request, key, routed)
        admitted = await self._admission.authorize(call, routed, catalog)
        in_flight = self._closing.open(admitted, catalog.policy)
        try:
            budget = budget_of(admitted)
            in_flight.begin(budget, keep_usage=request.wants_cost)
            answer = await self._forward(request, routed, budget, in_flight)
            reply.head(answer.status, answer.headers)
            reply.add_headers(admission_headers(admitted, budget))
            if in_flight.phase == "error":
                await self._pass_error(answer, in_flight, reply)
                return
            async for chunk in answer.chunks():
                passing = (
                    await in_flight.read(chunk) if in_flight.is_large(chunk) else in_flight.tally.feed(chunk)
                )
                if passing:
                    await reply.write(passing)
                if in_flight.budget_is_due:
                    await self._closing.enforce_budget(in_flight)
                if in_flight.tally.done:
                    await in_flight.read_rest(answer)
                    break
            settled = await self._closing.settle(in_flight)
            reply.add_headers(receipt_headers(settled))
            await reply.end(in_flight.tail(usd_string(settled.charged_nano) if request.wants_cost else None))
        except BaseException as failure:
            refusal = await self._closing.fail(in_flight, failure)
            if refusal is None:
                raise
            if not reply.started:
                raise refusal from failure
            await reply.break_off(refusal)
        finally:
            in_flight.let_go()

    def _call(self, request: InboundRequest, key: Key, routed: RoutedCall) -> Call:
        target = routed.route.targets[0]
        return Call(
            id=request.id,
            account_id=key.account_id,
            key_id=key.id,
            endpoint=routed.endpoint.name,
            model=routed.ask.model,
            upstream=target.upstream.name,
            upstream_model=target.model or routed.ask.model,
            stream=routed.ask.stream,
            started_at_us=self._clock.now_us(),
            end_user=routed.ask.end_user,
        )

    async def _forward(
        self, request: InboundRequest, routed: RoutedCall, budget: OutputBudget, in_flight: InFlightCall
    ) -> Answer:
        """One target after the other until one answers. Raises the last UpstreamFailure when none does."""
        endpoint, targets = routed.endpoint, routed.route.targets
        last = len(targets) - 1
        for index, target in enumerate(targets):
            model = target.model or routed.ask.model
            upstream = target.upstream
            plan = ForwardPlan(model, budget.clamped_to, upstream.output_bound_field, upstream.include_usage)
            path = target.path or endpoint.upstream_path
            body = await forward_body(routed, plan)
            upstream_request = UpstreamRequest(
                request.method, path, request.query, request.headers, body, endpoint.repeatable
            )
            if index:
                await self._closing.goes_to(in_flight, upstream.name, model)
            try:
                answer = await self._upstreams.send(target, upstream_request)
            except UpstreamFailure as failure:
                if index == last or not (endpoint.repeatable or failure.untouched):
                    raise
                continue
            if index < last and endpoint.repeatable and answer.status in FAILOVER_STATUSES:
                answer.close()
                continue
            in_flight.answered(answer)
            return answer
        raise AssertionError(
            "a route has at least one target"
        )  # pragma: no cover - the configuration sees to it.

    async def _pass_error(self, answer: Answer, in_flight: InFlightCall, reply: ClientReply) -> None:
        """Void the hold and hand the upstream's own error on, unless it is about our credential there."""
        body = b"".join([chunk async for chunk in answer.chunks()])
        denied = answer.status in OUR_CREDENTIAL_STATUSES and not (
            answer.status == 403 and is_moderation(body)
        )
        if denied or (answer.status == 429 and b"insufficient_quota" in body):
            raise UpstreamFailure(
                "upstream_denied", "The upstream does not accept Farebox's own credential for this."
            )
        await self._closing.refused(in_flight)
        await reply.end(body)
