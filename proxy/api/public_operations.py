"""The operations of the gateway and of the process, described for the OpenAPI document.

Bodies and replies of calls are OpenAI's. Only the fields that decide about routing and money are named here;
all others pass unchanged.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from proxy.api.operations import Nothing, Operation
from proxy.api.views.money import Usd

Text = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            ]
        }
    ),
]
Bound = Annotated[int, Meta(ge=1, description="at most so many tokens of output")]


class ChatCall(Struct, frozen=True, kw_only=True):
    """A chat completion as OpenAI's API takes it."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False
    max_completion_tokens: Bound | None = None
    max_tokens: Bound | None = None
    n: Annotated[int, Meta(ge=1)] | None = None


class CompletionCall(Struct, frozen=True, kw_only=True):
    """A completion as OpenAI's API takes it."""

    model: str
    prompt: Text
    stream: bool = False
    max_tokens: Bound | None = None
    n: Annotated[int, Meta(ge=1)] | None = None


class EmbeddingsCall(Struct, frozen=True, kw_only=True):
    """Embeddings as OpenAI's API takes them, with any of the four kinds of input."""

    model: str
    input: Text


class CallReply(Struct, frozen=True):
    """The upstream's reply, byte for byte."""


class PriceView(Struct, frozen=True):
    """The price of `per` units of a meter."""

    price: Usd
    per: int
    currency: Literal["USD"]


class ModelView(Struct, frozen=True, kw_only=True):
    """A model that the key may use, its price, and how it is billed."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    endpoints: list[str]
    billing_type: Literal["per_call", "per_token", "metered"]
    pricing: dict[str, PriceView]
    price_id: str
    max_output_tokens: int | UnsetType = UNSET


class ModelsView(Struct, frozen=True, kw_only=True):
    """The models that the key may use."""

    object: Literal["list"]
    data: list[ModelView]


class StatusView(Struct, frozen=True):
    """The state of the process."""

    status: str


OPERATIONS: Final = (
    Operation(
        id="chat_completions",
        method="POST",
        path="/v1/chat/completions",
        summary="A chat completion: authorized before it is forwarded, charged when it has ended.",
        audience="account",
        reply=CallReply,
        query=Nothing,
        body=ChatCall,
        streams=True,
    ),
    Operation(
        id="completions",
        method="POST",
        path="/v1/completions",
        summary="A completion: authorized before it is forwarded, charged when it has ended.",
        audience="account",
        reply=CallReply,
        query=Nothing,
        body=CompletionCall,
        streams=True,
    ),
    Operation(
        id="embeddings",
        method="POST",
        path="/v1/embeddings",
        summary="Embeddings: authorized before they are forwarded, charged when they have come.",
        audience="account",
        reply=CallReply,
        query=Nothing,
        body=EmbeddingsCall,
    ),
    Operation(
        id="list_models",
        method="GET",
        path="/v1/models",
        summary="The models the key may use, with their prices.",
        audience="account",
        reply=ModelsView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="show_model",
        method="GET",
        path="/v1/models/{id}",
        summary="One model the key may use, with its price.",
        audience="account",
        reply=ModelView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="healthz",
        method="GET",
        path="/healthz",
        summary="Whether the process answers at all.",
        audience="public",
        reply=StatusView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="readyz",
        method="GET",
        path="/readyz",
        summary="Whether the process takes calls; 503 if it does not.",
        audience="public",
        reply=StatusView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        summary="The figures of the process, in Prometheus' text format.",
        audience="public",
        reply=str,
        query=Nothing,
        body=Nothing,
        media="text/plain",
    ),
)
