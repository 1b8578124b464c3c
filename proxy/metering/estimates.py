"""What a chat most likely amounts to: for charges where the upstream does not report it.

Nothing is fetched. What lies elsewhere counts as is typical of its kind. No part exceeds its bound.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import ceil
from typing import Final

from proxy.metering.documents import PDF_BYTES_MAX, pdf_pages
from proxy.metering.durations import told_sound
from proxy.metering.images import family_of, image_data, image_data_estimate
from proxy.metering.model_names import bare_name
from proxy.metering.parts import FILE_FRAMING_TOKENS, FILE_PAGE_BYTES, decoded_bytes, is_pdf, media_of
from proxy.metering.prompts import (
    REPLY_PRIMING_TOKENS,
    MessageRule,
    members,
    rule_of,
    schema_items,
    text_field,
)
from proxy.metering.signatures import signatures
from proxy.metering.tokens import COUNTER, Counter, Item, PiecewiseText
from proxy.metering.tools import call_tokens, choice_items, definitions, value_items

FUNCTIONS_TOKENS: Final = 9
"""What all functions take together beside their text."""
SHARED_MESSAGE_TOKENS: Final = 4
"""What they save where there is a system message: they are put into the first one."""

PAGE_TEXT_TOKENS: Final = 500
PAGE_SIZE_PX: Final = (768, 1_024)
TYPICAL_PAGES: Final = 4
TYPICAL_SECONDS: Final = 30
VIDEO_TOKENS_A_SECOND: Final = 258
VIDEO_BYTES_A_SECOND: Final = 125_000
TEXT_BYTES_A_TOKEN: Final = 4

_HEAD_CHARS: Final = 65_536
# Tenths of a token, by what the bare name of a model contains.
_SOUND_TENTHS: Final = (("gemini", 320), ("voxtral", 125), ("mistral", 125), ("", 100))
_ROLE_TOKENS: Final = {"tool": 1, "function": -2}
_FUNCTION_CALL_TOKENS: Final = 3
_UNSEEN: Final = frozenset({"tool_call_id"})
"""Members of a message that tie it to another, and that no model reads."""


def chat_estimate(body: Mapping[str, object], model: str, *, counter: Counter = COUNTER) -> int:
    """Prompt tokens of a chat request, as `model` most likely counts them.

    Takes long where the body holds much text or a PDF: call it off the loop then. Raises VocabularyError.
    """
    return counter.total(estimate_items(body, model), model)


def estimate_items(body: Mapping[str, object], model: str) -> Iterator[Item]:
    """What to count of a chat request: its texts one by one, and the tokens that need no counting."""
    yield REPLY_PRIMING_TOKENS
    messages = body.get("messages")
    if isinstance(messages, list):
        rule = rule_of(model)
        for message in messages:
            yield from _message_items(message, model, rule)
    else:
        yield from value_items(messages)
        messages = ()
    yield from _tool_items(body, shared=any(map(_is_system, messages)))
    yield from choice_items(body.get("tool_choice"))
    yield from choice_items(body.get("function_call"))
    yield from schema_items(body)


def media_estimate(part: object, model: str) -> int | None:
    """The most likely tokens of a part that is no text; None for text and for parts of an unknown form."""
    media = media_of(part, model)
    if media is None or not isinstance(part, dict):
        return None
    return min(media.tokens, _READERS[part["type"]](part, model))


def _message_items(message: object, model: str, rule: MessageRule) -> Iterator[Item]:
    if not isinstance(message, dict) or not message:
        yield from value_items(message)
        return
    role = message.get("role")
    yield rule.message + (_ROLE_TOKENS.get(role, 0) if isinstance(role, str) else 0)
    for key, value in message.items():
        if key == "content" and isinstance(value, list):
            for part in value:
                yield from _part_items(part, model)
        elif key == "tool_calls" and isinstance(value, list):
            yield call_tokens(len(value), model)
            for call in value:
                yield from members(
                    call.get("function", call.get("custom")) if isinstance(call, dict) else call
                )
        elif key == "function_call" and value is not None:
            yield _FUNCTION_CALL_TOKENS
            yield from members(value)
        elif key not in _UNSEEN:
            yield from value_items(value)
        if key == "name" and isinstance(value, str):
            yield rule.name


def _part_items(part: object, model: str) -> Iterator[Item]:
    tokens = media_estimate(part, model)
    if tokens is not None:
        yield tokens
    elif isinstance(part, dict) and (field := text_field(part)) is not None:
        yield from value_items(part.get(field))
    else:
        yield from value_items(part)


def _tool_items(body: Mapping[str, object], *, shared: bool) -> Iterator[Item]:
    functions = []
    for definition in definitions(body):
        if isinstance(definition, dict) and isinstance(definition.get("name"), str):
            functions.append(definition)
        else:
            yield from value_items(definition)
    if functions:
        yield FUNCTIONS_TOKENS - SHARED_MESSAGE_TOKENS * shared
        yield "".join(signatures(functions))


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


def _image(part: Mapping[str, object], model: str) -> int:
    return image_data_estimate(image_data(part), model)


def _sound(part: Mapping[str, object], model: str) -> int:
    sound = part.get("input_audio")
    data = sound.get("data") if isinstance(sound, dict) else None
    if not isinstance(data, str):
        return _elsewhere(part, model)
    head = _decoded(data, _HEAD_CHARS)
    return _sound_tokens(told_sound(head, 0, len(head)).lasts(decoded_bytes(data)), model)


def _sound_tokens(seconds: Fraction | int, model: str) -> int:
    name = bare_name(model)
    tenths = next(tenths for word, tenths in _SOUND_TENTHS if word in name)
    return ceil(Fraction(seconds) * tenths / 10)


def _elsewhere(_part: Mapping[str, object], model: str) -> int:
    return _sound_tokens(TYPICAL_SECONDS, model)


def _video(part: Mapping[str, object], _model: str) -> int:
    holder = part.get("video_url")
    url = holder.get("url") if isinstance(holder, dict) else holder
    seconds = TYPICAL_SECONDS
    if isinstance(url, str) and url[:5].lower() == "data:":
        seconds = -(-decoded_bytes(url) // VIDEO_BYTES_A_SECOND)
    return VIDEO_TOKENS_A_SECOND * seconds


def _file(part: Mapping[str, object], model: str) -> int:
    file = part.get("file", part)
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str):
        return FILE_FRAMING_TOKENS + TYPICAL_PAGES * _page_tokens(model)
    size_bytes = decoded_bytes(data)
    if not is_pdf(data):
        return FILE_FRAMING_TOKENS + size_bytes // TEXT_BYTES_A_TOKEN
    known = pdf_pages(_whole(data)) if size_bytes <= PDF_BYTES_MAX else None
    pages = known or 1 + size_bytes // FILE_PAGE_BYTES
    return FILE_FRAMING_TOKENS + pages * _page_tokens(model)


def _document(part: Mapping[str, object], model: str) -> int:
    source = part.get("source")
    return _file({"file_data": source.get("data") if isinstance(source, dict) else None}, model)


def _page_tokens(model: str) -> int:
    """A page of a PDF is shown to the model as text and as an image."""
    return PAGE_TEXT_TOKENS + family_of(model).tokens(PAGE_SIZE_PX, "high")


def _decoded(data: str, chars: int) -> bytes:
    """The first bytes of a file in base64, with or without a `data:` header, from so many characters."""
    start = _header_chars(data)
    try:
        return base64.b64decode(data[start : start + chars])
    except (binascii.Error, ValueError):
        return b""


def _whole(data: str) -> bytes:
    """All bytes of a file in base64, decoded piece by piece, so that other threads run meanwhile."""
    skipped, rest = _header_chars(data), ""
    decoded: list[bytes] = []
    try:
        for piece in data.pieces() if isinstance(data, PiecewiseText) else (data,):
            rest += "".join(piece[skipped:].split())
            skipped = 0
            stop = len(rest) // 4 * 4
            decoded.append(base64.b64decode(rest[:stop]))
            rest = rest[stop:]
        decoded.append(base64.b64decode(rest))
    except (binascii.Error, ValueError):
        return b""
    return b"".join(decoded)


def _header_chars(data: str) -> int:
    """How long a `data:` header is; 0 where there is none."""
    header, comma, _ = data[:256].partition(",")
    return len(header) + 1 if comma else 0


_READERS: Final[Mapping[str, Callable[[Mapping[str, object], str], int]]] = {
    "image_url": _image,
    "input_image": _image,
    "computer_screenshot": _image,
    "image": _image,
    "input_audio": _sound,
    "audio_url": _elsewhere,
    "video_url": _video,
    "document": _document,
    "file": _file,
    "input_file": _file,
}
