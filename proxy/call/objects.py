"""What is asked of objects: each is looked up by its account and its id, and asked where it was made.

An id that another account has is answered as one that nobody has. Upstreams may use the same ids: the row of
an account's object says which of them has it, and no other is ever asked.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from proxy.call.base import About, InboundRequest, Job, KnownObject, RoutedCall
from proxy.call.off_loop import off_loop
from proxy.call.policy import Catalog
from proxy.call.terms import card_at, on_own_key, terms_for
from proxy.clock import Clock
from proxy.endpoints.features import Feature
from proxy.endpoints.objects import (
    CreationAsk,
    Found,
    Given,
    ObjectAsk,
    ObjectEndpoint,
    ObjectKind,
    ObjectPaths,
    Source,
)
from proxy.endpoints.tallies.sighted import is_id
from proxy.errors import Refusal
from proxy.ledger.rows import Call, Caller, Object, Observed
from proxy.ledger.store import Row, Store
from proxy.pricing.book import FREE_CARD
from proxy.upstream.routes import Route, Target

_REPEATABLE: Final = frozenset({"GET", "HEAD", "DELETE"})

_decode_observed: Final = msgspec.json.Decoder(Observed).decode
_decode_list: Final = msgspec.json.Decoder(list[Any]).decode


class LateBody(Protocol):
    """Gives the body of a request, after a check of whether its caller could make the call."""

    async def __call__(self, request: InboundRequest, *, costs: bool) -> bytes:
        """The body. A call that `costs` needs funds. Raises Refusal."""
        ...


class Objects:
    """Reads accounts' objects, and routes what is asked of them to the upstream that made each."""

    def __init__(self, *, store: Store, clock: Clock, kinds: Sequence[ObjectKind]) -> None:
        self._store = store
        self._clock = clock
        self._paths = ObjectPaths(kinds)

    async def find(self, account_id: str, kind: str, id_: str) -> KnownObject | None:
        """An account's object of a kind, None where it has none of this id. Raises LedgerUnavailable."""
        if not is_id(id_):
            return None
        params = {"account_id": account_id, "id": id_, "now_us": self._clock.now_us()}
        rows = await self._store.query("object_by_id", params)
        known = known_of(rows[0]) if rows else None
        return known if known is not None and known.row.kind == kind else None

    async def narrowed(self, route: Route, account_id: str, features: Sequence[Feature]) -> Route:
        """A route with only those targets whose upstream has every object that a request names.

        Raises Refusal: `not_found` for an object that the account does not have, `invalid_value` when no
        target is left.
        """
        for feature in features:
            name = feature.refers
            if name is None:
                continue
            known = await self.find(account_id, name.kind, name.id)
            if known is None:
                raise _absent(name.kind, name.id, feature.member)
            targets = at_upstream(route, known.row.upstream)
            if not targets:
                raise Refusal(
                    "invalid_value",
                    f"The model is not served where the {name.kind} of `{feature.member}` was made.",
                    param=feature.member,
                )
            route = replace(route, targets=targets)
        return route

    async def route(
        self, request: InboundRequest, caller: Caller, catalog: Catalog, late_body: LateBody
    ) -> RoutedCall | None:
        """Where a request about an object goes; None where its path is that of none.

        Raises Refusal 404 for what is not this account's, and others as the admission of any call does.
        """
        method, path = request.method, request.path
        found = self._paths.find(method, path)
        if found is None and (kinds := catalog.routes.kinds):
            found = ObjectPaths([*kinds.values()]).find(method, path)
        if found is None:
            return None
        if found.derivation is not None:
            body = await late_body(request, costs=True)
            return await self._derived(request, caller, catalog, found, body)
        asked = found.route
        assert asked is not None
        is_new = asked is found.kind.creation
        known = None if is_new else await self._known(caller.key.account_id, found.kind, found.id)
        request.facts["model"] = known.row.model if known is not None else ""
        given = Given()
        if asked.takes:
            body = await late_body(request, costs=asked.turned_on is not None)
            given = await off_loop(len(body), partial(asked.read, body))
        if known is None:
            return await self._created(request, caller, catalog, found.kind, given)
        return await self._asked(request, catalog, found, known, given)

    async def _created(
        self, request: InboundRequest, caller: Caller, catalog: Catalog, kind: ObjectKind, given: Given
    ) -> RoutedCall:
        """What is made for free is made where a model is served, or where the first one is."""
        request.facts["model"] = given.model
        routes, creation = catalog.routes, kind.creation
        assert creation is not None
        route = routes.for_model(kind.beside, given.model) if given.model else routes.first_on(kind.beside)
        if route is None:
            what = f"The model {given.model!r}" if given.model else "No model"
            is_not = "is not served" if given.model else "is served"
            raise Refusal("model_not_found", f"{what} {is_not} on {kind.beside}, so no {kind.name} is made.")
        route = routes.with_own_key(route, caller.key.account_id)
        route = await self.narrowed(route, caller.key.account_id, given.features)
        terms = await terms_for(given.features, route, FREE_CARD, given.body)
        name = f"{kind.endpoint}.{creation.name}"
        endpoint = ObjectEndpoint(name, request.path, kind.upstream_path, repeatable=False)
        ask = CreationAsk(kind, given.model, given.body)
        return RoutedCall(endpoint, ask, route, terms, given.body, About(kind))

    async def _asked(
        self, request: InboundRequest, catalog: Catalog, found: Found, known: KnownObject, given: Given
    ) -> RoutedCall:
        """What is asked of an object goes where that was made, and is free."""
        kind, asked, row = found.kind, found.route, known.row
        assert asked is not None
        upstream = catalog.routes.upstream(row.upstream)
        if upstream is None:
            raise Refusal(
                "upstream_unreachable", f"The upstream that has this {row.kind} is not in use any more."
            )
        name = f"{kind.endpoint}.{asked.name}"
        path = kind.upstream_path_of(row.id, asked, found.item)
        endpoint = ObjectEndpoint(name, request.path, path, repeatable=request.method in _REPEATABLE)
        route = await self.narrowed(Route(name, (Target(upstream),)), row.account_id, given.features)
        terms = await terms_for(given.features, route, FREE_CARD, given.body)
        ask = ObjectAsk(kind, asked.told(request.query), row.id, row.model, given.body)
        return RoutedCall(endpoint, ask, route, terms, given.body, About(kind, known))

    async def _derived(
        self, request: InboundRequest, caller: Caller, catalog: Catalog, found: Found, body: bytes
    ) -> RoutedCall:
        """What is made from an object is made where that is, at the price of its model."""
        kind, derivation, headers = found.kind, found.derivation, request.headers
        assert derivation is not None
        id_ = found.id or await off_loop(len(body), partial(derivation.source_id, body, headers))
        account_id, now_us = caller.key.account_id, self._clock.now_us()
        row = (await self._known(account_id, kind, id_, None if found.id else kind.name)).row
        request.facts["model"] = row.model
        source = Source(row.id, row.model, row.seen)
        ask = await off_loop(len(body), partial(derivation.read, body, headers, source))
        route = catalog.routes.for_model(kind.endpoint, row.model)
        if route is None:
            raise _gone(row)
        card = catalog.book.card_now(route.rate_card, row.model, kind.endpoint, lambda: now_us, caller.group)
        if card is None or not card.may_cover(kind.meters):
            raise Refusal("model_not_priced", f"The model {row.model!r} has no price, so it is refused.")
        card = card_at(card, ask.parameters, kind.meters)
        route, card = on_own_key(catalog.routes, route, card, account_id)
        if not (targets := at_upstream(route, row.upstream)):
            raise _gone(row)
        terms = await terms_for(ask.features, route, card, body)
        name, path = f"{kind.endpoint}.{derivation.name}", derivation.upstream_path.replace("{id}", row.id)
        endpoint = ObjectEndpoint(name, request.path, path, repeatable=False)
        return RoutedCall(endpoint, ask, replace(route, targets=targets), terms, body, About(kind))

    async def _known(
        self, account_id: str, kind: ObjectKind, id_: str, param: str | None = None
    ) -> KnownObject:
        known = await self.find(account_id, kind.name, id_)
        if known is None:
            raise _absent(kind.name, id_, param)
        return known


