"""Prompt tokens of Anthropic's messages: what to count of their blocks, and what their media take at most.

There is no tokenizer of Anthropic's models that can be had. A byte is a token at least, which bounds every
count; what is counted by another vocabulary is corrected by what theirs takes more of.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.metering.estimates import media_estimate
from proxy.metering.json_text import json_text
from proxy.metering.tokens import COUNTER, Counter, Item
from proxy.metering.tools import value_items

TOOLS_TOKENS: Final = 4_096
"""More than Anthropic's own prompt takes that explains tools, and any tool of a kind of its own."""
LEVELS_MAX: Final = 5
"""How deep blocks within blocks are looked at."""
LIKELY_TOOLS_TOKENS: Final = 346
"""What that prompt takes with most models."""

_MORE_LIKELY: Final = (6, 5)
"""How many tokens theirs are for those of the vocabulary that is counted by."""

Block = Mapping[str, Any]


def blocks_of(content: object, levels: int = LEVELS_MAX) -> Iterator[Block]:
    """Every block of a content, those within another after it. A string has none, nor has what is deeper."""
    if not isinstance(content, list):
        return
    for block in content:
        if isinstance(block, dict):
            yield block
            if levels:
                source = block.get("source")
                yield from blocks_of(block.get("content"), levels - 1)
                yield from blocks_of(source.get("content") if isinstance(source, dict) else None, levels - 1)


def messages_estimate(body: Mapping[str, object], model: str, *, counter: Counter = COUNTER) -> int:
    """Prompt tokens as `model` most likely counts them. Raises VocabularyError.

    Takes long where the body holds much text or a PDF: call it off the loop then.
    """
    media: list[int] = []
    more, each = _MORE_LIKELY
    return counter.total(_items(body, model, media), model) * more // each + sum(media)


def _items(body: Mapping[str, object], model: str, media: list[int]) -> Iterator[Item]:
    """What is to be counted as text. What blocks that are no text take with the model is put in `media`."""
    yield from _content_items(body.get("system"), model, media)
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        yield _MESSAGE_TOKENS
        if isinstance(message, dict):
            yield from _content_items(message.get("content"), model, media)
        else:
            yield from value_items(message)
    tools = body.get("tools")
    if isinstance(tools, list) and tools:
        yield LIKELY_TOOLS_TOKENS
        for tool in tools:
            yield json_text(tool)
    for name in ("tool_choice", "output_config", "output_format", "mcp_servers"):
        yield from value_items(body.get(name))


_MESSAGE_TOKENS: Final = 4
_TEXTS: Final[Mapping[str, str]] = {"text": "text", "thinking": "thinking"}
"""Blocks of which one member is read as text, and nothing else."""
_FRAME: Final = frozenset({"type", "id", "tool_use_id", "cache_control", "signature", "is_error"})


def _content_items(content: object, model: str, media: list[int]) -> Iterator[Item]:
    """A string, or blocks; of a block what is within it, and its other members as text."""
    if not isinstance(content, list):
        yield from value_items(content)
        return
    for block in content:
        tokens = media_estimate(block, model)
        if tokens is not None:
            media.append(tokens)
        elif not isinstance(block, dict):
            yield from value_items(block)
        elif (field := _TEXTS.get(str(block.get("type")))) is not None:
            yield from value_items(block.get(field))
        else:
            yield from _content_items(block.get("content"), model, media)
            for name, value in block.items():
                if name not in _FRAME and name != "content":
                    yield from value_items(value)
