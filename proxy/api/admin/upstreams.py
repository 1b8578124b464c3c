"""The admin API's upstreams: those of the configuration in force, without any secret of theirs."""

from typing import Final, Literal

from aiohttp import web
from msgspec import Struct

from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation
from proxy.upstream.routes import Credential, Routes, Upstream


class CredentialView(Struct, frozen=True):
    """Where Farebox's credential is sent. Its value is never shown."""

    place: Literal["header", "query"]
    name: str


class TargetView(Struct, frozen=True):
    """A target on the upstream: its route, and the model or path there; null is what the caller says."""

    route: str
    model: str | None
    path: str | None


class UpstreamView(Struct, frozen=True, kw_only=True):
    """An upstream and the targets on it. `headers` are the names of those added to every call to it.

    `own_keys` are the accounts whose calls go there with a credential of their own.
    """

    object: Literal["upstream"] = "upstream"
    name: str
    base_url: str
    credential: CredentialView | None
    own_keys: list[str]
    headers: list[str]
    include_usage: bool
    output_bound_field: str
    forward: list[str]
    connect_seconds: float
    first_byte_seconds: float
    idle_seconds: float
    keepalive_seconds: float
    list_models_seconds: float | None
    targets: list[TargetView]


class UpstreamsView(Struct, frozen=True, kw_only=True):
    """Every upstream in use, in the order of the configuration."""

    object: Literal["list"] = "list"
    data: list[UpstreamView]


LIST_UPSTREAMS: Final = Operation(
    id="list_upstreams",
    method="GET",
    path=f"{ADMIN}/upstreams",
    summary="List the upstreams in force, with the routes that have targets on them.",
    audience="admin",
    reply=UpstreamsView,
    query=Nothing,
    body=Nothing,
)

OPERATIONS: Final = (LIST_UPSTREAMS,)


def upstream_routes(bind: Binder[None]) -> list[web.RouteDef]:
    """A route for each operation."""
    return [bind(LIST_UPSTREAMS, list_upstreams)]


async def list_upstreams(incoming: Incoming[None, Nothing, Nothing]) -> UpstreamsView:
    """The upstreams of the settings in force."""
    settings = incoming.settings
    return UpstreamsView(data=[_view(one, settings.routes) for one in settings.upstreams.values()])


def _view(upstream: Upstream, routes: Routes) -> UpstreamView:
    return UpstreamView(
        name=upstream.name,
        base_url=upstream.base_url,
        credential=_credential_view(upstream.credential),
        own_keys=routes.accounts_on(upstream.name),
        headers=[name for name, _ in upstream.headers],
        include_usage=upstream.include_usage,
        output_bound_field=upstream.output_bound_field,
        forward=sorted(upstream.forward),
        connect_seconds=upstream.connect_seconds,
        first_byte_seconds=upstream.first_byte_seconds,
        idle_seconds=upstream.idle_seconds,
        keepalive_seconds=upstream.keepalive_seconds,
        list_models_seconds=upstream.list_models_seconds,
        targets=[
            TargetView(route.name, target.model, target.path)
            for route in routes.all
            for target in route.targets
            if target.upstream.name == upstream.name
        ],
    )


def _credential_view(credential: Credential | None) -> CredentialView | None:
    if credential is None:
        return None
    if credential.query is not None:
        return CredentialView("query", credential.query)
    return CredentialView("header", credential.header)
