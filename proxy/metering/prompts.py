"""Prompt tokens of a request: exact by a tokenizer, or a cheap ceiling where that is enough."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from proxy.metering.model_names import bare_name
from proxy.metering.parts import Media, media_of
from proxy.metering.tokens import COUNTER, Counter, Item
from proxy.metering.tools import tool_items, value_items

REPLY_PRIMING_TOKENS: Final = 3
EMPTY_PROMPT_TOKENS: Final = 1
"""A model reads an empty prompt as the token that ends a text."""


class MessageRule(msgspec.Struct, frozen=True):
    """Tokens that each message takes beside its text, and each name in it beside its own text."""

    message: int = 3
    name: int = 1


_RULE: Final = MessageRule()
_RULES: Final[Mapping[str, MessageRule]] = {"gpt-3.5-turbo-0301": MessageRule(message=4, name=-1)}

_TEXT_FIELDS: Final[Mapping[str, str]] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}


def chat_tokens(body: Mapping[str, object], model: str, *, counter: Counter = COUNTER) -> int:
    """Prompt tokens of a chat request by OpenAI's rules; images, sounds and files by their bounds.

    `body` is the decoded JSON of the request. Fields of odd types count as text of their JSON, so that
    only VocabularyError is raised. `counter.total_off_loop(chat_items(...), ...)` is for a long body.
    """
    return counter.total(chat_items(body, model), model)


def chat_bound(body_bytes: int, media: Media) -> int:
    """A ceiling of `chat_tokens` of a body without a tokenizer: the JSON's bytes, files by their bounds.

    `body_bytes` is the length of the JSON text, and `media` all that its messages have. A token covers at
    least one byte of UTF-8, and messages and tools add at most as many tokens as they have punctuation.
    """
    bound = body_bytes - media.payload_chars + REPLY_PRIMING_TOKENS + media.tokens
    return bound if bound > 0 else 1


def content_parts(message: object) -> Sequence[object]:
    """The parts of a message's content; none where that is no list."""
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, list) else ()


def media_total(contents: Iterable[Sequence[object]], model: str) -> Media:
    """All media in the contents of messages together."""
    tokens = payload_chars = 0
    for parts in contents:
        for part in parts:
            media = media_of(part, model)
            if media is not None:
                tokens += media.tokens
                payload_chars += media.payload_chars
    return Media(tokens, payload_chars)


def prompt_tokens(prompt: object, model: str, *, counter: Counter = COUNTER) -> int:
    """Tokens of a completion's `prompt` or an embedding's `input`.

    Either is a string, strings, token ids, or lists of token ids. Token ids cost their number. The JSON's
    length in bytes bounds the result. Raises VocabularyError.
    """
    return counter.total(input_items(prompt), model)


def input_items(value: object) -> Iterator[Item]:
    """What to count of a prompt in any of the four forms; anything else counts as text of its JSON."""
    if not isinstance(value, list):
        yield from _one_input(value)
    elif not value:
        yield EMPTY_PROMPT_TOKENS
    else:
        ids = sum(type(member) is int for member in value)
        yield ids
        if ids < len(value):
            for member in value:
                if type(member) is not int:
                    yield from _one_input(member)


def chat_items(body: Mapping[str, object], model: str) -> Iterator[Item]:
    """What to count of a chat request: its texts one by one, and the tokens that need no counting."""
    rule = rule_of(model)
    yield REPLY_PRIMING_TOKENS
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in messages:
            yield from _message_items(message, model, rule)
    else:
        yield from value_items(messages)
    yield from tool_items(body, model)
    yield from schema_items(body)


def rule_of(model: str) -> MessageRule:
    """What the messages of this model take."""
    return _RULES.get(bare_name(model), _RULE)


def schema_items(body: Mapping[str, object]) -> Iterator[Item]:
    """The schema that the reply is to have. The model reads it as text; in which form is not published."""
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        yield from value_items(wanted.get("json_schema"))


def _one_input(value: object) -> Iterator[Item]:
    if isinstance(value, list) and all(type(member) is int for member in value):
        yield max(EMPTY_PROMPT_TOKENS, len(value))
    elif value is None or value == "":
        yield EMPTY_PROMPT_TOKENS
    else:
        yield from value_items(value)


def _message_items(message: object, model: str, rule: MessageRule) -> Iterator[Item]:
    if not isinstance(message, dict) or not message:
        yield from value_items(message)
        return
    yield rule.message
    for key, value in message.items():
        if key == "content" and isinstance(value, list):
            for part in value:
                yield from _part_items(part, model)
        elif key == "tool_calls" and isinstance(value, list):
            for call in value:
                yield from _call_items(call)
        elif key == "function_call":
            yield from members(value)
        else:
            yield from value_items(value)
        if key == "name" and isinstance(value, str):
            yield rule.name


def _part_items(part: object, model: str) -> Iterator[Item]:
    media = media_of(part, model)
    if media is not None:
        yield media.tokens
    elif isinstance(part, dict) and (field := text_field(part)) is not None:
        yield from value_items(part.get(field))
    else:
        yield from value_items(part)


def text_field(part: Mapping[str, object]) -> str | None:
    """The member of a part that is its text; None for a part that is none."""
    kind = part.get("type")
    return _TEXT_FIELDS.get(kind) if isinstance(kind, str) else None


def _call_items(call: object) -> Iterator[Item]:
    """A tool call that an earlier reply made: its name and arguments, without its id."""
    called = call.get("function", call.get("custom")) if isinstance(call, dict) else None
    if isinstance(called, dict):
        yield from members(called)
    else:
        yield from value_items(call)


def members(value: object) -> Iterator[Item]:
    """The values of an object one by one; anything else as it is."""
    if isinstance(value, dict):
        for member in value.values():
            yield from value_items(member)
    else:
        yield from value_items(value)
