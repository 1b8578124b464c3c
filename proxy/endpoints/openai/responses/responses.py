"""POST /v1/responses, and what is counted or made shorter without an answer of its own."""

from typing import Any, Final

import msgspec

from proxy.endpoints.base import Ask, Headers, Tally
from proxy.endpoints.features import unpaid
from proxy.endpoints.free import FreeAsk
from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.members import MemberTable
from proxy.endpoints.objects import ObjectKind, ObjectRoute
from proxy.endpoints.openai.bounds import OutputBound, named_bound, thinking_budget
from proxy.endpoints.openai.members import RESPONSES as NAME
from proxy.endpoints.openai.responses.items import ITEMS_MAX, Items, is_given
from proxy.endpoints.openai.responses.members import COMPACTION, RESPONSE
from proxy.endpoints.openai.responses.part import UNREPORTED, read_response
from proxy.endpoints.openai.responses.tally import BackgroundStream, ResponseStream, ResponseWhole
from proxy.endpoints.openai.responses.tools import USES, USES_MAX, carries_out, parameters_of
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, read_body
from proxy.endpoints.reading.metadata import metadata_of
from proxy.errors import Refusal
from proxy.metering.prompts import chat_bound
from proxy.metering.responses import response_estimate, response_tokens

TOOLS_MAX: Final = 4_096
_COUNTED: Final = ("input", "instructions", "tools", "tool_choice", "text", "prompt", "context_management")
"""The members that are decoded when a response is read or counted."""


class ResponseCall(msgspec.Struct, frozen=True, kw_only=True):
    """A response as OpenAI's API takes it."""

    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    max_output_tokens: OutputBound | None = None
    stream: bool = False


class ResponseAsk(GenerationAsk, frozen=True):
    """One request for a response. The upstream keeps one that `is_kept`, and goes on with an `is_job`."""

    is_kept: bool = True
    is_job: bool = False

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for a stream or a whole response, whichever was asked for."""
        if self.stream and self.is_job:
            return BackgroundStream(keep_usage=keep_usage)
        make = ResponseStream if self.stream else ResponseWhole
        return make(keep_usage=keep_usage, is_kept=self.is_kept)


class _Endpoint:
    """What all have in common. A call may be repeated elsewhere: what the first stored, nobody can name.

    But for one in the background, which would go on there.
    """

    repeatable = True
    request = ResponseCall
    streams = False


class _WritingEndpoint(_Endpoint):
    """Calls whose answer a model writes, from the members of `table`."""

    meters = ("input_tokens", "output_tokens")
    table: MemberTable

    def read(self, body: bytes, headers: Headers = ()) -> ResponseAsk:  # noqa: ARG002 - they cost nothing.
        """Read a request. Raises Refusal `invalid_json` or `invalid_value`."""
        return _read(read_body(body), self.table)


class ResponseEndpoint(_WritingEndpoint):
    """Responses."""

    name = "responses"
    path = "/v1/responses"
    upstream_path = "/responses"
    summary = "A response: authorized before it is forwarded, charged when it has ended."
    streams = True
    table = RESPONSE


class CompactionEndpoint(_WritingEndpoint):
    """Conversations made shorter."""

    name = "responses.compact"
    path = "/v1/responses/compact"
    upstream_path = "/responses/compact"
    summary = "A conversation made shorter, charged like a response."
    table = COMPACTION


class InputTokensEndpoint(_Endpoint):
    """Counts of what a response would read."""

    name = "responses.input_tokens"
    path = "/v1/responses/input_tokens"
    upstream_path = "/responses/input_tokens"
    meters = ("input_tokens",)
    summary = "How many tokens of input a response would have: free, within the rate limits."

    def read(self, body: bytes, headers: Headers = ()) -> FreeAsk:  # noqa: ARG002 - it is free.
        """Read a request for a count. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        _check(request)
        found = (*RESPONSE.features(request), *Items(request, model).features)
        return FreeAsk(request, model, features=unpaid(found))


def _read(request: JsonBody, table: MemberTable) -> ResponseAsk:
    model = fields.model_of(request)
    _check(request)
    features = table.features(request)
    if carries_out(features) and USES not in request:
        request.put(USES, b"%d" % USES_MAX)
    items = Items(request, model)
    is_job, stream = fields.flag(request, "background"), fields.flag(request, "stream")
    return ResponseAsk(
        body=request,
        model=model,
        stream=stream,
        choices=1,
        bound=named_bound(request),
        input_tokens_max=chat_bound(request.size_bytes, items.media),
        input_text_bytes=request.size_bytes - items.media.payload_chars,
        count_input=response_tokens,
        shows_usage=True,
        bound_field="max_output_tokens",
        end_user=fields.end_user(request),
        labels=metadata_of(request),
        estimate_input=response_estimate,
        features=(*features, *items.features),
        parameters=parameters_of(request),
        is_kept=is_job or "store" not in request or beginning(request.members["store"]) != b"false",
        beside=thinking_budget(request),
        is_job=is_job,
    )


def _begins_job(ask: Ask) -> bool:
    return isinstance(ask, ResponseAsk) and ask.is_job


def _check(request: JsonBody) -> None:
    """See that the members that decide are what they should be, and hold no more than is read."""
    if "input" in request:
        fields.require(request, "input", (b'"', b"[", b"n"), "a string or an array of items")
    if "instructions" in request:
        # As a list, it would have items that nobody has looked at.
        fields.require(request, "instructions", (b'"', b"n"), "a string")
    request.bound_items("input", ITEMS_MAX)
    request.bound_items("tools", TOOLS_MAX)
    for name in _COUNTED:
        request.bound_values(name)
    if is_given(request, "conversation") and is_given(request, "previous_response_id"):
        message = "A response goes on in a `conversation` or from a `previous_response_id`, not both."
        raise Refusal("invalid_value", message, param="previous_response_id")


RESPONSES: Final = ObjectKind(
    name=NAME,
    endpoint="responses",
    path="/v1/responses",
    upstream_path="/responses",
    meters=ResponseEndpoint.meters,
    read=read_response,
    routes=(
        ObjectRoute("retrieve", "GET", "One response, and how far it is: free.", may_stream=True),
        ObjectRoute("input_items", "GET", "What a response has read: free.", "/input_items", "nothing"),
        ObjectRoute("cancel", "POST", "Cancel a response: free.", "/cancel"),
        ObjectRoute("delete", "DELETE", "Delete a response: free.", tells="deletion"),
    ),
    tells_usage=True,
    unreported=UNREPORTED,
    answer_bytes=16_777_216,
    begins_job=_begins_job,
)
"""Responses that the upstream keeps."""
