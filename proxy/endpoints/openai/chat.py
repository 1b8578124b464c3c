"""POST /v1/chat/completions."""

from typing import Any

import msgspec

from proxy.endpoints.openai.generation import (
    ChoiceCount,
    GenerationAsk,
    OutputBound,
    named_bounds,
    shows_usage,
)
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, read_body
from proxy.metering.estimates import chat_estimate
from proxy.metering.prompts import chat_bound, chat_tokens


class ChatCall(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion as OpenAI's API takes it."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool = False
    max_completion_tokens: OutputBound | None = None
    max_tokens: OutputBound | None = None
    n: ChoiceCount | None = None


class ChatEndpoint:
    """Chats. They change nothing at an upstream, so a call may be repeated at another target."""

    name = "chat.completions"
    path = "/v1/chat/completions"
    upstream_path = "/chat/completions"
    meters = ("input_tokens", "output_tokens")
    repeatable = True
    summary = "A chat completion: authorized before it is forwarded, charged when it has ended."
    request = ChatCall
    streams = True

    def read(self, body: bytes) -> GenerationAsk:
        """Read a chat request. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        fields.require(request, "messages", (b"[",), "an array of messages")
        stream = fields.flag(request, "stream")
        return GenerationAsk(
            body=request,
            model=model,
            stream=stream,
            choices=fields.whole(request, "n", fields.CHOICES_MAX) or 1,
            named_bounds=named_bounds(request, ("max_completion_tokens", "max_tokens")),
            input_tokens_max=_input_bound(request, model),
            count_input=chat_tokens,
            shows_usage=stream and shows_usage(request),
            end_user=fields.end_user(request),
            estimate_input=chat_estimate,
        )


def _input_bound(request: JsonBody, model: str) -> int:
    raw = request.members["messages"]
    if len(memoryview(raw)) <= LARGE_BYTES and bytes(raw).count(b"[") == 1:
        # Media are parts in a list, and the only list is that of the messages.
        return chat_bound({}, request.size_bytes, model)
    return max(1, chat_bound({"messages": request["messages"]}, request.size_bytes, model))
