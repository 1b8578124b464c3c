"""Forwarding: one target after the other until one answers, and what came of each attempt."""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final

from proxy.call.base import InboundRequest, RoutedCall
from proxy.call.budget import OutputBudget
from proxy.call.closing import Closing
from proxy.call.in_flight import InFlightCall
from proxy.call.off_loop import LARGE_BYTES, in_thread
from proxy.clock import Clock
from proxy.endpoints.base import ForwardPlan
from proxy.ids import digest_of
from proxy.upstream.base import Answer, UpstreamClient, UpstreamFailure, UpstreamRequest
from proxy.upstream.denials import READ_BYTES, Denials, is_denial, needs_reading
from proxy.upstream.routes import Target, Upstream

FAILOVER_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
"""Answers after which the next target is tried; the last target's is passed on."""
REFUSAL_STATUSES: Final = frozenset({429})
"""Answers of a target that has surely not begun what it was asked: the next one may, whatever that is."""
_REPEAT_KEYS: Final = frozenset({"idempotency-key", "x-idempotency-key"})
READ_SECONDS: Final = 2.0
"""How long the body of an error may take that is read to find out what it is about."""


class Forwarding:
    """Sends calls to the targets of their routes, in order."""

    def __init__(
        self, *, upstreams: UpstreamClient, closing: Closing, clock: Clock, denials: Denials
    ) -> None:
        self._upstreams = upstreams
        self._closing = closing
        self._clock = clock
        self._denials = denials

    async def forward(
        self, request: InboundRequest, routed: RoutedCall, budget: OutputBudget, in_flight: InFlightCall
    ) -> Answer:
        """The answer of the first target that has one for the client. Raises UpstreamFailure without one.

        A target that refuses Farebox's own credential, or says that it is asked too often, has not acted on
        the request, so that the next one may have it, whatever it is. When the last one refuses the
        credential, that is `upstream_denied`.
        """
        targets, is_repeatable = routed.route.targets, routed.is_repeatable
        last = len(targets) - 1
        for index, target in enumerate(targets):
            if index:
                model = target.model or routed.ask.model
                await self._closing.goes_to(in_flight, target.upstream.name, model)
            try:
                answer = await self._attempt(
                    target, request, routed, budget, in_flight, repeatable=is_repeatable
                )
            except UpstreamFailure as failure:
                if index == last or in_flight.client_left or not (is_repeatable or failure.untouched):
                    raise
                continue
            name, status = target.upstream.name, answer.status
            if 200 <= status < 300:
                self._denials.answered(name, status)
                in_flight.answered(answer)
                return answer
            answer, denied = await _examined(answer)
            if denied:
                self._denials.denied(name, status)
                if index == last:
                    in_flight.answered(answer)
                    raise _denied(target.upstream)
            if not (index == last or in_flight.client_left) and (
                denied or status in REFUSAL_STATUSES or (is_repeatable and status in FAILOVER_STATUSES)
            ):
                answer.close()
                continue
            in_flight.answered(answer)
            return answer
        raise AssertionError(
            "a route has at least one target"
        )  # pragma: no cover - the configuration sees to it.

    async def _attempt(
        self,
        target: Target,
        request: InboundRequest,
        routed: RoutedCall,
        budget: OutputBudget,
        in_flight: InFlightCall,
        *,
        repeatable: bool,
    ) -> Answer:
        """Send the call to one target, and remember what came of it, however that ends."""
        endpoint, upstream = routed.endpoint, target.upstream
        model = target.model or routed.ask.model
        plan = ForwardPlan(model, budget.clamped_to, upstream.output_bound_field, upstream.include_usage)
        size, make = len(routed.body), routed.ask.forward_body
        body = make(plan) if size <= LARGE_BYTES else await in_thread(size, partial(make, plan))
        path = target.path or endpoint.upstream_path
        headers = of_account(request.headers, in_flight.call.account_id)
        outgoing = UpstreamRequest(request.method, path, request.query, headers, body, repeatable)
        status, begun_us = None, self._clock.monotonic_us()
        try:
            answer = await self._upstreams.send(target, outgoing)
            status = answer.status
            return answer
        finally:
            in_flight.tried(upstream.name, status, self._clock.monotonic_us() - begun_us)


def _denied(upstream: Upstream) -> UpstreamFailure:
    whose = "the account's own key" if upstream.account_id else "Farebox's own credential"
    return UpstreamFailure("upstream_denied", f"The upstream does not accept {whose} for this.")


def of_account(headers: tuple[tuple[str, str], ...], account_id: str) -> tuple[tuple[str, str], ...]:
    """Headers in which a key for repeats is the account's own.

    An upstream answers a repeat as it did before. All accounts are one to it, so that the key of one must not
    lead another to what is not its own.
    """
    places = _repeat_keys(tuple(map(_name_of, headers)))
    if not places:
        return headers
    return tuple(
        (name, digest_of(f"{account_id} {value}") if place in places else value)
        for place, (name, value) in enumerate(headers)
    )


_name_of: Final = itemgetter(0)


# All send the same few names again and again, and hardly any of them a key. The bound is for others.
@lru_cache(maxsize=256)
def _repeat_keys(names: tuple[str, ...]) -> frozenset[int]:
    """Where there are keys for repeats, however a server may read their names."""
    return frozenset(
        place for place, name in enumerate(names) if name.lower().replace("_", "-") in _REPEAT_KEYS
    )


async def _examined(answer: Answer) -> tuple[Answer, bool]:
    """An error answer, which can still be read from its beginning, and whether it is a denial."""
    if not needs_reading(answer.status):
        return answer, is_denial(answer.status, b"")
    begun = BegunAnswer(answer)
    return begun, is_denial(answer.status, await begun.beginning())


class BegunAnswer:
    """An answer of whose body something has been read already. Satisfies `proxy.upstream.base.Answer`."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.close = answer.close
        self._rest = answer.chunks()
        self._read: list[bytes] = []
        self._failure: UpstreamFailure | None = None

    async def beginning(self) -> bytes:
        """What comes of the body in a moment, or as much of it as is looked at."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for chunk in self._rest:
                    self._read.append(chunk)
                    if sum(map(len, self._read)) >= READ_BYTES:
                        break
        except TimeoutError:
            pass  # What has come decides, and the rest may come later.
        except UpstreamFailure as failure:
            self._failure = failure
        return b"".join(self._read)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body from its beginning. Raises UpstreamFailure when it stalls or breaks off."""
        while self._read:
            yield self._read.pop(0)
        if self._failure is not None:
            raise self._failure
        async for chunk in self._rest:
            yield chunk
