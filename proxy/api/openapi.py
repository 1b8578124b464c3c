"""The OpenAPI document, made from the same operations as the routes."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

import proxy
from proxy.api import holdings, public_operations
from proxy.api.admin import routes as admin
from proxy.api.billing import routes as billing
from proxy.api.billing.events import EVENTS
from proxy.api.billing.notices import STRIPE_WEBHOOK
from proxy.api.billing.quotes import QUOTE
from proxy.api.csv_export import MEDIA
from proxy.api.operations import IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY_LENGTH, REPLAYED, Nothing, Operation
from proxy.edge.auth import API_KEY_HEADER
from proxy.endpoints.dialects import ANTHROPIC, ANTHROPIC_TYPES, OPENAI, Dialect, dialect_of
from proxy.errors import CODES

Schema = dict[str, Any]
Schemas = Mapping[Any, Schema]
"""By the types that they are of."""

DOCUMENT_PATH: Final = "/openapi.json"
_FORM: Final = "multipart/form-data"
_REF: Final = "#/components/schemas/{name}"
_SECURITY: Final[dict[str, list[dict[str, list[str]]]]] = {
    "admin": [{"adminKey": []}],
    "account": [{"accountKey": []}, {"accountApiKey": []}],
    "public": [],
}
_TAGS: Final = (
    ("/admin/", "admin"),
    *(
        (prefix, "billing")
        for prefix in ("/v1/billing/", "/v1/organization/", "/v1/dashboard/", "/dashboard/")
    ),
    *((path, "billing") for path in ("/v1/key", "/v1/credits")),
    ("/v1/", "calls"),
    ("/v2/", "calls"),
    ("/", "process"),
)


_ABOUT: Final = (
    "A metering proxy in front of AI APIs: every call is authorized against a prepaid balance, metered, "
    "charged and explained. Amounts are strings of US dollars. The configuration may add paths of tool APIs "
    "with prices of their own; they are not listed here."
)
_SCHEMES: Final[Schema] = {
    "accountKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of the account's keys, `sk-fbx-...`.",
    },
    "accountApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": str(API_KEY_HEADER),
        "description": "The same key, as Anthropic's clients send it.",
    },
    "adminKey": {"type": "http", "scheme": "bearer", "description": "The admin key of the configuration."},
}


class ErrorView(Struct, frozen=True, kw_only=True):
    """Why a request was refused. Refusals for lack of money add the limit, and what is left of it."""

    message: str
    type: Annotated[str, Meta(extra_json_schema={"enum": sorted({kind.type for kind in CODES.values()})})]
    param: str | None
    code: Annotated[str, Meta(extra_json_schema={"enum": list(CODES)})]
    request_id: str


class ErrorBody(Struct, frozen=True):
    """A refusal, in OpenAI's shape."""

    error: ErrorView


class MessageErrorView(Struct, frozen=True, kw_only=True):
    """Why a request was refused. Refusals for lack of money add the limit, and what is left of it."""

    type: Annotated[str, Meta(extra_json_schema={"enum": sorted(ANTHROPIC_TYPES)})]
    message: str
    param: str | None
    code: Annotated[str, Meta(extra_json_schema={"enum": list(CODES)})]


class MessageErrorBody(Struct, frozen=True, tag="error"):
    """A refusal, in Anthropic's shape."""

    error: MessageErrorView
    request_id: str


_ERRORS: Final[dict[Dialect, type[Struct]]] = {OPENAI: ErrorBody, ANTHROPIC: MessageErrorBody}

DOCUMENT: Final = Operation(
    id="openapi",
    method="GET",
    path=DOCUMENT_PATH,
    summary="This document.",
    audience="public",
    reply=dict[str, Any],
    query=Nothing,
    body=Nothing,
)

OPERATIONS: Final[tuple[Operation[Any, Any, Any], ...]] = (
    *public_operations.OPERATIONS,
    *billing.OPERATIONS,
    QUOTE,
    EVENTS,
    STRIPE_WEBHOOK,
    *admin.OPERATIONS,
    *holdings.OPERATIONS,
    DOCUMENT,
)


