"""POST /v1/chat/completions."""

from typing import Any

import msgspec

from proxy.endpoints.openai.bounds import OutputBound, named_bound, thinking_budget
from proxy.endpoints.openai.generation import ChoiceCount, GenerationAsk, shows_usage
from proxy.endpoints.openai.members import CHAT
from proxy.endpoints.openai.messages import hidden_in_messages, is_flat
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, read_body
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
        features = CHAT.features(request)
        flat = is_flat(request, "messages")
        if not flat:
            features += tuple(hidden_in_messages(request, "messages"))
        stream = fields.flag(request, "stream")
        choices = _choices(request)
        return GenerationAsk(
            body=request,
            model=model,
            stream=stream,
            choices=choices,
            bound=named_bound(request),
            input_tokens_max=_input_bound(request, model, flat=flat),
            count_input=chat_tokens,
            shows_usage=stream and shows_usage(request),
            end_user=fields.end_user(request),
            estimate_input=chat_estimate,
            features=features,
            beside=choices * _beside(request),
        )


def _choices(request: JsonBody) -> int:
    each = fields.whole(request, "n", fields.CHOICES_MAX) or 1
    return max(each, fields.whole(request, "best_of", fields.CHOICES_MAX) or 1)


def _beside(request: JsonBody) -> int:
    """What each choice may produce beyond its bound: thoughts, and what it rejects of a prediction."""
    predicted = request.bytes_of("prediction") + request.bytes_of("speculation")
    return predicted + thinking_budget(request)


def _input_bound(request: JsonBody, model: str, *, flat: bool) -> int:
    if flat:
        # Media are parts in a list, and the only list is that of the messages.
        return chat_bound({}, request.size_bytes, model)
    return max(1, chat_bound({"messages": request["messages"]}, request.size_bytes, model))
