"""Every member of the official SDKs' requests that is an id, at all depths, and a request that has it.

What the SDKs learn to send is found here by itself: from the types of their parameters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, NotRequired, Required, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

ROOTS: dict[str, list[str]] = {
    "chat.completions": ["openai.types.chat.completion_create_params:CompletionCreateParamsBase"],
    "completions": ["openai.types.completion_create_params:CompletionCreateParamsBase"],
    "embeddings": ["openai.types.embedding_create_params:EmbeddingCreateParams"],
    "responses": [
        "openai.types.responses.response_create_params:ResponseCreateParamsBase",
        "openai.types.beta.response_create_params:ResponseCreateParamsBase",
    ],
    "responses.compact": [
        "openai.types.responses.response_compact_params:ResponseCompactParams",
        "openai.types.beta.response_compact_params:ResponseCompactParams",
    ],
    "responses.input_tokens": [
        "openai.types.responses.input_token_count_params:InputTokenCountParams",
        "openai.types.beta.responses.input_token_count_params:InputTokenCountParams",
    ],
    "conversations.create": [
        "openai.types.conversations.conversation_create_params:ConversationCreateParams"
    ],
    "conversations.items.create": ["openai.types.conversations.item_create_params:ItemCreateParams"],
    "audio.speech": ["openai.types.audio.speech_create_params:SpeechCreateParams"],
    "audio.transcriptions": ["openai.types.audio.transcription_create_params:TranscriptionCreateParamsBase"],
    "audio.translations": ["openai.types.audio.translation_create_params:TranslationCreateParams"],
    "images.generations": ["openai.types.image_generate_params:ImageGenerateParamsBase"],
    "images.edits": ["openai.types.image_edit_params:ImageEditParamsBase"],
    "images.variations": ["openai.types.image_create_variation_params:ImageCreateVariationParams"],
    "moderations": ["openai.types.moderation_create_params:ModerationCreateParams"],
    "videos": ["openai.types.video_create_params:VideoCreateParams"],
    "videos.remix": ["openai.types.video_remix_params:VideoRemixParams"],
    "videos.edits": ["openai.types.video_edit_params:VideoEditParams"],
    "videos.extensions": ["openai.types.video_extend_params:VideoExtendParams"],
    "messages": [
        "anthropic.types.message_create_params:MessageCreateParamsBase",
        "anthropic.types.beta.message_create_params:MessageCreateParamsBase",
    ],
    "messages.count_tokens": [
        "anthropic.types.message_count_tokens_params:MessageCountTokensParams",
        "anthropic.types.beta.message_count_tokens_params:MessageCountTokensParams",
    ],
}
"""The types of the requests that are served, by endpoint."""

MARK = "names-something"
DEPTH_MAX = 7
_IS_ID = re.compile(r"(?:\A|_)ids?\Z|\Aid")
_PLAIN: dict[Any, Any] = {str: "x", int: 1, float: 1.0, bool: True, bytes: "x"}


@dataclass(frozen=True)
class Place:
    """Where a request can have an id: the endpoint, the type that has it, its path, and such a body."""

    endpoint: str
    type: str
    name: str
    path: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.path} of {self.type}"


def places() -> Iterator[Place]:
    """Every id of every request."""
    for endpoint, roots in ROOTS.items():
        for root in roots:
            module, _, name = root.partition(":")
            yield from _places(endpoint, getattr(import_module(module), name))


def _places(endpoint: str, root: Any) -> Iterator[Place]:
    seen: set[tuple[str, Any]] = set()
    waiting: list[tuple[Any, list[tuple[Any, str, int]]]] = [(root, [])]
    while waiting:
        shape, way = waiting.pop(0)
        for name, hint in get_type_hints(shape).items():
            path = ".".join([*(step for _, step, _ in way), name])
            if _IS_ID.search(name):
                many = any(depth for _, depth in _shapes(hint, {str}))
                leaf = _least(shape) | {name: [MARK] if many else MARK}
                yield Place(endpoint, shape.__name__.removeprefix("Beta"), name, path, _built(way, leaf))
            if len(way) == DEPTH_MAX or name == "betas":
                continue
            for inner, depth in _shapes(hint, None):
                if (path, inner) not in seen and all(inner is not before for before, _, _ in way):
                    seen.add((path, inner))
                    waiting.append((inner, [*way, (shape, name, depth)]))


def _shapes(hint: Any, wanted: set[Any] | None, depth: int = 0) -> Iterator[tuple[Any, int]]:
    """The objects that a type can be, or those that are wanted, each with how many lists it is in."""
    if is_typeddict(hint) if wanted is None else hint in wanted:
        yield hint, depth
        return
    origin = get_origin(hint)
    if origin is dict:
        return
    within = isinstance(origin, type) and hasattr(origin, "__iter__")
    for arg in () if get_origin(hint) is Literal else get_args(hint):
        yield from _shapes(arg, wanted, depth + within)


def _built(way: list[tuple[Any, str, int]], value: Any) -> dict[str, Any]:
    """A request that has an object at the end of a way."""
    for shape, name, depth in reversed(way):
        for _ in range(depth):
            value = [value]
        value = _least(shape) | {name: value}
    assert isinstance(value, dict)
    return value


def _least(shape: Any) -> dict[str, Any]:
    """The members that an object of a type has to have."""
    hints = get_type_hints(shape, include_extras=True)
    needed = {name for name, hint in hints.items() if get_origin(hint) is Required}
    if shape.__total__:
        needed = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    return {name: _value(hints[name]) for name in hints if name in needed}


def _value(hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        return args[0]
    if is_typeddict(hint):
        return _least(hint)
    if isinstance(origin, type) and hasattr(origin, "__iter__"):
        return {} if origin is dict else []
    # One of several types, or what is written around one.
    return _value(args[0]) if args else "x"
