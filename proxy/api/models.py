"""GET /v1/models and /v1/models/{id}: the models of a key, their prices, and how they are billed."""

from collections.abc import Callable
from fnmatch import fnmatchcase

from aiohttp import web

from proxy.call.policy import Catalog
from proxy.clock import Clock
from proxy.edge.auth import account_key
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.globs import is_glob
from proxy.ledger.rows import Key
from proxy.ledger.store import Store
from proxy.money import NANO_PER_USD, decimal_string
from proxy.pricing.rates import Case, RateCard


class Models:
    """The list of models. Routes and cards have globs, so the list has the names that either spells out."""

    def __init__(self, *, store: Store, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """The two routes."""
        return [web.get("/v1/models", self.list), web.get("/v1/models/{id:.+}", self.show)]

    async def list(self, request: web.Request) -> web.Response:
        """All models that the key may use."""
        key = await account_key(request, store=self._store, clock=self._clock)
        catalog = self._catalog()
        shown = [self._described(name, key, catalog) for name in _names(catalog)]
        return web.json_response({"object": "list", "data": [model for model in shown if model]})

    async def show(self, request: web.Request) -> web.Response:
        """One model; 404 `model_not_found` unless the key may use it."""
        key = await account_key(request, store=self._store, clock=self._clock)
        name = request.match_info["id"]
        model = self._described(name, key, self._catalog())
        if model is None:
            raise Refusal("model_not_found", f"The model {name!r} is not served for this key.", param="model")
        return web.json_response(model)

    def _described(self, name: str, key: Key, catalog: Catalog) -> dict[str, object] | None:
        if key.models and not any(fnmatchcase(name, glob) for glob in key.models):
            return None
        endpoints: list[str] = []
        card: RateCard | None = None
        for endpoint in ENDPOINTS.values():
            route = catalog.routes.for_model(endpoint.name, name)
            found = route and catalog.book.card_of(route.rate_card, name, endpoint.name)
            if found and found.may_cover(endpoint.meters):
                endpoints.append(endpoint.path)
                card = found
        if card is None:
            return None
        return {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "farebox",
            "endpoints": endpoints,
            **priced(card),
        }


def priced(card: RateCard) -> dict[str, object]:
    """A rate card as the list shows it: exact US dollars as strings, for so many units of each meter."""
    rest = {
        "max_output_tokens": card.default_bound,
        "input_allowance_tokens": card.input_allowance,
        "service_tiers": {tier: decimal_string(multiplier) for tier, multiplier in card.service_tiers},
        "cases": [_case(case) for case in card.cases],
    }
    said = {name: value for name, value in rest.items() if value}
    billed = card if card.rates else card.variants[-1]
    return {"billing_type": billed.billing_type, **_rates(card), **said}


def _case(case: Case) -> dict[str, object]:
    """All rates of calls whose parameters have these values, and their bound."""
    bound = {"max_output_tokens": case.card.default_bound} if case.card.default_bound else {}
    return {"when": dict(case.when), **_rates(case.card), **bound}


def _rates(card: RateCard) -> dict[str, object]:
    rates = {
        rate.meter: {"price": decimal_string(rate.price / NANO_PER_USD), "per": rate.per, "currency": "USD"}
        for rate in card.rates
    }
    return {"pricing": rates, "price_id": card.price_id}


def _names(catalog: Catalog) -> list[str]:
    return sorted({glob for glob in (*catalog.routes.globs, *catalog.book.globs) if not is_glob(glob)})
