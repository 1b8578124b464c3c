"""Output that no field of ours names: text wherever it stands, and data such as pictures and sounds.

What a member carries is told by its form and by its name. Text is counted as text. Data has no tokens that a
tokenizer could count, so its size tells.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final, Literal

import msgspec

DATA_BYTES_PER_TOKEN: Final = 1_024
"""About what models report for pictures: one of 1.3 MB is some 1,300 tokens."""
SOUND_BYTES_PER_TOKEN: Final = 2_400
"""A token of speech is 50 ms, in the samples of 16 bits, 24,000 a second, as which speech is streamed."""
REFERRED_BYTES: Final = 1_048_576
"""What a picture or sound counts as that is somewhere else: a megabyte, as a large one has."""

_Kind = Literal["text", "picture", "sound"]
_NUMBERS: Final = frozenset({int, float})

_ENCODED_CHARS: Final = 256
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/_=-]{256}")
"""How long a text without any blank or other sign is that no language has; base64 is nothing else."""

# Members that describe what is beside them: they are no output themselves, unless there is more in them.
_DESCRIBING: Final = frozenset(
    {
        *(
            "type",
            "id",
            "index",
            "object",
            "role",
            "name",
            "format",
            "mime_type",
            "detail",
            "status",
            "model",
        ),
        *("expires_at", "created", "finish_reason", "signature", "thought_signature"),
    }
)
# Members that are text even within a picture or a sound.
_TEXTUAL: Final = frozenset({"text", "transcript", "caption", "content", "thinking", "summary", "alt"})


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What was found: texts in their order, the bytes of sounds, of pictures, and of all other data."""

    texts: tuple[str, ...] = ()
    data_bytes: int = 0
    sound_bytes: int = 0
    picture_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.texts) or self.has_data

    @property
    def has_data(self) -> bool:
        """Whether there is anything but text."""
        return bool(self.data_bytes or self.sound_bytes or self.picture_bytes)


def payload_of(members: Iterable[tuple[str, object]], *, texts: bool = True) -> Payload:
    """All output in members with these names, however deep. Without `texts` only data counts.

    Numbers count within a list, a token each: there they are samples or tokens, elsewhere they describe.
    """
    found: list[str] = []
    data_bytes = sound_bytes = picture_bytes = 0
    # The stack is explicit, as an upstream chooses the depth, and each level of it gives one value after the
    # other: an upstream chooses how many there are, too.
    levels = [_inner(members, "text")]
    while levels:
        for value, kind in levels[-1]:
            if isinstance(value, str):
                size = _data_bytes(value, kind)
                if kind == "sound":
                    sound_bytes += size
                elif kind == "picture":
                    picture_bytes += size
                else:
                    data_bytes += size
                if not size and value:
                    found.append(value)
            elif isinstance(value, dict):
                levels.append(_inner(value.items(), kind))
                break
            elif isinstance(value, list):
                data_bytes += sum(1 for item in value if type(item) in _NUMBERS) * DATA_BYTES_PER_TOKEN
                levels.append(zip(value, repeat(kind), strict=False))
                break
        else:
            levels.pop()
    return Payload(tuple(found) if texts else (), data_bytes, sound_bytes, picture_bytes)


def _inner(members: Iterable[tuple[str, object]], around: _Kind) -> Iterator[tuple[object, _Kind]]:
    """What is to be looked at in members, in their order."""
    for name, value in members:
        if isinstance(value, dict | list) or (isinstance(value, str) and name not in _DESCRIBING):
            yield value, _kind(name, around)


def _kind(name: object, around: _Kind) -> _Kind:
    """What a member of this name holds, within something of the kind `around`."""
    if name in _TEXTUAL:
        return "text"
    name = str(name).lower()
    if "audio" in name or "sound" in name:
        return "sound"
    if "image" in name or "picture" in name or "video" in name or "b64" in name:
        return "picture"
    return around


def _data_bytes(text: str, kind: _Kind) -> int:
    """How many bytes of data a string stands for, decoded; 0 for text."""
    head = text[:_ENCODED_CHARS]
    if head[:5].lower() == "data:":
        return _decoded_bytes(text, head.find(",") + 1)
    if kind != "text" and head[:8].lower().startswith(("http://", "https://")):
        return REFERRED_BYTES
    if kind != "text" or _ENCODED.match(head):
        return _decoded_bytes(text, 0)
    return 0


def _decoded_bytes(text: str, start: int) -> int:
    """How many bytes base64 stands for that begins at `start` of a text; at least one."""
    return max(1, (len(text) - start) * 3 // 4 - text[-2:].count("="))
