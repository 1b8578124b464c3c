"""POST /v1/chat/completions."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from proxy.endpoints.base import Headers
from proxy.endpoints.content import HiddenInMessages, is_flat
from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.openai.bounds import BUDGET_NAMES, OutputBound, named_bound, thinking_budget
from proxy.endpoints.openai.members import CHAT
from proxy.endpoints.openai.messages import CHAT_CONTENT
from proxy.endpoints.openai.stored_chats import StoredChatAsk
from proxy.endpoints.openai.stream_options import ChoiceCount, shows_usage
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.endpoints.reading.body_faults import too_many
from proxy.endpoints.reading.metadata import metadata_of
from proxy.endpoints.reading.repeats import has_repeats
from proxy.metering.estimates import chat_estimate
from proxy.metering.parts import Media
from proxy.metering.prompts import chat_bound, chat_tokens, content_parts, media_total

MESSAGES_MAX: Final = 16_384
PARTS_MAX: Final = 65_536
"""How many parts all messages of a chat may have together."""

TOOLS_MAX: Final = 4_096
_FEW_BYTES: Final = 2 * min(MESSAGES_MAX, TOOLS_MAX)
_TOOL_LISTS: Final = ("tools", "functions", "plugins", "search_settings")
_RARE: Final = {"n", "best_of", "prediction", "speculation"} | BUDGET_NAMES
"""The members that change the number of choices, or what may come beside their bound."""
_COUNTED: Final = ("messages", "tools", "functions", "tool_choice", "function_call", "response_format")
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

    def read(self, body: bytes, headers: Headers = ()) -> GenerationAsk:  # noqa: ARG002 - they cost nothing.
        """Read a chat request. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        fields.require(request, "messages", (b"[",), "an array of messages")
        _bound_counts(request)
        features = CHAT.features(request)
        media = Media(0, 0)
        if not is_flat(request, "messages"):
            hidden = HiddenInMessages(CHAT_CONTENT, "messages")
            media = media_total(_contents(request, hidden), model)
            features += tuple(hidden.features(request.members["messages"]))
        stream = fields.flag(request, "stream")
        is_plain = _RARE.isdisjoint(request.members)
        choices = 1 if is_plain else _choices(request)
        is_stored = "store" in request.members and fields.flag(request, "store")
        make = StoredChatAsk if is_stored else GenerationAsk
        return make(
            body=request,
            model=model,
            stream=stream,
            choices=choices,
            bound=named_bound(request),
            input_tokens_max=chat_bound(request.size_bytes, media),
            input_text_bytes=request.size_bytes - media.payload_chars,
            count_input=_count_input,
            shows_usage=stream and shows_usage(request),
            end_user=fields.end_user(request),
            labels=metadata_of(request),
            estimate_input=chat_estimate,
            features=features,
            beside=0 if is_plain else choices * _beside(request),
        )


def _bound_counts(request: JsonBody) -> None:
    """See that there is not more of anything than is read. Raises Refusal `invalid_value`."""
    # The shortest item is a digit and its comma, so that a short body cannot hold too many.
    if request.short_bytes <= _FEW_BYTES:
        return
    request.bound_items("messages", MESSAGES_MAX)
    for name in _TOOL_LISTS:
        request.bound_items(name, TOOLS_MAX)
    for name in _COUNTED:
        request.bound_values(name)


def _choices(request: JsonBody) -> int:
    each = fields.whole(request, "n", fields.CHOICES_MAX) or 1
    return max(each, fields.whole(request, "best_of", fields.CHOICES_MAX) or 1)


def _beside(request: JsonBody) -> int:
    """What each choice may produce beyond its bound: thoughts, and what it rejects of a prediction."""
    predicted = request.bytes_of("prediction") + request.bytes_of("speculation")
    return predicted + thinking_budget(request)


def _count_input(request: JsonBody, model: str) -> int:
    return chat_tokens(request, model) + _repeated_bytes(request)


def _repeated_bytes(request: JsonBody) -> int:
    """The bytes of what has a name twice within it: an upstream may read the value that was not counted."""
    return sum(
        request.bytes_of(name)
        for name in _COUNTED
        if name in request and has_repeats(memoryview(request.members[name]), request[name])
    )


def _contents(request: JsonBody, hidden: HiddenInMessages) -> Iterator[Sequence[object]]:
    """The parts of each message, which is decoded once and held no longer than it is needed."""
    left = PARTS_MAX
    for message in request.items_of("messages"):
        parts = content_parts(message)
        left -= len(parts)
        if left < 0:
            raise too_many("messages", "parts in all", PARTS_MAX)
        hidden.add(message)
        yield parts
