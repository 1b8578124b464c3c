"""Parts of a message that are not text: images, sounds and files, and the most tokens each can take."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from proxy.metering.images import family_of, image_data, image_data_tokens

STORED_TOKENS: Final = 32_768
"""Allowed for a file or clip that the request only refers to: nothing in it tells the size."""

FILE_TEXT_TOKENS_MAX: Final = 262_144
"""The most text tokens of one file: a hundred dense pages, or a megabyte of plain text."""

FILE_PAGES_MAX: Final = 100
FILE_PAGE_BYTES: Final = 16_384
FILE_FRAMING_TOKENS: Final = 192

# A second of sound is ten tokens, so these are a tenth of the fewest bytes that a second takes: 1,625 for GSM
# in WAV, 1,000 for MP3, and 500 for any codec.
_SOUND_BYTES_PER_TOKEN: Final[Mapping[str, int]] = {"wav": 160, "mp3": 100}
_SOUND_BYTES_PER_TOKEN_LEAST: Final = 50

BASE64_PDF: Final = "JVBERi0"
"""How the text of a PDF in base64 begins."""


class Media(msgspec.Struct, frozen=True):
    """The most tokens a part can take, and how many characters of the request are its file, not text."""

    tokens: int
    payload_chars: int


def media_of(part: object, model: str) -> Media | None:
    """What a content part of a message is; None for text and for parts of an unknown form."""
    if not isinstance(part, dict):
        return None
    kind = part.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    return read(part, model) if read is not None else None


def is_pdf(data: str) -> bool:
    """Whether a file in base64, with or without a `data:` header, is a PDF."""
    return BASE64_PDF in data[:256]


def _image(part: Mapping[str, object], model: str) -> Media:
    image = image_data(part)
    return Media(image_data_tokens(image, model), image.payload_chars)


def _sound(part: Mapping[str, object], _model: str) -> Media | None:
    sound = part.get("input_audio")
    if not isinstance(sound, dict) or not isinstance(data := sound.get("data"), str):
        return None
    form = sound.get("format")
    per_token = _SOUND_BYTES_PER_TOKEN_LEAST
    if isinstance(form, str):
        per_token = _SOUND_BYTES_PER_TOKEN.get(form, per_token)
    return Media(1 + decoded_bytes(data) // per_token, len(data))


def _file(part: Mapping[str, object], model: str) -> Media:
    file = part.get("file", part)
    data = file.get("file_data") if isinstance(file, dict) else None
    return _of_file(data, model, is_paged=isinstance(data, str) and is_pdf(data))


def _of_file(data: object, model: str, *, is_paged: bool) -> Media:
    if not isinstance(data, str):
        return Media(STORED_TOKENS, 0)
    size_bytes = decoded_bytes(data)
    tokens = FILE_FRAMING_TOKENS + min(size_bytes, FILE_TEXT_TOKENS_MAX)
    if is_paged:
        # Each page of a PDF is shown to the model as text and as an image.
        pages = min(FILE_PAGES_MAX, 1 + size_bytes // FILE_PAGE_BYTES)
        tokens += pages * family_of(model).tokens(None, "high")
    return Media(tokens, len(data))


def _document(part: Mapping[str, object], model: str) -> Media | None:
    """A document of Anthropic's: a file, unless it is text or blocks, which are counted as these."""
    source = part.get("source")
    if not isinstance(source, dict) or source.get("type") in ("text", "content"):
        return None
    # Its data is always a PDF, whatever it begins with.
    return _of_file(source.get("data"), model, is_paged=source.get("type") == "base64")


def _stored(_part: Mapping[str, object], _model: str) -> Media:
    return Media(STORED_TOKENS, 0)


def decoded_bytes(data: str) -> int:
    """The most bytes that base64 text, with or without a `data:` header, or a plain data URL stands for."""
    header = data[:256].partition(",")[0]
    if header[:5].lower() == "data:" and not header.lower().endswith(";base64"):
        return 4 * len(data)
    return -(-len(data) * 3 // 4)


_READERS: Final[Mapping[str, Callable[[Mapping[str, object], str], Media | None]]] = {
    "image_url": _image,
    "input_image": _image,
    "computer_screenshot": _image,
    "image": _image,
    "input_audio": _sound,
    "audio_url": _stored,
    "video_url": _stored,
    "document": _document,
    "file": _file,
    "input_file": _file,
}
