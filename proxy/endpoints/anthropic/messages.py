"""POST /v1/messages, and POST /v1/messages/count_tokens."""

from typing import Annotated, Any, Final

import msgspec

from proxy.endpoints.anthropic.blocks import Blocks
from proxy.endpoints.anthropic.members import CONTEXT, MESSAGES, features_of, sums_up
from proxy.endpoints.anthropic.part import read_message_part
from proxy.endpoints.anthropic.tools import own_kinds
from proxy.endpoints.anthropic.usage import MessageUsage
from proxy.endpoints.base import ForwardPlan, Headers, Tally
from proxy.endpoints.features import unpaid
from proxy.endpoints.free import FreeAsk
from proxy.endpoints.generation import NO_BOUND, GenerationAsk, NamedBound
from proxy.endpoints.members import is_on
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, members_of, patched, read_body
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.blocks import TOOLS_TOKENS, messages_estimate
from proxy.metering.ceiling import Ceiling
from proxy.metering.prompts import chat_bound

MESSAGES_MAX: Final = 100_000
"""Anthropic's own bound."""
TOOLS_MAX: Final = 4_096
_COUNTED: Final = (
    *("messages", "system", "tools", "tool_choice", "mcp_servers", "output_config", "output_format"),
    *(CONTEXT, "thinking", "metadata"),
)


class MessagesCall(msgspec.Struct, frozen=True, kw_only=True):
    """A message as Anthropic's API takes it."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: Annotated[int, msgspec.Meta(description="at most so many tokens of output")]
    stream: bool = False


class CountCall(msgspec.Struct, frozen=True, kw_only=True):
    """A count as Anthropic's API takes it."""

    model: str
    messages: list[dict[str, Any]]


class MessageAsk(GenerationAsk, frozen=True):
    """One request for a message. `budget` is what it may think with, where that is told."""

    budget: int | None = None

    def ceiling_exact(self) -> Ceiling:
        """The same as without counting: there is no tokenizer of these models that could tell less."""
        return self.ceiling()

    def _changes(self, plan: ForwardPlan) -> dict[str, bytes | None]:
        """As of every request for text. Where the output was clamped, thoughts fit in it as well."""
        changes = super()._changes(plan)
        bound = plan.output_bound
        if bound is not None and self.budget is not None and self.budget >= bound:
            thinking = members_of(self.body.members["thinking"]) or {}
            changes["thinking"] = patched(thinking, {"budget_tokens": b"%d" % max(1, bound - 1)})
        return changes

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for a stream or a whole message, whichever was asked for."""
        make = StreamTally if self.stream else WholeTally
        return make(read=read_message_part, report=MessageUsage, keep_usage=keep_usage)


class MessageEndpoint:
    """Messages. They change nothing at an upstream, so a call may be repeated at another target."""

    name = "messages"
    path = "/v1/messages"
    upstream_path = "/messages"
    meters = ("input_tokens", "output_tokens")
    repeatable = True
    summary = "A message as Anthropic's API makes it: authorized before it is forwarded, charged at its end."
    request = MessagesCall
    streams = True

    def read(self, body: bytes, headers: Headers = ()) -> MessageAsk:
        """Read a request for a message. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        _check(request)
        features = MESSAGES.features(request)
        blocks = Blocks(request, model)
        bound, budget = _bound(request), _budget(request)
        size = request.size_bytes + TOOLS_TOKENS * _tools(request)
        answers = 1 + sums_up(features)
        # Thoughts are within the bound, unless they are let go beyond it: then tools come between them.
        beside = budget if budget is not None and budget >= (bound.tokens or 0) else 0
        return MessageAsk(
            body=request,
            model=model,
            stream=fields.flag(request, "stream"),
            choices=1,
            bound=bound,
            input_tokens_max=answers * chat_bound(size, blocks.media),
            input_text_bytes=request.size_bytes - blocks.media.payload_chars,
            count_input=messages_estimate,
            shows_usage=True,
            bound_field="max_tokens",
            end_user=_end_user(request),
            features=(*features, *features_of(headers), *blocks.features),
            beside=beside + (answers - 1) * (bound.tokens or 0),
            budget=budget,
        )


def _check(request: JsonBody) -> None:
    """See that the members that decide are what they should be, and hold no more than is read."""
    fields.require(request, "messages", (b"[",), "an array of messages")
    request.bound_items("messages", MESSAGES_MAX)
    if "system" in request:
        fields.require(request, "system", (b'"', b"[", b"n"), "a string or an array")
    for name in ("tools", "mcp_servers"):
        request.bound_items(name, TOOLS_MAX)
    for name in _COUNTED:
        request.bound_values(name)


def _bound(request: JsonBody) -> NamedBound:
    most = fields.whole(request, "max_tokens", fields.TOKENS_MAX)
    return NO_BOUND if most is None else NamedBound(("max_tokens",), most, is_given=True)


def _tools(request: JsonBody) -> int:
    """How many descriptions are added to the text of the tools: one explains them all."""
    given = [name for name in ("tools", "mcp_servers") if name in request and is_on(request.members[name])]
    return own_kinds(request, "tools") + bool(given)


def _budget(request: JsonBody) -> int | None:
    raw = request.members.get("thinking")
    thinking = members_of(raw) if raw is not None else None
    if thinking is None or (told := thinking.get("budget_tokens")) is None:
        return None
    request.put("thinking", patched(thinking, {}))
    budget = fields.whole_number(told)
    if budget is None or not 0 <= budget <= fields.TOKENS_MAX:
        raise fields.wrong(request, "thinking", "an object whose `budget_tokens` is a whole number")
    return budget


def _end_user(request: JsonBody) -> str:
    raw = request.members.get("metadata")
    metadata = members_of(raw) if raw is not None else None
    told = metadata.get("user_id") if metadata is not None else None
    return fields.printable(fields.text_of(told) or "") if told is not None else ""


class CountEndpoint:
    """Counts of what a message would take."""

    name = "messages.count_tokens"
    path = "/v1/messages/count_tokens"
    upstream_path = "/messages/count_tokens"
    meters = ("input_tokens",)
    repeatable = True
    summary = "How many tokens a message would be: free, within the rate limits."
    request = CountCall
    streams = False

    def read(self, body: bytes, headers: Headers = ()) -> FreeAsk:  # noqa: ARG002 - it is free.
        """Read a request for a count. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        _check(request)
        tools = request.members.get("tools")
        found = (*MESSAGES.features(request), *Blocks(request, model).features)
        if tools is not None:
            # Nothing is carried out, so that there is no use to bound: what is counted is what came.
            request.put("tools", bytes(tools))
        return FreeAsk(request, model, features=unpaid(found))
