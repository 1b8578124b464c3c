"""Routes: which targets serve a model or a path, and which rate card prices it."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import msgspec

from proxy.globs import GlobIndex

TOOL_ENDPOINT: Final = "tools"


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
    that Farebox does not know.
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

    def __repr__(self) -> str:
        return f"Upstream(name={self.name!r}, base_url={self.base_url!r})"


class Target(msgspec.Struct, frozen=True):
    """One place a call may go. None for `model` keeps the public name, None for `path` the endpoint's."""

    upstream: Upstream
    model: str | None = None
    path: str | None = None


class Route(msgspec.Struct, frozen=True):
    """Models on endpoints, or one exact path with methods. Targets are tried in order.

    `rate_card` is the id of the card that the route names; without one the model's name decides.
    """

    name: str
    targets: tuple[Target, ...]
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    path: str | None = None
    methods: tuple[str, ...] = ()
    rate_card: str | None = None


class Routes:
    """All routes, in the order of the configuration; the first match serves."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.all = tuple(routes)
        """Every route, in order."""
        self._by_model = tuple(route for route in routes if route.path is None)
        globs: dict[str, list[tuple[str, int]]] = {}
        for rank, route in enumerate(self._by_model):
            for endpoint, glob in product(route.endpoints, route.models):
                globs.setdefault(endpoint, []).append((glob, rank))
        self._by_endpoint = {endpoint: GlobIndex(ranked) for endpoint, ranked in globs.items()}
        self._upstreams = {target.upstream.name: target.upstream for r in routes for target in r.targets}
        self._by_path = {
            (method, route.path): route for route in routes if route.path for method in route.methods
        }

    def for_model(self, endpoint: str, model: str) -> Route | None:
        """The first route that serves `model` on `endpoint`, or None."""
        index = self._by_endpoint.get(endpoint)
        rank = None if index is None else index.rank_of(model)
        return None if rank is None else self._by_model[rank]

    def upstream(self, name: str) -> Upstream | None:
        """The upstream of this name, None where no target of a route is on it."""
        return self._upstreams.get(name)

    def for_path(self, method: str, path: str) -> Route | None:
        """The route of an exact path and method, or None."""
        return self._by_path.get((method, path))

    def methods_of(self, path: str) -> list[str]:
        """The methods of a configured path; empty when no route has the path."""
        return sorted(method for method, known in self._by_path if known == path)

    @property
    def globs(self) -> tuple[str, ...]:
        """Every model glob, in order."""
        return tuple(glob for route in self._by_model for glob in route.models)

    @property
    def tools(self) -> tuple[Route, ...]:
        """The routes of exact paths."""
        return tuple({route.name: route for route in self._by_path.values()}.values())
