"""POST /v1/chat/completions."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from proxy.endpoints.openai.generation import (
    ChoiceCount,
    GenerationAsk,
    OutputBound,
    named_bounds,
    shows_usage,
)
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, read_body, too_many
from proxy.metering.parts import Media
from proxy.metering.prompts import REPLY_PRIMING_TOKENS, chat_tokens, content_parts, media_total

MESSAGES_MAX: Final = 16_384
PARTS_MAX: Final = 65_536
"""How many parts all messages of a chat may have together."""

TOOLS_MAX: Final = 4_096
_COUNTED: Final = (
    "messages",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "response_format",
)
"""The members that are decoded when a chat is counted."""


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
        _bound_counts(request)
        media = _media(request, model)
        text_bytes = request.size_bytes - media.payload_chars
        return GenerationAsk(
            body=request,
            model=model,
            stream=stream,
            choices=fields.whole(request, "n", fields.CHOICES_MAX) or 1,
            named_bounds=named_bounds(request, ("max_completion_tokens", "max_tokens")),
            input_tokens_max=max(1, text_bytes + REPLY_PRIMING_TOKENS + media.tokens),
            input_text_bytes=text_bytes,
            count_input=chat_tokens,
            shows_usage=stream and shows_usage(request),
            end_user=fields.end_user(request),
        )


def _bound_counts(request: JsonBody) -> None:
    """See that there is not more of anything than is counted. Raises Refusal `invalid_value`."""
    request.bound_items("messages", MESSAGES_MAX)
    request.bound_items("tools", TOOLS_MAX)
    request.bound_items("functions", TOOLS_MAX)
    for name in _COUNTED:
        request.bound_values(name)


def _media(request: JsonBody, model: str) -> Media:
    """All images, sounds and files of a chat. Raises Refusal `invalid_value` for too many parts."""
    raw = request.members["messages"]
    if len(memoryview(raw)) <= LARGE_BYTES and bytes(raw).count(b"[") == 1:
        # Media are parts in a list, and the only list is that of the messages.
        return Media(0, 0)
    return media_total(_contents(request), model)


def _contents(request: JsonBody) -> Iterator[Sequence[object]]:
    """The parts of each message."""
    left = PARTS_MAX
    for message in request.items_of("messages"):
        parts = content_parts(message)
        left -= len(parts)
        if left < 0:
            raise too_many("messages", "parts in all", PARTS_MAX)
        yield parts
