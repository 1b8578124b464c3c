"""Operations: one value for each operation of an API. Routes and the OpenAPI document are made from them.

An operation names the structs of its query, body and reply. Its handler gets the first two decoded and
returns the third, so the document cannot differ from what is served.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, Literal, Protocol, TypeVar

import msgspec
from aiohttp import hdrs, web

from proxy.api import decode
from proxy.api.csv_export import Csv, wants_csv
from proxy.api.pieces import encoded
from proxy.api.turns import Tables, Turns
from proxy.billing.offers import Payments
from proxy.config.schema import Admin
from proxy.errors import Refusal
from proxy.ledger.commands import Command, Done
from proxy.ledger.groups import Groups
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.rows import Key
from proxy.money import Unit
from proxy.pricing.book import PriceBook
from proxy.upstream.routes import Routes, Upstream
from proxy.upstream.webhooks import Webhooks
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
    """The part of the configuration that these APIs use. A reload replaces it, so each request asks again."""

    @property
    def unit(self) -> Unit:
        """The unit in which money is shown beside US dollars."""
        ...

    @property
    def groups(self) -> Groups:
        """The groups of accounts, and the limits of accounts that have none of their own."""
        ...

    @property
    def book(self) -> PriceBook:
        """The price book in force."""
        ...

    @property
    def payments(self) -> Payments | None:
        """How accounts pay in; None if they cannot."""
        ...

    @property
    def admin(self) -> Admin:
        """The admin key; nobody passes if it is empty."""
        ...

    @property
    def webhooks(self) -> Webhooks:
        """Who is told of events."""
        ...

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The upstreams in force, by name."""
        ...

    @property
    def routes(self) -> Routes:
        """The routes in force."""
        ...

    @property
    def refund_days(self) -> int | None:
        """For how many days the unused part of a lot can be paid back; None for as long as it lasts."""
        ...

    @property
    def invoices(self) -> InvoicePolicy | None:
        """Who issues invoices; None where none are."""
        ...


class Commands(Protocol):
    """The ledger as these APIs use it."""

    async def command(self, command: Command) -> Done:
        """Carry out a command. Raises Refusal if it is refused or the ledger is down."""
        ...


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No fields at all."""


@dataclass(frozen=True)
class Operation(Generic[QueryKind, BodyKind, ReplyKind]):
    """One operation: its method and path, its callers, and the structs it takes and returns.

    An `idempotent` one requires an `Idempotency-Key`, so that a repeat is harmless. `media` is the media type
    of the reply, `takes` that of the body; one that `streams` is sent as server-sent events if the caller
    asks for that. `form` is the body as multipart/form-data, which it takes beside JSON. Where clients of
    OpenAI's and of Anthropic's have the path, these get `anthropic_reply`. One that is a `table` answers as
    CSV as well.
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
    takes: str = "application/json"
    streams: bool = False
    form: type[msgspec.Struct] | None = None
    anthropic_reply: type[msgspec.Struct] | None = None
    table: bool = False


@dataclass(frozen=True)
class Incoming(Generic[CallerKind, QueryKind, BodyKind]):
    """A decoded request: its caller, the path's variables, query and body, the settings in force, `Accept`.

    `command_id` is the idempotency key; empty if the operation takes none. `wants_csv` of one that answers as
    a table is whether the client prefers CSV.
    """

    caller: CallerKind
    path: Mapping[str, str]
    query: QueryKind
    body: BodyKind
    settings: ApiSettings
    command_id: str = ""
    wants_csv: bool = False
    accept: str = ""


