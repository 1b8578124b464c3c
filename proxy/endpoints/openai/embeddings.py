"""POST /v1/embeddings."""

import string
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Headers
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.openai.members import EMBEDDING
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, read_body
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.inputs import InputText, bound_inputs, input_tokens
from proxy.endpoints.reading.steps import joined, slices
from proxy.endpoints.tallies.members import Part
from proxy.endpoints.tallies.part import read_part
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.ceiling import Ceiling
from proxy.metering.prompts import EMPTY_PROMPT_TOKENS
from proxy.metering.usage import Usage

_WINDOW_BYTES: Final = 1_024
_VECTOR: Final = f"{string.ascii_letters}{string.digits}+-_/=., \t\r\n".encode()
"""All bytes of vectors, as arrays of numbers or as base64."""


class _Vectors(msgspec.Struct, frozen=True):
    """An embeddings reply without its vectors, which are skipped and never decoded."""

    usage: Any = None
    error: Any = None
    object: str | None = None
    type: str | None = None


_REPLY: Final = msgspec.json.Decoder(_Vectors)


class EmbeddingAsk(msgspec.Struct, frozen=True):
    """One request for embeddings; it has no output that is counted."""

    body: JsonBody
    model: str
    input_tokens_max: int
    stream: bool = False
    end_user: str = ""
    labels: str = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def ceiling(self) -> Ceiling:
        """The most input tokens there can be."""
        return Ceiling({"input_tokens": self.input_tokens_max})

    def ceiling_exact(self) -> Ceiling:
        """The input tokens as counted. Raises VocabularyError when the vocabulary cannot be loaded."""
        return Ceiling({"input_tokens": input_tokens(self.body, "input", self.model)})

    def estimate(self, model: str) -> Usage:
        """The input tokens as counted. Raises VocabularyError when the vocabulary cannot be loaded."""
        return {"input_tokens": input_tokens(self.body, "input", model)}

    def input_text_length(self) -> int:
        """The input's length."""
        return self.input_tokens_max

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name."""
        renamed = plan.model != self.model
        return self.body.patched({"model": msgspec.json.encode(plan.model)} if renamed else {})

    def tally(self, *, keep_usage: bool = False) -> WholeTally:
        """A fresh tally."""
        return WholeTally(read=read_vectors, has_output=False, keep_usage=keep_usage)


class EmbeddingsCall(msgspec.Struct, frozen=True, kw_only=True):
    """Embeddings as OpenAI's API takes them, in any of the four shapes of input."""

    model: str
    input: InputText


class EmbeddingEndpoint:
    """Embeddings."""

    name = "embeddings"
    path = "/v1/embeddings"
    upstream_path = "/embeddings"
    meters = ("input_tokens",)
    repeatable = True
    summary = "Embeddings: authorized before they are forwarded, charged when they have come."
    request = EmbeddingsCall
    streams = False

    def read(self, body: bytes, headers: Headers = ()) -> EmbeddingAsk:  # noqa: ARG002 - they cost nothing.
        """Read an embeddings request. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        fields.require(request, "input", (b'"', b"["), "a string or an array")
        bound_inputs(request, "input")
        bound = EMPTY_PROMPT_TOKENS + request.bytes_of("input")
        features = EMBEDDING.features(request)
        return EmbeddingAsk(request, model, bound, end_user=fields.end_user(request), features=features)


def read_vectors(data: bytes) -> Part | None:
    """Read a reply without its vectors; None for what is no JSON object, or nested too deeply."""
    short = without_vectors(data) if len(data) > LARGE_BYTES else data
    if len(short) > LARGE_BYTES:
        # It has more than vectors in it.
        return read_part(short)
    if is_too_deep(short):
        return None
    try:
        reply = _REPLY.decode(short)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Part(usage=reply.usage, error=reply.error, object=reply.object, type=reply.type)


def without_vectors(data: bytes) -> bytes:
    """`data` with most of its vectors cut out; valid JSON stays valid, and the rest stays as it is.

    Nothing in a window that holds only numbers, commas, blanks and base64 opens or closes anything. Outside
    of strings it is cut from comma to comma, so no two numbers meet.
    """
    kept: list[bytes] = []
    done = 0
    for at in range(0, len(data) - _WINDOW_BYTES + 1, _WINDOW_BYTES):
        window = data[at : at + _WINDOW_BYTES]
        if b'"' in window or window.translate(None, _VECTOR):
            continue
        first, last = window.find(b","), window.rfind(b",")
        kept += slices(data, done, at + first + 1)
        done = at + last + 1 if last >= 0 else at + _WINDOW_BYTES
    kept += slices(data, done, len(data))
    return joined(kept)
