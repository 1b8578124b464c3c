"""What is within messages: input that is not text, and what of it the body only refers to.

Text is bounded by its bytes. What is not text is bounded where its size can be told from the body; the rest
is hidden, and takes the rate card's allowance.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.features import Feature, hidden_input
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.repeats import has_repeats
from proxy.errors import Refusal

Object = dict[str, Any]

# A value follows a colon: without an object or a list there, all messages are flat and hold only text.
_NESTED: Final = re.compile(rb":\s*[{\[]")
_HEAD_CHARS: Final = 256
_IMAGE_HEADERS: Final = ("data:image/", "data:;", "data:,")

_MESSAGE: Final = frozenset(
    {
        "role", "content", "name", "refusal", "audio", "tool_calls", "tool_call_id", "function_call",
        "reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks", "annotations",
        "cache_control", "prompt_cache_breakpoint", "extra_content", "provider_specific_fields", "metadata",
    }
)  # fmt: skip
_ANY_PART: Final = frozenset({"type", "id", "index", "cache_control", "prompt_cache_breakpoint"})


class PartRule(msgspec.Struct, frozen=True):
    """What a kind of content part may hold. With any other member its size cannot be told.

    `inner` has the members of objects within it. `hides` says whether this part only refers to its input.
    """

    members: frozenset[str]
    inner: Mapping[str, frozenset[str]] = {}
    hides: Callable[[Object], bool] | None = None


def is_flat(body: JsonBody, name: str) -> bool:
    """Whether messages hold neither objects nor lists, and so nothing but text."""
    return _NESTED.search(body.members[name]) is None


def hidden_in_messages(body: JsonBody, name: str) -> Iterator[Feature]:
    """The inputs that messages only refer to; none in flat ones.

    Raises Refusal `invalid_value` for what could be read in two ways.
    """
    value = body[name]
    if has_repeats(bytes(body.members[name]), value):
        raise Refusal(
            "invalid_value",
            f"An object within `{name}` has the same name twice; upstreams differ in which they read.",
            param=name,
        )
    hidden: Counter[str] = Counter()
    for message in value if isinstance(value, list) else [value]:
        hidden.update(_hidden_in_message(message, f"{name}[]"))
    for where, count in hidden.items():
        yield hidden_input(where, name, count)


def _hidden_in_message(message: object, where: str) -> Iterator[str]:
    if not isinstance(message, dict):
        if isinstance(message, list):
            yield where
        return
    refuse_other_cases(message, _MESSAGE, where)
    for name, value in message.items():
        if name == "content":
            yield from _hidden_in_content(value, f"{where}.content")
        elif isinstance(value, dict | list) and (name == "audio" or name not in _MESSAGE):
            yield f"{where}.audio" if name == "audio" else where


def _hidden_in_content(content: object, where: str) -> Iterator[str]:
    if not isinstance(content, list):
        if _is_hidden(content, where):
            yield where
        return
    for part in content:
        if _is_hidden(part, f"{where}[]"):
            yield f"{where}[]"


def _is_hidden(part: object, where: str) -> bool:
    """Whether the size of a content part cannot be told. A string is text."""
    if not isinstance(part, dict):
        return isinstance(part, list)
    refuse_other_cases(part, _PART_NAMES, where)
    kind = part.get("type")
    rule = _PARTS.get(kind) if isinstance(kind, str) else None
    if rule is None or not part.keys() <= rule.members:
        return True
    for name, names in rule.inner.items():
        inner = part.get(name)
        if isinstance(inner, dict):
            refuse_other_cases(inner, names, f"{where}.{name}")
            if not inner.keys() <= names:
                return True
    return rule.hides is not None and rule.hides(part)


def _head(text: object) -> str:
    """The first characters of a string, in lower case; empty for any other value."""
    return text[:_HEAD_CHARS].lower() if isinstance(text, str) else ""


def _is_address(text: object) -> bool:
    """Whether a string that should hold data, as base64 or a data URL, tells where the data is instead."""
    head = _head(text)
    return ":" in head and not head.startswith("data:")


def _hides_in_image(part: Object) -> bool:
    """An image takes no more than so much, wherever it is; a data URL of another kind is no image."""
    holder = part.get("image_url")
    head = _head(holder.get("url") if isinstance(holder, dict) else holder)
    return head.startswith("data:") and not head.startswith(_IMAGE_HEADERS)


def _hides_in_sound(part: Object) -> bool:
    sound = part.get("input_audio")
    return not isinstance(sound, dict) or _is_address(sound.get("data"))


def _hides_in_file(part: Object) -> bool:
    file = part.get("file", part)
    if not isinstance(file, dict) or file.get("file_id") or file.get("file_url"):
        return True
    data = file.get("file_data")
    return not isinstance(data, str) or _is_address(data)


def _hides(_part: Object) -> bool:
    return True


_TEXT: Final = PartRule(
    _ANY_PART
    | {"text", "refusal", "thinking", "reasoning", "summary", "signature", "data", "annotations", "citations"}
    | {"name", "input"}
)
_IMAGE: Final = frozenset({"url", "detail", "format"})
_FILE: Final = frozenset({"file_data", "file_id", "file_url", "filename", "format"})
_PARTS: Final[Mapping[str, PartRule]] = {
    "text": _TEXT,
    "input_text": _TEXT,
    "output_text": _TEXT,
    "refusal": _TEXT,
    "thinking": _TEXT,
    "redacted_thinking": _TEXT,
    "reasoning": _TEXT,
    "tool_use": _TEXT,
    "image_url": PartRule(_ANY_PART | {"image_url"}, {"image_url": _IMAGE}, _hides_in_image),
    "input_image": PartRule(
        _ANY_PART | {"image_url", "detail", "file_id"}, {"image_url": frozenset({"url"})}, _hides_in_image
    ),
    "image": PartRule(
        _ANY_PART | {"image_url", "source"},
        {"image_url": _IMAGE, "source": frozenset({"type", "media_type", "data", "url"})},
        _hides_in_image,
    ),
    "input_audio": PartRule(
        _ANY_PART | {"input_audio"}, {"input_audio": frozenset({"data", "format"})}, _hides_in_sound
    ),
    "file": PartRule(_ANY_PART | {"file"}, {"file": _FILE}, _hides_in_file),
    "input_file": PartRule(_ANY_PART | _FILE, {}, _hides_in_file),
    "audio_url": PartRule(_ANY_PART | {"audio_url"}, {}, _hides),
    "video_url": PartRule(_ANY_PART | {"video_url"}, {}, _hides),
}
"""What a part of a message may hold, by its `type`."""

_PART_NAMES: Final = frozenset(name for rule in _PARTS.values() for name in rule.members)
