"""GET /v1/models and /v1/models/{id}: the models of a key, their prices, and how they are billed.

Clients of Anthropic's get them in its shape, all others in OpenAI's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec
from aiohttp import web

from proxy.api import decode
from proxy.api.views.models import ModelsQuery, ServedModel, View, anthropic_view, openai_view
from proxy.call.policy import Catalog
from proxy.clock import Clock
from proxy.edge.auth import account_caller
from proxy.endpoints.dialects import asks_anthropic
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.globs import is_glob
from proxy.ledger.store import Store
from proxy.upstream.model_lists import Listed, ListedModel, ModelLists
from proxy.upstream.routes import Route

FEW: Final = 32
"""So many models are described on the loop; more of them in a thread."""
REMEMBERED: Final = 64
UNKNOWN: Final = ListedModel()
_FIELDS: Final = frozenset(ModelsQuery.__struct_fields__)

Allowed = tuple[tuple[str, ...], str]
"""The globs of a key, and the group of its account."""
ListedByUpstream = Mapping[str, Listed]
"""What upstreams list of their own, by their names."""


class Served:
    """The models of a catalog for keys with one allow-list in one group, with what its upstreams list."""

    def __init__(self, allowed: Allowed, catalog: Catalog, listed: ListedByUpstream) -> None:
        self._globs, self._group = allowed[0], catalog.groups.of(allowed[1])
        self._catalog = catalog
        self._listed = listed

    def fits(self, catalog: Catalog, listed: ListedByUpstream) -> bool:
        """Whether it is about just these."""
        if catalog is not self._catalog or listed.keys() != self._listed.keys():
            return False
        return all(listed[name] is models for name, models in self._listed.items())

    def all(self) -> list[ServedModel]:
        """Every model, by name: those spelled out, and those listed that the globs of a route match."""
        spelled = (*self._catalog.routes.globs, *self._catalog.book.globs)
        names = {name for name in spelled if not is_glob(name)}
        for route in self._catalog.routes.all:
            listed = (
                name
                for target in route.targets
                if target.model is None
                for name in self._of(target.upstream.name)
            )
            names |= {name for name in listed if self._is_on(route, name)}
        return [model for name in sorted(names) if (model := self.model(name)) is not None]

    def model(self, name: str) -> ServedModel | None:
        """A model by its name; None unless the keys may use it and it has a price."""
        if self._globs and not any(fnmatchcase(name, glob) for glob in self._globs):
            return None
        if not self._group.may_use(name):
            return None
        catalog, found, endpoints = self._catalog, None, []
        for endpoint in ENDPOINTS.values():
            route = catalog.routes.for_model(endpoint.name, name)
            card = route and catalog.book.card_of(route.rate_card, name, endpoint.name, self._group.name)
            if route and card and card.may_cover(endpoint.meters):
                endpoints.append(endpoint.path)
                found = found or (route, card)
        if found is None:
            return None
        route, card = found
        said = self._said_of(route, name)
        return ServedModel(name, card, endpoints, said.created, card.context or said.context)

    def _is_on(self, route: Route, name: str) -> bool:
        """Whether a route serves a model, and no earlier one does."""
        return any(self._catalog.routes.for_model(each, name) is route for each in route.endpoints)

    def _of(self, upstream: str) -> Listed:
        return self._listed.get(upstream, {})

    def _said_of(self, route: Route, name: str) -> ListedModel:
        """What the first upstream that lists it says of a model."""
        said = (self._of(target.upstream.name).get(target.model or name) for target in route.targets)
        return next((each for each in said if each is not None), UNKNOWN)


class Models:
    """The two routes. What keys with one allow-list in one group may use is remembered until that changes."""

    def __init__(
        self, *, store: Store, catalog: Callable[[], Catalog], clock: Clock, lists: ModelLists
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._lists = lists
        self._remembered: dict[Allowed, tuple[Served, list[ServedModel]]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The two routes."""
        return [web.get("/v1/models", self.list), web.get("/v1/models/{id:.+}", self.show)]

    async def list(self, request: web.Request) -> web.Response:
        """All models that the key may use; in Anthropic's shape one page of them."""
        allowed = await self._allowed(request)
        if not asks_anthropic(request.headers):
            return await _answer({"object": "list"}, await self._models(allowed), self._as_of(openai_view))
        pairs = [(name, value) for name, value in request.query.items() if name in _FIELDS]
        query = decode.from_query(pairs, ModelsQuery)
        cycles = [*request.query.getall("lifecycle", []), *request.query.getall("lifecycle[]", [])]
        models = await self._models(allowed) if not cycles or "active" in cycles else []
        return await _answer(*page(models, query), self._as_of(anthropic_view))

    async def show(self, request: web.Request) -> web.Response:
        """One model; 404 `model_not_found` unless the key may use it."""
        allowed = await self._allowed(request)
        name = request.match_info["id"]
        model = (await self._served(allowed)).model(name)
        if model is None:
            raise Refusal("model_not_found", f"The model {name!r} is not served for this key.", param="model")
        view = anthropic_view if asks_anthropic(request.headers) else openai_view
        return web.json_response(self._as_of(view)(model))

    def _as_of(self, view: Callable[[ServedModel, int], View]) -> Callable[[ServedModel], View]:
        """A view of models as they are priced now."""
        now_us = self._clock.now_us()
        return lambda model: view(model, now_us)

    async def _allowed(self, request: web.Request) -> Allowed:
        caller = await account_caller(request, store=self._store, clock=self._clock)
        return caller.key.models, caller.group

    async def _models(self, allowed: Allowed) -> Sequence[ServedModel]:
        served = await self._served(allowed)
        remembered = self._remembered.get(allowed)
        if remembered is not None and remembered[0] is served:
            return remembered[1]
        models = await asyncio.to_thread(served.all)
        while len(self._remembered) >= REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[allowed] = served, models
        return models

    async def _served(self, allowed: Allowed) -> Served:
        catalog = self._catalog()
        upstreams = {
            target.upstream.name: target.upstream for route in catalog.routes.all for target in route.targets
        }
        found = await asyncio.gather(*map(self._lists.of, upstreams.values()))
        listed = dict(zip(upstreams, found, strict=True))
        remembered = self._remembered.get(allowed)
        if remembered is not None and remembered[0].fits(catalog, listed):
            return remembered[0]
        return Served(allowed, catalog, listed)


async def _answer(
    head: View, models: Sequence[ServedModel], view: Callable[[ServedModel], View]
) -> web.Response:
    """A list of models, made in a thread if that would stall the loop. `head` is what stands before them."""

    def body() -> bytes:
        data = b",".join([msgspec.json.encode(view(model)) for model in models])
        return msgspec.json.encode(head).removesuffix(b"}") + b',"data":[' + data + b"]}"

    made = body() if len(models) <= FEW else await asyncio.to_thread(body)
    return web.Response(body=made, content_type="application/json", charset="utf-8")


def page(models: Sequence[ServedModel], query: ModelsQuery) -> tuple[View, Sequence[ServedModel]]:
    """One page, and what is said of it: the models after an id, or those right before one."""
    rest = [model for model in models if model.name > query.after_id]
    if query.before_id:
        rest = [model for model in rest if model.name < query.before_id]
    page = rest[-query.limit :] if query.before_id and not query.after_id else rest[: query.limit]
    first, last = (page[0].name, page[-1].name) if page else (None, None)
    return {"has_more": len(rest) > len(page), "first_id": first, "last_id": last}, page
