"""Operations: one value for each thing an API does. Routes and the OpenAPI document are both made from them.

An operation names the structs of its query, body and reply; its handler is given them decoded, and returns
the reply. So neither the document nor a handler can say anything else than what is served.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, Protocol, TypeVar

import msgspec
from aiohttp import hdrs, web

from proxy.api import decode
from proxy.config.schema import Admin
from proxy.errors import Refusal
from proxy.ledger.commands import Command, Done
from proxy.ledger.rows import Limits
from proxy.money import Unit
from proxy.upstream.routes import Routes, Upstream
from proxy.validation import is_visible_ascii

CallerKind = TypeVar("CallerKind")
QueryKind = TypeVar("QueryKind")
BodyKind = TypeVar("BodyKind")
ReplyKind = TypeVar("ReplyKind")

Audience = Literal["admin", "account", "public"]

ADMIN: Final = "/admin/v1"
BILLING: Final = "/v1/billing"
MAX_BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 30.0
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
REPLAYED: Final = "idempotent-replay"
MAX_IDEMPOTENCY_KEY_LENGTH: Final = 255


class ApiSettings(Protocol):
    """What these APIs need to know of the configuration; a reload swaps it, so ask for it at each request."""

    @property
    def unit(self) -> Unit:
        """The unit money is shown in beside US dollars."""
        ...

    @property
    def limits(self) -> Limits:
        """The limits of accounts that set none of their own."""
        ...

    @property
    def admin(self) -> Admin:
        """The admin API's key; an empty one lets nobody in."""
        ...

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The upstreams in force, by name."""
        ...

    @property
    def routes(self) -> Routes:
        """The routes in force."""
        ...


class Commands(Protocol):
    """The ledger as these APIs use it."""

    async def command(self, command: Command) -> Done:
        """Carry out a command. Raises Refusal when it is refused or the ledger is down."""
        ...


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No fields at all."""


@dataclass(frozen=True)
class Operation(Generic[QueryKind, BodyKind, ReplyKind]):
    """One operation: where it is, whom it is for, and what goes in and out.

    With `idempotent` its caller has to send an `Idempotency-Key`, so that repeating it is harmless. `media`
    is the reply's type; one that `streams` is sent as server-sent events when its caller asks for that.
    """

    id: str
    method: str
    path: str
    summary: str
    audience: Audience
    reply: type[ReplyKind]
    query: type[QueryKind]
    body: type[BodyKind]
    status: int = 200
    idempotent: bool = False
    media: str = "application/json"
    streams: bool = False


@dataclass(frozen=True)
class Incoming(Generic[CallerKind, QueryKind, BodyKind]):
    """A request, read: who asks, the path's variables, its query and body, and the settings in force.

    `command_id` is the idempotency key; empty where the operation takes none.
    """

    caller: CallerKind
    path: Mapping[str, str]
    query: QueryKind
    body: BodyKind
    settings: ApiSettings
    command_id: str = ""


@dataclass(frozen=True)
class WithHeaders(Generic[ReplyKind]):
    """A reply that goes out with headers of its own."""

    reply: ReplyKind
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Incoming[CallerKind, QueryKind, BodyKind]], Awaitable[ReplyKind | WithHeaders[ReplyKind]]]
Gate = Callable[[web.Request], Awaitable[CallerKind]]


class Binder(Generic[CallerKind]):
    """Makes routes of operations and their handlers; `gate` tells who is asking, or refuses."""

    def __init__(self, gate: Gate[CallerKind], settings: Callable[[], ApiSettings]) -> None:
        self._gate = gate
        self._settings = settings

    def __call__(
        self,
        operation: Operation[QueryKind, BodyKind, ReplyKind],
        handler: Handler[CallerKind, QueryKind, BodyKind, ReplyKind],
    ) -> web.RouteDef:
        """The route of one operation. Who asks is settled before anything of the request is looked at."""

        async def handle(request: web.Request) -> web.Response:
            caller = await self._gate(request)
            incoming = Incoming(
                caller=caller,
                path=request.match_info,
                query=decode.from_query(request.query.items(), operation.query),
                command_id=idempotency_key(request) if operation.idempotent else "",
                body=await _body(request, operation.body),
                settings=self._settings(),
            )
            answer = await handler(incoming)
            if isinstance(answer, WithHeaders):
                return _response(operation.status, answer.reply, answer.headers)
            return _response(operation.status, answer, {})

        return web.route(operation.method, operation.path, handle)

    def nowhere(self, prefix: str) -> web.RouteDef:
        """The route of all else below `prefix`: who asks is settled first, and then there is nothing."""

        async def handle(request: web.Request) -> web.Response:
            await self._gate(request)
            raise web.HTTPNotFound

        return web.route("*", f"{prefix}/{{rest:.*}}", handle)


def refuse_other_methods(app: web.Application) -> None:
    """Have every path that takes some methods refuse the others, though a later route would take them.

    A path whose routes do not follow each other directly has several resources in aiohttp, and the last one
    answers for all of them. To be called once all of these routes are there.
    """
    last: dict[str, web.AbstractResource] = {}
    methods: dict[str, set[str]] = {}
    for resource in app.router.resources():
        last[resource.canonical] = resource
        methods.setdefault(resource.canonical, set()).update(route.method for route in resource)
    for path, resource in last.items():
        if "*" not in methods[path] and isinstance(resource, web.Resource):
            resource.add_route("*", _refusal_of_others(frozenset(methods[path])))


def _refusal_of_others(methods: frozenset[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.Response:
        raise web.HTTPMethodNotAllowed(request.method, methods)

    return handle


def idempotency_key(request: web.Request) -> str:
    """The request's idempotency key. Raises Refusal `invalid_value` when it is missing or of no use."""
    key = request.headers.get(IDEMPOTENCY_KEY, "")
    right = f"send 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} visible ASCII characters, new for each new command"
    if not key:
        raise Refusal(
            "invalid_value", f"The header `{IDEMPOTENCY_KEY}` is missing: {right}.", param=IDEMPOTENCY_KEY
        )
    if len(key) > MAX_IDEMPOTENCY_KEY_LENGTH or not is_visible_ascii(key):
        raise decode.invalid(IDEMPOTENCY_KEY, key, right)
    return key


async def _body(request: web.Request, kind: type[BodyKind]) -> BodyKind:
    """A request's body as a struct; one that takes no body is not read."""
    if kind is Nothing:
        return kind()
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refusal("unsupported_encoding", "The body is compressed; send it plain.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            content = await _bounded(request)
    except TimeoutError:
        raise Refusal("body_timeout", f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from None
    return decode.from_json(content, kind)


async def _bounded(request: web.Request) -> bytes:
    """The body's bytes. Raises Refusal `body_too_large` as soon as there are too many of them."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise Refusal("body_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return bytes(content)


def _response(status: int, reply: object, headers: Mapping[str, str]) -> web.Response:
    # What these APIs say is about money and secrets: no cache on the way is to keep it.
    return web.Response(
        status=status,
        body=msgspec.json.encode(reply),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store", **headers},
    )
