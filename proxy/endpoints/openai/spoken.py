"""Tallies of speech: sound as it comes, and the events that carry it.

Speech that is no events has no usage, so that how long it lasts tells how many tokens it took.
"""

import base64
from fractions import Fraction
from typing import Final

import msgspec

from proxy.endpoints.base import Cost, Reading
from proxy.endpoints.openai.sound_usage import SoundUsage
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.tallies.members import OddPart, Part
from proxy.endpoints.tallies.outline import Unreadable, outline_of
from proxy.endpoints.tallies.part import read_part
from proxy.endpoints.tallies.payload import SOUND_BYTES_PER_TOKEN, Payload
from proxy.endpoints.tallies.stream import StreamTally
from proxy.metering.durations import ToldSound, told_sound
from proxy.metering.usage import Usage

TOKENS_A_SECOND: Final = 20
"""Of speech: one for each twentieth of a second."""
PCM_BYTES_A_SECOND: Final = TOKENS_A_SECOND * SOUND_BYTES_PER_TOKEN
"""Samples without any header."""

_HEAD_BYTES: Final = 4_096
_ERROR_BYTES_MAX: Final = 65_536


class Speech:
    """How long the sound lasts that has come so far, by its first bytes and its size."""

    __slots__ = ("_head", "_is_pcm", "_told", "size_bytes", "tokens")

    def __init__(self, response_format: str) -> None:
        self._is_pcm = response_format == "pcm"
        self._head = b""
        self._told = ToldSound()
        self.size_bytes = self.tokens = 0

    def add(self, size_bytes: int, head: bytes) -> int:
        """Take more of the sound, which begins with `head`; gives how many tokens that adds."""
        if len(self._head) < _HEAD_BYTES and len(self._head) == self.size_bytes:
            self._head += head[: _HEAD_BYTES - len(self._head)]
            self._told = told_sound(self._head, 0, len(self._head))
        self.size_bytes += size_bytes
        before = self.tokens
        self.tokens = max(before, self.tokens_now)
        return self.tokens - before

    @property
    def tokens_now(self) -> int:
        """The tokens of all that has come; `tokens` is the most that this has been."""
        if self._is_pcm:
            seconds = Fraction(self.size_bytes, PCM_BYTES_A_SECOND)
        else:
            seconds = self._told.lasts(self.size_bytes)
        tokens = seconds * TOKENS_A_SECOND
        return -(-tokens.numerator // tokens.denominator)


class SoundTally:
    """Passes sound as it comes, but for its last piece, which waits for the end. It has no usage."""

    has_data = choices_finished = done = False
    anomalies = pending_bytes = 0

    def __init__(self, response_format: str) -> None:
        self._speech = Speech(response_format)
        self._kept = b""
        self._passed = False
        self._finished = False
        self.failed = False

    @property
    def complete(self) -> bool:
        """The end has come, there was sound, and it was no error."""
        self.finish()
        return self._speech.size_bytes > 0 and not self.failed

    @property
    def produced_size(self) -> int:
        """The tokens of the sound so far; none of an error."""
        return 0 if self.failed else self._speech.tokens

    def feed(self, chunk: bytes) -> bytes:
        """The piece before this one. What may be an error is kept until it is too long for one."""
        if not chunk:
            return b""
        self._speech.add(len(chunk), chunk[:_HEAD_BYTES])
        if not self._passed and self._kept.startswith(b"{") and self._speech.size_bytes <= _ERROR_BYTES_MAX:
            self._kept += chunk
            return b""
        passing, self._kept = self._kept, chunk
        self._passed = self._passed or bool(passing)
        return passing

    def finish(self) -> None:
        """The last byte has come. What was kept as a whole may be an error in place of the sound."""
        if self._finished:
            return
        self._finished = True
        if not self._passed and self._kept.startswith(b"{") and len(self._kept) <= _ERROR_BYTES_MAX:
            part = read_part(self._kept)
            self.failed = part is not None and part.failed

    def tail(self, cost: Cost | None = None) -> bytes:  # noqa: ARG002 - no usage could have it.
        """The last piece."""
        return self._kept

    def reported(self) -> Reading | None:
        """Nothing."""
        return None

    def output_text(self) -> str:
        """Nothing: sound is no text."""
        return ""

    def produced(self, text_tokens: int, model: str) -> Usage:  # noqa: ARG002 - all of it is sound.
        """The tokens of the sound."""
        tokens = 0 if self.failed else self._speech.tokens_now
        return {"output_tokens": tokens, "output_audio_tokens": tokens}


class SpeechPart(OddPart, frozen=True, gc=False, kw_only=True):
    """An event of speech; `is_last` for the one that ends it."""

    is_last: bool = False

    @property
    def is_foreign(self) -> bool:
        """Never: it is of a known kind."""
        return False

    @property
    def ends(self) -> bool:
        """Whether it is the end itself."""
        return self.is_last


class _Event(msgspec.Struct, frozen=True, gc=False):
    """An event whose sound is not decoded."""

    type: str | None = None
    audio: msgspec.Raw = msgspec.Raw()


_EVENT: Final = msgspec.json.Decoder(_Event)
_DELTA: Final = "speech.audio.delta"
_END: Final = "speech.audio.done"


class SpeechReader:
    """Reads the events of one speech: how long the sound in them lasts, and the usage at the end."""

    def __init__(self, response_format: str) -> None:
        self._speech = Speech(response_format)

    def read(self, data: bytes) -> Part | None:
        """Read a JSON object; None for anything else, and for what is nested too deeply."""
        found = _large_sound(data) if len(data) > LARGE_BYTES else _sound(data)
        if found is not None:
            size_bytes, head = found
            more = self._speech.add(size_bytes, head) * SOUND_BYTES_PER_TOKEN
            return SpeechPart(choices=[], payloads=((0, Payload(sound_bytes=more)),))
        part = read_part(data)
        if part is None or part.type != _END:
            return part
        return SpeechPart(choices=[], usage=part.usage, error=part.error, is_last=True)


def _sound(data: bytes) -> tuple[int, bytes] | None:
    """How many bytes of sound an event has, and its first ones; None for any other event."""
    if is_too_deep(data):
        return None
    try:
        event = _EVENT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    view = memoryview(event.audio)
    if event.type != _DELTA or bytes(view[:1]) != b'"':
        return None
    padding = bytes(view[-3:-1]).count(b"=")
    return (len(view) - 2) * 3 // 4 - padding, _decoded(bytes(view[1:-1][: 2 * _HEAD_BYTES]))


def _large_sound(data: bytes) -> tuple[int, bytes] | None:
    try:
        outline = outline_of(data)
        kind, sound = outline.small("type"), outline.small("audio")
    except (Unreadable, ValueError):
        return None
    if kind != _DELTA or not isinstance(sound, str):
        return None
    return len(sound) * 3 // 4 - sound[-2:].count("="), _decoded(sound[: 2 * _HEAD_BYTES].encode())


def _decoded(encoded: bytes) -> bytes:
    """The beginning of what base64 stands for; nothing where it is none."""
    try:
        return base64.b64decode(encoded[: len(encoded) // 4 * 4])
    except ValueError:
        return b""


class SpeechTally(StreamTally):
    """The tally of events of speech."""

    def __init__(self, response_format: str, *, keep_usage: bool) -> None:
        super().__init__(read=SpeechReader(response_format).read, report=_spoken_usage, keep_usage=keep_usage)


def _spoken_usage() -> SoundUsage:
    return SoundUsage(speaks=True)
