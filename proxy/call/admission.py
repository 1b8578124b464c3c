"""Admission: who asks, where the call goes, the most it can cost, and the hold for that."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from proxy.call.base import About, AdmittedCall, InboundRequest, RoutedCall
from proxy.call.callers import Callers
from proxy.call.fitting import OF_FUNDS, exact_ceiling, is_worth_counting, least_useful, refusal_of
from proxy.call.objects import Objects
from proxy.call.off_loop import LARGE_BYTES, in_thread
from proxy.call.policy import Catalog
from proxy.call.renewals import Renewals
from proxy.call.runs import with_run
from proxy.call.terms import Terms, card_at, on_own_key, terms_for
from proxy.clock import Clock
from proxy.endpoints.base import Endpoint
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.registry import ENDPOINTS, KINDS
from proxy.endpoints.tools import ToolEndpoint
from proxy.endpoints.unserved import reason_against
from proxy.errors import Refusal
from proxy.ledger.commands import Authorize, Refused, Regrouped
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Call, Caller, Limits
from proxy.ledger.store import Store
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import tokens_of
from proxy.pricing.charge import worst_nano
from proxy.upstream.routes import Routes

SHOWN_CHARS: Final = 100
"""How much of a path is repeated to the client."""
TOOLS_SHOWN: Final = 32

_OF_GROUPS: Final = frozenset({402, 403})
"""The statuses of refusals that calls of another group may pass."""


class Admission:
    """identify, route, estimate and authorize: the steps before anything is forwarded."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        clock: Clock,
        endpoints: Mapping[str, Endpoint] = ENDPOINTS,
        kinds: Sequence[ObjectKind] = KINDS,
        on_unknown_group: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._endpoints = endpoints
        self.renewals = Renewals(ledger=ledger, clock=clock)
        self._callers = Callers(store=store, clock=clock)
        self._objects = Objects(store=store, clock=clock, kinds=kinds)
        self._made = {kind.endpoint: About(kind) for kind in kinds}
        self._on_unknown_group = on_unknown_group

    async def identify(self, request: InboundRequest, *, anew: bool = False) -> Caller:
        """The key behind the request's secret, and its group. Raises Refusal 401.

        It may be as it was some seconds ago, unless it is read `anew`.
        """
        known = None if anew else self._callers.known(request.secret)
        caller = known or await self._callers.identify(request.secret)
        facts, key = request.facts, caller.key
        facts["account_id"], facts["key_id"] = key.account_id, key.id
        return caller

    async def route(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
        """Read the request and find its route and rate card. Raises Refusal 400, 403, 404, 405 or 413.

        What it asks of an object, or names in its body, has to be of the key's account. Nobody is refused for
        the group that an account has left, nor for want of what it should have been given by now.
        """
        if caller.group:
            caller = await self._settled(request, caller, catalog)
        try:
            return await self._routed(request, caller, catalog)
        except Refusal as refused:
            if refused.kind.status not in _OF_GROUPS or not catalog.groups.known:
                raise
            present = await self.identify(request, anew=True)
            if present.group == caller.group:
                raise
        return await self._routed(request, present, catalog)

    async def _settled(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> Caller:
        """The caller once its account has what its group gives, and has paid what it asks."""
        account_id, dues = caller.key.account_id, catalog.groups.of(caller.group).dues
        if not dues.is_any or self.renewals.is_settled(account_id, dues):
            return caller
        group = await self.renewals.settle(account_id, caller.group, catalog.groups)
        return caller if group == caller.group else await self.identify(request, anew=True)

    async def _routed(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
        """As `route`, for the group that the caller is known to be in."""
        routed = await self._model_call(request, caller, catalog)
        if caller.group:
            routed = self._in_group(routed, caller, catalog)
        if caller.counts_users and routed.ask.end_user:
            routed = replace(routed, counts_user=True)
        return _in_run(routed, request, catalog)

    def _in_group(self, routed: RoutedCall, caller: Caller, catalog: Catalog) -> RoutedCall:
        """A call of an account in a group, which has to be allowed its model."""
        group, model = catalog.groups.of(caller.group), routed.ask.model
        if not group.name:
            self._on_unknown_group(caller.group)
        elif not group.may_use(model):
            raise Refusal(
                "model_not_allowed", f"The group {group.name} is not allowed to use {model}.", param="model"
            )
        return replace(routed, group=caller.group, quota=group.quota_of(model) if group.quotas else None)

    async def _model_call(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
        group = caller.group
        endpoint = self._endpoints.get(request.path)
        if endpoint is None:
            return await self._other_call(request, caller, catalog)
        if request.method != "POST":
            raise Refusal(
                "method_not_allowed",
                f"{request.path} takes POST, not {request.method}.",
                headers={"Allow": "POST"},
            )
        body = await request.body_at_hand()
        if body is None:
            costs = not catalog.book.has_free(endpoint.meters, endpoint.name, group)
            body = await self._late_body(request, costs=costs)
        if len(body) <= LARGE_BYTES:
            ask = endpoint.read(body, request.headers)
        else:
            ask = await in_thread(len(body), partial(endpoint.read, body, request.headers))
        request.facts["model"] = ask.model
        route = catalog.routes.for_model(endpoint.name, ask.model)
        if route is None:
            raise Refusal(
                "model_not_found",
                f"The model {ask.model!r} is not served on {request.path}; GET /v1/models lists what is.",
                param="model",
            )
        request.facts["route"] = route.name
        card = catalog.book.card_now(route.rate_card, ask.model, endpoint.name, self._clock.now_us, group)
        if card is None or not card.may_cover(endpoint.meters):
            raise Refusal(
                "model_not_priced", f"The model {ask.model!r} has no price, so it is refused.", param="model"
            )
        card = card_at(card, ask.parameters, endpoint.meters)
        if ask.features or card.is_special:
            account_id = caller.key.account_id
            route, card = on_own_key(catalog.routes, route, card, account_id)
            route = await self._objects.narrowed(route, account_id, ask.features)
            terms = await terms_for(ask.features, route, card, body)
        else:
            terms = Terms(card)
        about = self._made.get(endpoint.name)
        if about is not None and not about.kind.made_by(ask):
            about = None
        return RoutedCall(endpoint, ask, route, terms, body, about)

    async def _other_call(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
        """What is no call of a model: that of a tool, or one that is about an object."""
        routes = catalog.routes
        if routes.for_path(request.method, request.path) is None and not routes.methods_of(request.path):
            routed = await self._objects.route(request, caller, catalog, self._body_of)
            if routed is not None:
                return routed
        return await self._tool_call(request, caller, catalog)

    async def _body_of(self, request: InboundRequest, *, costs: bool) -> bytes:
        body = await request.body_at_hand()
        return await self._late_body(request, costs=costs) if body is None else body

    async def _tool_call(self, request: InboundRequest, caller: Caller, catalog: Catalog) -> RoutedCall:
        route = catalog.routes.for_path(request.method, request.path)
        if route is None:
            methods = catalog.routes.methods_of(request.path)
            if methods:
                raise Refusal(
                    "method_not_allowed",
                    f"{request.path} takes {', '.join(methods)}, not {request.method}.",
                    headers={"Allow": ", ".join(methods)},
                )
            raise unserved(request.path, catalog.routes, self._endpoints)
        request.facts["route"] = route.name
        endpoint = ToolEndpoint(route.name, request.path, route.plan, query=request.query)
        now_us = self._clock.now_us
        card = catalog.book.card_now(route.rate_card, route.name, endpoint.name, now_us, caller.group)
        if card is None or not card.may_cover(endpoint.meters):
            raise Refusal("model_not_priced", f"The tool {route.name!r} has no price, so it is refused.")
        body = await request.body_at_hand()
        if body is None:
            body = await self._late_body(request, costs=not card.may_be_free_for(endpoint.meters))
        read = partial(endpoint.read, body, request.headers)
        ask = read() if len(body) <= LARGE_BYTES else await in_thread(len(body), read)
        card = card_at(card, ask.parameters, endpoint.meters)
        about = None if route.makes is None else About(route.makes)
        route, card = on_own_key(catalog.routes, route, card, caller.key.account_id)
        terms = await terms_for(ask.features, route, card, body)
        return RoutedCall(endpoint, ask, route, terms, body, about)

    async def _late_body(self, request: InboundRequest, *, costs: bool) -> bytes:
        """A body that has to be waited for, which it is only if the call could be let through."""
        assert request.secret is not None, "the request was identified"
        await self._callers.screen(request.secret, costs=costs)
        return await request.body()

    async def authorize(
        self, request: InboundRequest, call: Call, routed: RoutedCall, catalog: Catalog
    ) -> AdmittedCall:
        """Hold the call's ceiling, clamped to what can be paid where the policy allows.

        When the account has another group by now, or limits of end users, the call is made anew as one of
        these. Raises Refusal as `route` does, and for want of funds or rates.
        """
        admitted = await self._within(request, call, routed, catalog)
        first = routed
        while isinstance(admitted, Regrouped):
            if admitted.counts_user:
                call = replace(call, counts_user=True)
                self._callers.count_users(request.secret)
            elif routed is first:
                routed = await self._routed(request, await self.identify(request, anew=True), catalog)
            else:
                raise Refusal("conflict", "The group of the account was changed again meanwhile; try again.")
            admitted = await self._within(request, call, routed, catalog)
        return admitted

    def _within(
        self, request: InboundRequest, call: Call, routed: RoutedCall, catalog: Catalog
    ) -> Coroutine[Any, Any, AdmittedCall | Regrouped]:
        """A call with its hold: within its quota, or beyond it at the usual price where that may be."""
        quota = routed.quota
        if quota is None or not quota.is_charged_beyond:
            return self._held(call, routed, catalog)
        return self._within_quota(request, call, routed, catalog)

    async def _within_quota(
        self, request: InboundRequest, call: Call, routed: RoutedCall, catalog: Catalog
    ) -> AdmittedCall | Regrouped:
        try:
            return await self._held(call, routed, catalog)
        except Refusal as refused:
            if refused.code != "quota_exceeded":
                raise
        caller = await self.identify(request)
        usual = await self._model_call(request, Caller(caller.key), catalog)
        usual = _in_run(replace(usual, group=routed.group), request, catalog)
        return await self._held(call, usual, catalog)

    async def _held(self, call: Call, routed: RoutedCall, catalog: Catalog) -> AdmittedCall | Regrouped:
        """A call with its hold.

        The cheap ceiling is tried first, all or nothing. If it does not fit, the call is decided about anew
        by the least that it has to hold: counted exactly where that could help, and clamped. So a refusal
        never asks for more, and a call that could pass with nothing else in flight is never sent away.
        """
        ask, card, defaults = routed.ask, routed.terms.card, catalog.groups.of(routed.group).limits
        bound = ceiling = routed.bounded(ask.ceiling())
        command = self._command(call, routed, ceiling, ceiling, defaults, at_us=call.started_at_us)
        result = await self._ledger.authorize(command)
        if isinstance(result, Refused):
            if is_worth_counting(result, ask, ceiling, card):
                ceiling = routed.bounded(await exact_ceiling(ask))
            floor = least_useful(ceiling, catalog.policy)
            if ceiling is not bound or (floor is not ceiling and result.code in OF_FUNDS):
                command = self._command(call, routed, ceiling, floor, defaults, at_us=self._clock.now_us())
                result = await self._ledger.authorize(command)
        if isinstance(result, Refused):
            raise refusal_of(result, card, ceiling)
        if isinstance(result, Regrouped):
            return result
        return AdmittedCall(call, routed, result, command.at_us, ceiling, command.ceiling_nano, defaults)

    def _command(
        self,
        call: Call,
        routed: RoutedCall,
        ceiling: Ceiling,
        floor: Ceiling,
        defaults: Limits,
        *,
        at_us: int,
    ) -> Authorize:
        card, usage = routed.terms.card, ceiling.usage
        ceiling_nano = worst_nano(card, usage)
        return Authorize(
            call=call,
            ceiling_nano=ceiling_nano,
            floor_nano=ceiling_nano if floor is ceiling else worst_nano(card, floor.usage),
            tokens=tokens_of(usage),
            at_us=at_us,
            owner=self._store.owner,
            defaults=defaults,
            group=routed.group,
            quota=routed.quota.quota if routed.quota is not None else None,
        )


def _in_run(routed: RoutedCall, request: InboundRequest, catalog: Catalog) -> RoutedCall:
    """A call with the markup of its run, if it is in one."""
    return with_run(routed, request, catalog.groups) if request.run or routed.ask.labels else routed


def unserved(path: str, routes: Routes, endpoints: Mapping[str, Endpoint]) -> Refusal:
    """The refusal of a path that no route has: why it is none to serve, or what is served."""
    shown = path if len(path) <= SHOWN_CHARS else f"{path[:SHOWN_CHARS]}..."
    if (reason := reason_against(path)) is not None:
        return Refusal("endpoint_denied", f"{shown} is not served: {reason}.")
    names = {name for route in routes.all for name in route.endpoints}
    of_models = [each.path for each in endpoints.values() if each.name in names]
    served = [*of_models, *(route.path for route in routes.tools[:TOOLS_SHOWN] if route.path), "/v1/models"]
    return Refusal("not_found", f"Nothing is served at {shown}; what is served is {', '.join(served)}.")