@dataclass(frozen=True)
class WithHeaders(Generic[ReplyKind]):
    """A reply with headers of its own."""

    reply: ReplyKind
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A reply that is no JSON: its bytes, their media type, and headers of its own."""

    content: bytes
    media: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, status: int) -> web.Response:
        """The reply."""
        charset = "utf-8" if self.media.startswith("text/") else None
        headers = {hdrs.CACHE_CONTROL: "no-store", **self.headers}
        return web.Response(
            status=status, body=self.content, content_type=self.media, charset=charset, headers=headers
        )


Handler = Callable[
    [Incoming[CallerKind, QueryKind, BodyKind]],
    Awaitable[ReplyKind | WithHeaders[ReplyKind] | Csv | Document],
]
Gate = Callable[[web.Request], Awaitable[CallerKind]]


class Binder(Generic[CallerKind]):
    """Makes routes of operations and their handlers. `gate` identifies the caller, or refuses it.

    Requests of a key are worked on when it is its turn in its account, by `turns`, tables piece by piece.
    """

    def __init__(
        self, gate: Gate[CallerKind], settings: Callable[[], ApiSettings], turns: Turns | None = None
    ) -> None:
        self._gate = gate
        self._settings = settings
        self._turns = turns or Turns()
        self._tables = Tables()

    def __call__(
        self,
        operation: Operation[QueryKind, BodyKind, ReplyKind],
        handler: Handler[CallerKind, QueryKind, BodyKind, ReplyKind],
    ) -> web.RouteDef:
        """The route of one operation. The caller is identified before the query and the body are read."""

        async def handle(request: web.Request) -> web.StreamResponse:
            caller = await self._gate(request)
            incoming = Incoming(
                caller=caller,
                path=request.match_info,
                query=decode.from_query(request.query.items(), operation.query),
                command_id=idempotency_key(request) if operation.idempotent else "",
                body=await _body(request, operation.body),
                settings=self._settings(),
                wants_csv=operation.table and wants_csv(request),
                accept=request.headers.get(hdrs.ACCEPT, ""),
            )
            key = caller if isinstance(caller, Key) else None
            turn = partial(self._turns.of, key)
            async with turn():
                answer = await handler(incoming)
                if not isinstance(answer, Csv):
                    return await _sent(operation.status, answer)
            with self._tables.of(key):
                return await answer.send(request, turn)

        return web.route(operation.method, operation.path, handle)

    def nowhere(self, prefix: str, refusal: Callable[[str], Refusal] | None = None) -> web.RouteDef:
        """The route of all other paths below `prefix`: 404, after the caller is identified.

        `refusal` says why, of what follows the prefix.
        """

        async def handle(request: web.Request) -> web.Response:
            await self._gate(request)
            if refusal is not None:
                raise refusal(request.match_info["rest"][:100])
            raise web.HTTPNotFound

        return web.route("*", f"{prefix}/{{rest:.*}}", handle)


def refuse_other_methods(app: web.Application) -> None:
    """Refuse the methods that a path does not take, though a later route would take them.

    aiohttp makes several resources of a path whose routes do not follow each other directly; the last one
    answers for all of them. Call this after all of these routes are added.
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
    """The request's idempotency key. Raises Refusal `invalid_value` if it is missing or unusable."""
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
    """The body of a request as a struct. It is not read if the operation takes none."""
    return kind() if kind is Nothing else decode.from_json(await body_of(request), kind)


async def body_of(request: web.Request, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The bytes of a body, bounded in size and time.

    Raises Refusal `unsupported_encoding`, `body_too_large`, `body_timeout`.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refusal("unsupported_encoding", "The body is compressed; send it plain.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _bounded(request, most_bytes)
    except TimeoutError:
        raise Refusal("body_timeout", f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from None


async def _bounded(request: web.Request, most_bytes: int) -> bytes:
    """The bytes of the body. Raises Refusal `body_too_large` as soon as there are too many."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > most_bytes:
            raise Refusal("body_too_large", f"The body is larger than {most_bytes} bytes.")
    return bytes(content)


async def _sent(status: int, answer: object) -> web.StreamResponse:
    """What a handler returned, as the response."""
    if isinstance(answer, Document):
        return answer.response(status)
    if isinstance(answer, WithHeaders):
        return _json(status, await encoded(answer.reply), answer.headers)
    return _json(status, await encoded(answer), {})


def json_response(status: int, reply: object, headers: Mapping[str, str]) -> web.Response:
    """A reply of these APIs as JSON, which has few rows."""
    return _json(status, msgspec.json.encode(reply), headers)


def _json(status: int, body: bytes, headers: Mapping[str, str]) -> web.Response:
    # The replies hold amounts and secrets, so no cache may store them.
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store", **headers},
    )
