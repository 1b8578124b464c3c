"""Routes of a file as routes in use: every target exists, every path is exact, every call has a price."""

from collections.abc import Mapping
from itertools import product
from typing import Final

from proxy.config.faults import Findings
from proxy.config.paths import is_reserved, path_fault
from proxy.config.schema import ConfigSchema, RouteSchema, TargetSchema
from proxy.config.tool_jobs import check_meetings, kind_made
from proxy.config.tools import TOOL_KEYS, plan_of, replaced_by
from proxy.config.upstreams import own_upstreams
from proxy.endpoints.registry import ENDPOINTS
from proxy.endpoints.tool_plan import PLAIN, ToolPlan
from proxy.globs import is_glob
from proxy.metering.usage import said
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.upstream.path_templates import may_meet, variables_of
from proxy.upstream.routes import Route, Routes, Target, Upstream
from proxy.validation import Path, did_you_mean, path_text

METERS_OF: Final = {endpoint.name: endpoint.meters for endpoint in ENDPOINTS.values()}
"""What must be priced on an endpoint, by its name."""


def build_routes(
    schema: ConfigSchema, upstreams: Mapping[str, Upstream], book: PriceBook, findings: Findings
) -> Routes:
    """The routes in order, without those whose upstreams are all left out. Faults go to `findings`."""
    builder = _Builder(schema, upstreams, book, findings)
    routes = [builder.route(index, route) for index, route in enumerate(schema.routes)]
    check_meetings(routes, findings)
    own = own_upstreams(schema.upstreams, upstreams, findings)
    return Routes([route for route in routes if route.targets], own)


