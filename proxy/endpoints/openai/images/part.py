"""Reads what the API of pictures answers: whole, and the events of a stream.

Pictures are megabytes of base64, of which nothing is decoded but their size.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.endpoints.openai.images.usage import WRITTEN
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import LongText
from proxy.endpoints.reading.steps import count_values
from proxy.endpoints.reading.values import VALUES_MAX, value_of
from proxy.endpoints.tallies.members import Choice, OddPart, Part
from proxy.endpoints.tallies.outline import Unreadable, outline_of
from proxy.endpoints.tallies.part import SHORT_BYTES, any_json
from proxy.endpoints.tallies.payload import DATA_BYTES_PER_TOKEN, Payload, payload_of
from proxy.metering.pictures import UNFINISHED_TOKENS
from proxy.metering.usage import sane_quantity

_UNFINISHED: Final = Payload(picture_bytes=UNFINISHED_TOKENS * DATA_BYTES_PER_TOKEN)
_TOLD: Final = Payload(picture_bytes=1)
"""What a picture counts as whose own event tells its tokens: the telling counts."""
_IMAGES: Final = "images"
_OUTPUTS: Final = ("output_tokens", "completion_tokens")
_BESIDE: Final = frozenset({"usage", WRITTEN, "error", "revised_prompt"})
"""Members that say something of a picture, and are none."""
_NAMES: Final[Mapping[str, str]] = {"url": "image_url"}
"""What tells where a picture is, under a name that says what is there."""


class PicturePart(OddPart, frozen=True, gc=False, kw_only=True):
    """An event of a stream, or a whole answer.

    An event is `unfinished` or `finished` where it has a picture that is so; it `may_end` a stream that has
    all pictures then, and `is_last` where it ends one. `svg_usage` is what the writing of an SVG took.
    """

    svg_usage: Any = None
    unfinished: bool = False
    finished: bool = False
    may_end: bool = False
    is_last: bool = False

    @property
    def usages(self) -> tuple[Any, ...]:
        """That of the pictures, and that of an SVG that was written from one."""
        return (self.usage,) if self.svg_usage is None else (self.usage, {WRITTEN: self.svg_usage})

    @property
    def ends(self) -> bool:
        """Whether it is the end itself."""
        return self.is_last


def read_pictures(data: bytes, texts: Sequence[LongText] = ()) -> Part | None:
    """Read a JSON object; None for anything else, and for what is nested too deeply or holds too much.

    With `texts` its long strings are marks.
    """
    try:
        value = _large(data) if len(data) > LARGE_BYTES else _small(data, texts)
    except (Unreadable, ValueError):
        return None
    if not isinstance(value, dict):
        return None
    items = value.get("data")
    return _whole(value, items) if isinstance(items, list) else _event(value)


def _small(data: bytes, texts: Sequence[LongText]) -> object:
    if len(data) > SHORT_BYTES and is_too_deep(data):
        raise Unreadable
    return value_of(data, texts) if texts else any_json(data)


def _large(data: bytes) -> object:
    """The same of a large object, whose long strings stay where they are."""
    outline = outline_of(data)
    if sum(count_values(memoryview(raw)) for raw in outline.members.values()) > VALUES_MAX:
        raise Unreadable
    return {name: value_of(raw, outline.texts) for name, raw in outline.members.items()}


def _whole(value: Mapping[str, Any], items: list[object]) -> PicturePart:
    """An answer with pictures. What has no picture in it, such as the error of one that failed, is none."""
    found = [payload for payload in map(_payload, items) if payload.has_data]
    return PicturePart(
        # As an answer of chats has: it is whole by that.
        choices=[Choice(finish_reason="stop")] if found else [],
        usage=value.get("usage"),
        svg_usage=value.get(WRITTEN),
        error=value.get("error"),
        object=_text(value, "object"),
        type=_text(value, "type"),
        payloads=tuple((0, payload) for payload in found),
        uses=(_IMAGES,) * len(found),
    )


def _event(value: Mapping[str, Any]) -> PicturePart:
    """An event of a stream. One without a picture that says that all is done is the end.

    Some servers have an event of another name for each picture; whether more come shows only then.
    """
    kind = _text(value, "type") or ""
    is_completed = kind.endswith(".completed")
    payload = _payload(value)
    unfinished = payload.has_data and ("partial_image_index" in value or kind.endswith(".partial_image"))
    return PicturePart(
        usage=value.get("usage"),
        svg_usage=value.get(WRITTEN),
        error=value.get("error"),
        object=_text(value, "object"),
        type=kind or None,
        payloads=((0, _counted(payload, value, unfinished=unfinished)),) if payload.has_data else (),
        unfinished=unfinished,
        finished=payload.has_data and not unfinished,
        may_end=is_completed or not kind,
        is_last=is_completed and not payload.has_data,
    )


def _counted(payload: Payload, event: Mapping[str, Any], *, unfinished: bool) -> Payload:
    """What the picture of an event counts as by itself."""
    if unfinished:
        return _UNFINISHED
    told = event.get("usage")
    is_told = isinstance(told, dict) and any(sane_quantity(told.get(name)) for name in _OUTPUTS)
    return _TOLD if is_told else payload


def _payload(item: object) -> Payload:
    """The picture that an object has, or refers to; nothing where there is none."""
    if not isinstance(item, dict):
        return payload_of((("image", item),), texts=False)
    members = (
        (_NAMES.get(name, name), value) for name, value in item.items() if name not in _BESIDE and value != ""
    )
    return payload_of(members, texts=False)


def _text(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) else None