def openapi_routes() -> list[web.RouteDef]:
    """The route of the document."""
    content = encoded()

    async def show(request: web.Request) -> web.Response:
        del request
        return web.Response(body=content, content_type="application/json")

    return [web.route("GET", DOCUMENT_PATH, show)]


@cache
def encoded() -> bytes:
    """The document as it is sent. It depends on no configuration, so that a process makes it once."""
    return msgspec.json.encode(document())


def document() -> Schema:
    """The whole document, as OpenAPI 3.1 has it."""
    kinds = [
        *dict.fromkeys(kind for operation in OPERATIONS for kind in _kinds(operation)),
        *_ERRORS.values(),
    ]
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas = dict(zip(kinds, found, strict=True))
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        fields = _resolved(schemas[operation.query], components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = {
            "operationId": operation.id,
            "summary": operation.summary,
            "tags": [_tag(operation.path)],
            "security": _SECURITY[operation.audience],
            "parameters": [
                *_path_parameters(operation.path),
                *_headers(operation),
                *_query_parameters(fields),
            ],
            **_request(operation, schemas, components),
            "responses": _responses(operation, schemas),
        }
    queries = {operation.query.__name__ for operation in OPERATIONS}
    used = {name: schema for name, schema in components.items() if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farebox", "version": proxy.__version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": used, "securitySchemes": _SCHEMES},
    }


def _tag(path: str) -> str:
    return next(tag for beginning, tag in _TAGS if path.startswith(beginning))


def _resolved(schema: Schema, components: dict[str, Schema]) -> Schema:
    return components[schema["$ref"].rpartition("/")[2]]


def _path_parameters(path: str) -> Iterable[Schema]:
    for part in path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}


def _headers(operation: Operation[Any, Any, Any]) -> Iterable[Schema]:
    if operation.idempotent:
        yield {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "required": True,
            "description": "New for each new command; the same one again makes a repeat harmless.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_LENGTH},
        }


def _query_parameters(fields: Schema) -> Iterable[Schema]:
    for name, schema in fields["properties"].items():
        yield {"name": name, "in": "query", "required": name in fields["required"], "schema": schema}


def _kinds(operation: Operation[Any, Any, Any]) -> Iterator[Any]:
    """Every struct that an operation takes or gives."""
    yield from (operation.reply, operation.body, operation.query)
    yield from (kind for kind in (operation.form, operation.anthropic_reply) if kind is not None)


def _request(operation: Operation[Any, Any, Any], schemas: Schemas, components: dict[str, Schema]) -> Schema:
    if operation.body is Nothing:
        return {}
    body = schemas[operation.body]
    content = {operation.takes: {"schema": body}}
    if operation.form is not None:
        content[_FORM] = {"schema": schemas[operation.form]}
    return {"requestBody": {"required": bool(_resolved(body, components)["required"]), "content": content}}


def _responses(operation: Operation[Any, Any, Any], schemas: Schemas) -> Schema:
    reply, error = schemas[operation.reply], schemas[_ERRORS[dialect_of(operation.path)]]
    if operation.anthropic_reply is not None:
        reply = {"oneOf": [reply, schemas[operation.anthropic_reply]]}
        error = {"oneOf": [schemas[kind] for kind in _ERRORS.values()]}
    content = {operation.media: {"schema": reply}}
    if operation.table:
        content[MEDIA] = {"schema": {"type": "string"}}
    if operation.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    good: Schema = {"description": operation.summary, "content": content}
    if operation.idempotent:
        about = "`true` when this repeats what an earlier request did."
        good["headers"] = {REPLAYED: {"description": about, "schema": {"type": "string"}}}
    refused = {"description": "A refusal.", "content": {"application/json": {"schema": error}}}
    return {str(operation.status): good, "default": refused}