class _Builder:
    """Builds one route after the other, and remembers what earlier ones serve."""

    def __init__(
        self, schema: ConfigSchema, upstreams: Mapping[str, Upstream], book: PriceBook, findings: Findings
    ) -> None:
        self._schema = schema
        self._upstreams = upstreams
        self._book = book
        self._findings = findings
        self._served: dict[tuple[str, str], Path] = {}
        self._names: dict[str, Path] = {}
        self._templates: dict[str, list[str]] = {}

    def route(self, index: int, schema: RouteSchema) -> Route:
        """The route of one item of `routes`."""
        path: Path = ("routes", index)
        card = self._card(schema, path)
        if (schema.models is None) == (schema.path is None):
            self._findings.fault(
                path, "needs either `models` or `path`" + (", not both" if schema.path else "")
            )
        elif schema.path is not None:
            self._check_path_route(schema, schema.path, path)
        else:
            self._check_model_route(schema, card, path)
        plan = plan_of(schema, card, path, self._findings) if schema.path else PLAIN
        return Route(
            name=self._name(schema, path),
            targets=tuple(self._targets(schema, plan, path)),
            models=tuple(schema.models or ()),
            endpoints=tuple(schema.endpoints) if schema.models else (),
            path=schema.path,
            methods=tuple(schema.methods) if schema.path else (),
            rate_card=schema.rate_card,
            plan=plan,
            makes=kind_made(schema, plan, path, self._findings) if schema.path else None,
        )

    def _check_path_route(self, schema: RouteSchema, url_path: str, path: Path) -> None:
        self._check_unused(path, "endpoints", "belongs to a route of models; this one has a path")
        fault = path_fault(url_path)
        if fault is None and is_reserved(url_path):
            fault = "is answered by Farebox itself"
        if fault is not None:
            self._findings.fault((*path, "path"), fault, url_path)
        for index, method in enumerate(schema.methods):
            self._serve((method, url_path), (*path, "methods", index))
            self._check_meets(method, url_path, (*path, "path"))
        if schema.rate_card is None:
            self._findings.fault(
                (*path, "rate_card"), "is missing; calls of a path are refused unless a card prices them"
            )

    def _check_meets(self, method: str, url_path: str, place: Path) -> None:
        """No request may match the templates of two routes."""
        if not variables_of(url_path):
            return
        for template in self._templates.setdefault(method, []):
            if template != url_path and may_meet(template, url_path):
                self._findings.fault(
                    place, f"can be the same path as {template}, which is served too", url_path
                )
        self._templates[method].append(url_path)

    def _check_model_route(self, schema: RouteSchema, card: RateCard | None, path: Path) -> None:
        for key in ("methods", *TOOL_KEYS):
            self._check_unused(path, key, "belongs to a route with a path; this one has models")
        for index, model in enumerate(schema.models or ()):
            place = (*path, "models", index)
            if not model.isprintable() or model != model.strip():
                self._findings.fault(
                    place, "must not have blanks around it, nor characters that cannot be seen", model
                )
            for endpoint in schema.endpoints:
                self._serve((endpoint, model), place)
            if schema.rate_card is None and not is_glob(model):
                self._check_price(schema, model, self._card_for(schema, model), place)
        if card is not None:
            self._check_price(schema, card.id, card, (*path, "rate_card"))

    def _card_for(self, schema: RouteSchema, model: str) -> RateCard | None:
        """The first card that prices a model on an endpoint of a route, be it for a group alone."""
        asked = product(self._book.groups, schema.endpoints)
        found = (self._book.card_of(None, model, endpoint, group) for group, endpoint in asked)
        return next((card for card in found if card), None)

    def _check_price(self, schema: RouteSchema, what: str, card: RateCard | None, place: Path) -> None:
        """Calls without a price are refused, so a card must price at least one of the route's endpoints."""
        if card is None:
            message = "is priced by no rate card, so every call of it would be refused; add one that matches"
            self._findings.fault(place, message, what)
            return
        endpoints = [name for name in schema.endpoints if not card.endpoints or name in card.endpoints]
        for version in card.versions:
            if any(version.may_cover(METERS_OF[endpoint]) for endpoint in endpoints):
                continue
            missing = said(version.missing(METERS_OF[endpoints[0]]))
            message = f"has no price on {endpoints[0]}: rate card {card.id!r} has no rate for {missing}"
            self._findings.fault(place, message, what)

    def _check_unused(self, path: Path, key: str, message: str) -> None:
        if self._findings.lines.has((*path, key)):
            self._findings.fault((*path, key), message)

    def _serve(self, what: tuple[str, str], place: Path) -> None:
        first = self._served.setdefault(what, place)
        if first != place:
            self._findings.fault(place, f"repeats {path_text(first)}: {' '.join(what)} is served by that")

    def _card(self, schema: RouteSchema, path: Path) -> RateCard | None:
        if schema.rate_card is None:
            return None
        card = self._book.by_id(schema.rate_card)
        if card is None:
            near = did_you_mean(schema.rate_card, self._schema.rate_cards)
            self._findings.fault((*path, "rate_card"), f"is not a rate card; {near}", schema.rate_card)
        elif card.endpoints and (schema.path is not None or {*card.endpoints}.isdisjoint(schema.endpoints)):
            message = f"prices calls on {', '.join(card.endpoints)} alone, which the route does not serve"
            self._findings.fault((*path, "rate_card"), message, schema.rate_card)
            return None
        return card

    def _name(self, schema: RouteSchema, path: Path) -> str:
        """The name of the route, or one made of what only it serves, so that no two routes share a name."""
        if schema.name is None:
            ways, names = (
                (schema.methods, [schema.path]) if schema.path else (schema.endpoints, schema.models or [""])
            )
            return f"{'+'.join(ways)} {names[0]}"
        first = self._names.setdefault(schema.name, path)
        if first != path:
            self._findings.fault((*path, "name"), f"is the name of {path_text(first)} already", schema.name)
        return schema.name

    def _targets(self, schema: RouteSchema, plan: ToolPlan, path: Path) -> list[Target]:
        targets = []
        for index, target in enumerate(schema.targets):
            place = (*path, "targets", index)
            self._check_target(schema, target, place)
            if target in schema.targets[:index]:
                self._findings.fault(place, "is the same as a target before it")
            upstream = self._upstreams.get(target.upstream)
            if upstream is not None:
                for name in replaced_by(upstream, plan):
                    message = f"sets {name} itself, which the route reads of the request"
                    self._findings.fault((*place, "upstream"), message, target.upstream)
                targets.append(Target(upstream, target.model, target.path or schema.path))
        return targets

    def _check_target(self, schema: RouteSchema, target: TargetSchema, path: Path) -> None:
        if target.upstream not in self._schema.upstreams:
            near = did_you_mean(target.upstream, self._schema.upstreams)
            self._findings.fault((*path, "upstream"), f"is not an upstream; {near}", target.upstream)
        if schema.path is not None and target.model is not None:
            self._findings.fault((*path, "model"), "belongs to a route of models; this one has a path")
        if schema.path is None and target.path is not None:
            self._findings.fault((*path, "path"), "belongs to a route with a path; this one has models")
        elif target.path is not None and (fault := path_fault(target.path)) is not None:
            self._findings.fault((*path, "path"), fault, target.path)
        elif target.path and (
            others := set(variables_of(target.path)) - set(variables_of(schema.path or ""))
        ):
            message = f"has {', '.join(sorted(others))}, which the route's path does not have"
            self._findings.fault((*path, "path"), message, target.path)
