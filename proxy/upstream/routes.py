"""Routes: which targets serve a model or a path, and which rate card prices it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.tool_plan import PLAIN, ToolPlan
from proxy.globs import GlobIndex
from proxy.upstream.path_templates import filled, values_of, variables_of

TOOL_ENDPOINT: Final = "tools"
NOBODYS_OWN: Final[Mapping[str, "Mapping[str, Upstream]"]] = MappingProxyType({})


class Credential(msgspec.Struct, frozen=True):
    """Authenticates Farebox to an upstream: the whole value of a header, or of a query field if set."""

    value: str
    header: str = "Authorization"
    query: str | None = None

    def __repr__(self) -> str:
        return f"Credential(header={self.header!r}, query={self.query!r})"


class Upstream(msgspec.Struct, frozen=True):
    """An upstream API and how to treat it. `base_url` has no trailing slash; waits are in seconds.

    `forward` names the members of calls that may go there although no rate prices them; `*` stands for all
    that Farebox does not know. Its own list of models is kept for `list_models_seconds`, and not asked for
    where that is None. With `account_id` it is the same API with the credential of this account's own.
    """

    name: str
    base_url: str
    credential: Credential | None = None
    headers: tuple[tuple[str, str], ...] = ()
    include_usage: bool = True
    output_bound_field: str = "max_completion_tokens"
    forward: frozenset[str] = frozenset()
    connect_seconds: float = 10.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 300.0
    keepalive_seconds: float = 4.0
    list_models_seconds: float | None = None
    account_id: str = ""

    def __repr__(self) -> str:
        return f"Upstream(name={self.name!r}, base_url={self.base_url!r})"


class Target(msgspec.Struct, frozen=True):
    """One place a call may go. None for `model` keeps the public name, None for `path` the endpoint's."""

    upstream: Upstream
    model: str | None = None
    path: str | None = None


class Route(msgspec.Struct, frozen=True):
    """Models on endpoints, or a path with methods, which may be a template. Targets are tried in order.

    `rate_card` is the id of the card that the route names; without one the model's name decides. `plan` is
    what calls of a path are metered by, `makes` the kind of objects that they make.
    """

    name: str
    targets: tuple[Target, ...]
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    path: str | None = None
    methods: tuple[str, ...] = ()
    rate_card: str | None = None
    plan: ToolPlan = PLAIN
    makes: ObjectKind | None = None


class Routes:
    """All routes, in the order of the configuration; the first match serves.

    `own` has the upstreams with credentials of accounts' own, by account and then by the upstream's name.
    """

    def __init__(
        self, routes: Sequence[Route], own: Mapping[str, Mapping[str, Upstream]] = NOBODYS_OWN
    ) -> None:
        self.all = tuple(routes)
        """Every route, in order."""
        self._by_model = tuple(route for route in routes if route.path is None)
        globs: dict[str, list[tuple[str, int]]] = {}
        for rank, route in enumerate(self._by_model):
            for endpoint, glob in product(route.endpoints, route.models):
                globs.setdefault(endpoint, []).append((glob, rank))
        self._by_endpoint = {endpoint: GlobIndex(ranked) for endpoint, ranked in globs.items()}
        by_path = [(method, route.path, route) for route in routes if route.path for method in route.methods]
        self._by_path = {(method, path): route for method, path, route in by_path if not variables_of(path)}
        self._templates = tuple(each for each in by_path if variables_of(each[1]))
        self._folded_paths = {path.casefold() for _, path in self._by_path}
        self.kinds = {route.makes.name: route.makes for route in routes if route.makes is not None}
        """The kinds of objects that calls of paths make, by name."""
        self._own = own
        self._own_by_name = {each.name: each for of_account in own.values() for each in of_account.values()}
        self._upstreams = {target.upstream.name: target.upstream for r in routes for target in r.targets}

    def for_model(self, endpoint: str, model: str) -> Route | None:
        """The first route that serves `model` on `endpoint`, or None."""
        index = self._by_endpoint.get(endpoint)
        rank = None if index is None else index.rank_of(model)
        return None if rank is None else self._by_model[rank]

    def first_on(self, endpoint: str) -> Route | None:
        """The first route that serves any model on `endpoint`, or None."""
        return next((route for route in self._by_model if endpoint in route.endpoints), None)

    def upstream(self, name: str) -> Upstream | None:
        """The upstream of this name, None where no target of a route is on it."""
        return self._upstreams.get(name) or self._own_by_name.get(name)

    def accounts_on(self, upstream: str) -> list[str]:
        """The accounts that have their own key on an upstream."""
        return sorted(account_id for account_id, own in self._own.items() if upstream in own)

    def with_own_key(self, route: Route, account_id: str) -> Route:
        """A route with only those targets on which an account has its own key, with that; else the route."""
        own = self._own.get(account_id)
        if own is None:
            return route
        targets = tuple(
            replace(target, upstream=own[target.upstream.name])
            for target in route.targets
            if target.upstream.name in own
        )
        return replace(route, targets=targets) if targets else route

    def for_path(self, method: str, path: str) -> Route | None:
        """The route of a path and method, with the path's own segments in its targets; None without one."""
        exact = self._by_path.get((method, path))
        if exact is not None or not self._templates:
            return exact
        return next((route for found, route in self._matching(path) if found == method), None)

    def methods_of(self, path: str) -> list[str]:
        """The methods of a path; empty when no route has it."""
        exact = {method for method, known in self._by_path if known == path}
        return sorted(exact | {method for method, _ in self._matching(path)})

    def _matching(self, path: str) -> Iterator[tuple[str, Route]]:
        """The routes whose templates match, by method.

        None does if the path is that of another route but for its case: some upstreams take it for that.
        """
        if path.casefold() in self._folded_paths and all(path != known for _, known in self._by_path):
            return
        for method, template, route in self._templates:
            if (values := values_of(template, path)) is not None:
                targets = tuple(replace(one, path=filled(one.path or path, values)) for one in route.targets)
                yield method, replace(route, targets=targets)

    @property
    def globs(self) -> tuple[str, ...]:
        """Every model glob, in order."""
        return tuple(glob for route in self._by_model for glob in route.models)

    @property
    def tools(self) -> tuple[Route, ...]:
        """The routes of paths."""
        of_templates = (route for _, _, route in self._templates)
        return tuple({route.name: route for route in (*self._by_path.values(), *of_templates)}.values())
