"""The life of a call, in one function: see `Relay.relay`."""

from collections.abc import Callable
from typing import Protocol

from proxy.call.admission import Admission
from proxy.call.base import InboundRequest, RoutedCall
from proxy.call.budget import budget_of
from proxy.call.closing import Closing
from proxy.call.forwarding import Forwarding
from proxy.call.headers import admission_headers, cost_told, receipt_headers
from proxy.call.in_flight import InFlightCall
from proxy.call.policy import Catalog
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.rows import Call, Key
from proxy.upstream.base import Answer, UpstreamClient, UpstreamFailure
from proxy.upstream.denials import Denials
from proxy.upstream.moderation import is_moderation


class ClientReply(Protocol):
    """The reply to the client. Nothing is sent before the first `write`, so a refusal can take its place."""

    @property
    def started(self) -> bool:
        """Whether anything was sent."""
        ...

    def on_left(self, goes_on: Callable[[], bool]) -> None:
        """Ask this when the client has left: whether the call goes on; else its task is cancelled."""
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
        denials: Denials | None = None,
    ) -> None:
        self.catalog = catalog
        self._admission = admission
        self._closing = closing
        self._forwarding = Forwarding(
            upstreams=upstreams, closing=closing, clock=clock, denials=denials or Denials()
        )
        self._clock = clock

    async def relay(self, request: InboundRequest, reply: ClientReply) -> None:
        """Take one call from its first byte to its last. Raises Refusal while nothing was sent.

        Whatever happens after authorize, a cancel at any await included, `Closing` closes the hold exactly
        once. The bytes that complete the answer are sent only after that is durable.
        """
        catalog = self.catalog
        caller = await self._admission.identify(request)
        routed = await self._admission.route(request, caller, catalog)
        call = self._call(request, caller.key, routed)
        admitted = await self._admission.authorize(request, call, routed, catalog)
        in_flight = self._closing.open(admitted, catalog.policy)
        reply.on_left(in_flight.left)
        try:
            budget = budget_of(admitted)
            in_flight.begin(budget, keep_usage=request.wants_cost)
            answer = await self._forwarding.forward(request, admitted.routed, budget, in_flight)
            reply.head(answer.status, answer.headers)
            reply.add_headers(admission_headers(admitted, budget))
            if in_flight.phase == "error":
                await self._pass_error(answer, in_flight, reply)
                return
            if in_flight.passes_at_once:
                await self._closing.observe_first(in_flight)
            async for chunk in answer.chunks():
                passing = (
                    await in_flight.read(chunk) if in_flight.is_large(chunk) else in_flight.tally.feed(chunk)
                )
                if passing:
                    await reply.write(passing)
                if in_flight.budget_is_due and (released := await self._closing.enforce_budget(in_flight)):
                    await reply.write(released)
                if in_flight.tally.done:
                    await in_flight.read_rest(answer)
                    break
            settled = await self._closing.settle(in_flight)
            if settled is not None:
                reply.add_headers(receipt_headers(settled))
            cost = cost_told(settled) if request.wants_cost and settled else None
            at_once = cost is None and not in_flight.is_long
            await reply.end(in_flight.tally.tail() if at_once else await in_flight.tail(cost))
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
            metadata=routed.ask.labels,
            run_id=routed.run_id,
            counts_user=routed.counts_user,
        )

    async def _pass_error(self, answer: Answer, in_flight: InFlightCall, reply: ClientReply) -> None:
        """Void the hold and hand the upstream's own error on."""
        body = b"".join([chunk async for chunk in answer.chunks()])
        if answer.status == 403 and not is_moderation(body):
            # It is not said what about; it may be Farebox's own account, which is not the client's business.
            raise UpstreamFailure(
                "upstream_denied", "The upstream does not accept Farebox's own credential for this."
            )
        await self._closing.refused(in_flight)
        await reply.end(body)
