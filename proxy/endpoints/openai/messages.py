"""The messages of a chat: which parts their content may have, and what each may hold."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.content import ContentTable, Object, PartRule, head_of, is_address

_IMAGE_HEADERS: Final = ("data:image/", "data:;", "data:,")

_MESSAGE: Final = frozenset(
    {
        "role", "content", "name", "refusal", "audio", "tool_calls", "tool_call_id", "function_call",
        "reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks", "annotations",
        "cache_control", "prompt_cache_breakpoint", "extra_content", "provider_specific_fields", "metadata",
    }
)  # fmt: skip
_ANY_PART: Final = frozenset({"type", "id", "index", "cache_control", "prompt_cache_breakpoint"})


def _hides_in_image(part: Object) -> bool:
    """An image takes no more than so much, wherever it is; a data URL of another kind is no image."""
    holder = part.get("image_url")
    head = head_of(holder.get("url") if isinstance(holder, dict) else holder)
    return head.startswith("data:") and not head.startswith(_IMAGE_HEADERS)


def _hides_in_sound(part: Object) -> bool:
    sound = part.get("input_audio")
    return not isinstance(sound, dict) or is_address(sound.get("data"))


def _hides_in_file(part: Object) -> bool:
    file = part.get("file", part)
    if not isinstance(file, dict) or file.get("file_id") or file.get("file_url"):
        return True
    data = file.get("file_data")
    return not isinstance(data, str) or is_address(data)


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

CHAT_CONTENT: Final = ContentTable(_MESSAGE, _PARTS)
"""The messages of a chat, and the parts of their content."""