def _gone(row: Object) -> Refusal:
    return Refusal("model_not_found", f"The model {row.model!r} is not served any more where it was made.")


def at_upstream(route: Route, upstream: str) -> tuple[Target, ...]:
    """The targets of a route that are on one upstream."""
    return tuple(target for target in route.targets if target.upstream.name == upstream)


def known_of(row: Row) -> KnownObject:
    """An object of `object_by_id` or `running_jobs`, with its job while that runs."""
    return KnownObject(msgspec.convert(row, Object), job_of(row))


def job_of(row: Row) -> Job | None:
    """The job of a row of these queries; None where it has ended."""
    text = row["call"]
    if text is None:
        return None
    assert isinstance(text, str)
    ids = (row["call_id"], row["account_id"], row["key_id"])
    # A process of another version may have written more values, or fewer.
    call = Call(*ids, *_decode_list(text)[: len(Call.__struct_fields__) - len(ids)])  # type: ignore[arg-type]
    observed = row["observed"]
    return Job(
        call,
        msgspec.convert(row["held_at_us"], int),
        msgspec.convert(row["deadline_us"], int),
        _decode_observed(observed) if isinstance(observed, str) else None,
        msgspec.convert(row["amount_nano"], int),
    )


def _absent(kind: str, id_: str, param: str | None = None) -> Refusal:
    return Refusal("not_found", f"There is no {kind} {id_[:256]!r} of this account.", param=param)
