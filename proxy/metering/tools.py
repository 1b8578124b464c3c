"""Tokens of tool definitions and tool choices in a chat prompt.

The constants are from OpenAI's cookbook, and give the API's own count for flat parameters. What they do not
cover, as schemas inside a parameter and tools that are not functions, counts as text of its JSON. No constant
exceeds the JSON punctuation that it comes with, so that a body's length bounds everything here: `chat_bound`
relies on that.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from proxy.metering.json_text import json_text
from proxy.metering.model_names import bare_name, encoding_name
from proxy.metering.tokens import Item

FUNCTION_TOKENS: Final = 7
FUNCTION_TOKENS_OLD: Final = 10
"""For each function, in models that read `cl100k_base`: gpt-3.5 and gpt-4."""

FUNCTIONS_END_TOKENS: Final = 12
PROPERTIES_TOKENS: Final = 3
PROPERTY_TOKENS: Final = 3
ENUM_TOKENS: Final = -3
ENUM_ITEM_TOKENS: Final = 3
NO_CHOICE_TOKENS: Final = 1
CALL_TOKENS: Final = 7
CALL_TOKENS_OLD: Final = 4
"""For a call that a model makes, beside name and arguments; the old models make one at a time."""
CALLS_TOKENS: Final = 12
CALLS_EACH_TOKENS: Final = 8
"""For several calls at once, and for each of them."""
NAMED_CHOICE_TOKENS: Final = 7

_OLD: Final = re.compile(r"gpt-4(-32k)?(-0314|-0613)?\Z|gpt-3\.5-turbo(-16k)?-0613\Z")
_COVERED: Final = frozenset({"type", "description", "enum"})


def call_tokens(calls: int, model: str) -> int:
    """What an answer with so many tool calls takes beside their names and arguments.

    Measured at OpenAI's API, where the calls of one answer are put into a frame of their own. A later request
    that repeats the calls has the same tokens in its prompt.
    """
    if _OLD.match(bare_name(model)):
        return CALL_TOKENS_OLD * calls
    return CALL_TOKENS * calls if calls < 2 else CALLS_TOKENS + CALLS_EACH_TOKENS * calls


def value_items(value: object) -> Iterator[Item]:
    """A value as text to count: a string itself, nothing for null, JSON for everything else."""
    if isinstance(value, str):
        yield value
    elif value is not None:
        yield json_text(value)


def tool_items(body: Mapping[str, object], model: str) -> Iterator[Item]:
    """The items of `tools`, `functions`, `tool_choice` and `function_call` in the body of a chat request."""
    function_tokens = FUNCTION_TOKENS_OLD if encoding_name(model) == "cl100k_base" else FUNCTION_TOKENS
    functions = 0
    for definition in definitions(body):
        if isinstance(definition, dict) and isinstance(definition.get("name"), str):
            functions += 1
            yield function_tokens
            yield from _function_items(definition)
        else:
            yield from value_items(definition)
    if functions:
        yield FUNCTIONS_END_TOKENS
    yield from choice_items(body.get("tool_choice"))
    yield from choice_items(body.get("function_call"))


def definitions(body: Mapping[str, object]) -> Iterator[object]:
    """Each function's definition, without the wrapper that it may have; tools of other kinds unchanged."""
    tools, functions = body.get("tools"), body.get("functions")
    if isinstance(tools, list):
        for tool in tools:
            wrapped = tool.get("function") if isinstance(tool, dict) else None
            # A name outside a wrapper would make a tool of another kind look like a function.
            yield wrapped if isinstance(wrapped, dict) else json_text(tool)
    else:
        yield tools
    if isinstance(functions, list):
        yield from functions
    else:
        yield functions


def _function_items(definition: dict[str, object]) -> Iterator[Item]:
    yield f"{definition['name']}:{_description(definition)}"
    parameters = definition.get("parameters")
    if not isinstance(parameters, dict):
        yield from value_items(parameters)
        return
    properties = parameters.get("properties")
    if isinstance(properties, dict):
        if properties:
            yield PROPERTIES_TOKENS
        for name, schema in properties.items():
            yield from _property_items(str(name), schema)
    for key, value in parameters.items():
        if key not in {"properties", "required"} and isinstance(value, dict | list):
            yield json_text(value)


def _property_items(name: str, schema: object) -> Iterator[Item]:
    if not isinstance(schema, dict):
        yield name
        yield from value_items(schema)
        return
    yield PROPERTY_TOKENS
    kind = "".join(str(item) for item in value_items(schema.get("type")))
    yield f"{name}:{kind}:{_description(schema)}"
    yield from _enum_items(schema.get("enum"))
    for key, value in schema.items():
        if key not in _COVERED and isinstance(value, dict | list):
            yield json_text(value)


def _enum_items(choices: object) -> Iterator[Item]:
    if not isinstance(choices, list):
        yield from value_items(choices)
        return
    yield ENUM_TOKENS
    for choice in choices:
        if isinstance(choice, str):
            yield ENUM_ITEM_TOKENS
        yield from value_items(choice)


def _description(holder: Mapping[str, object]) -> str:
    text = holder.get("description")
    return text.removesuffix(".") if isinstance(text, str) else ""


def choice_items(choice: object) -> Iterator[Item]:
    """The items of `tool_choice` or `function_call`."""
    if choice == "none":
        yield NO_CHOICE_TOKENS
    if isinstance(choice, dict):
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            yield NAMED_CHOICE_TOKENS
            yield name
        else:
            yield json_text(choice)
