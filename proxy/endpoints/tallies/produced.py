"""What a reply has produced so far, kept small: buffers of UTF-8 for each choice, and the size of data."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.payload import DATA_BYTES_PER_TOKEN, SOUND_BYTES_PER_TOKEN, Payload
from proxy.endpoints.tallies.produced_text import stored_text, text_of
from proxy.metering.tokens import PiecewiseText
from proxy.metering.tools import call_tokens
from proxy.metering.usage import Inference, Usage

_COUNTED: Final[Inference] = "counted"

BUFFER_BYTES: Final = 1_048_576
"""How long a buffer may be before another one is begun."""


class Echo(msgspec.Struct, frozen=True):
    """Prompts that a completion repeats at the start of its choices, `choices` of them each; no output."""

    prompts: tuple[bytes, ...] = ()
    choices: int = 1

    def of(self, index: int) -> bytes:
        """What the choice of this index begins with."""
        prompt = index // self.choices
        return self.prompts[prompt] if 0 <= prompt < len(self.prompts) else b""


NO_ECHO = Echo()


class _Repeat:
    """How much of a choice repeats its prompt: the whole prompt, or all of the choice so far, or nothing.

    A choice that has left its prompt before the prompt's end was no repetition.
    """

    __slots__ = ("_prompt", "is_open", "size_bytes")

    def __init__(self, prompt: bytes) -> None:
        self._prompt = prompt
        self.size_bytes = 0
        self.is_open = bool(prompt)

    def add(self, text: bytes) -> int:
        """Take the next bytes of the choice; gives how much more of it is a repetition than before."""
        before = self.size_bytes
        same = text[: len(self._prompt) - before]
        if self._prompt.startswith(same, before):
            self.size_bytes += len(same)
            self.is_open = self.size_bytes < len(self._prompt)
        else:
            self.size_bytes, self.is_open = 0, False
        return self.size_bytes - before


class Produced:
    """Collects text by choice, and counts data. An echo of the prompt is left out, from the size too.

    `size` is the length of all text in UTF-8, and the tokens that data counts as.
    """

    __slots__ = (
        "_buffers",
        "_calls",
        "_data_bytes",
        "_echo",
        "_lasts",
        "_picture_bytes",
        "_repeats",
        "_sound_bytes",
        "_uses",
        "size",
    )

    def __init__(self, echo: Echo = NO_ECHO) -> None:
        self._echo = echo
        self._repeats: dict[int, _Repeat] = {}
        self._lasts: dict[int, bytearray] = {}
        self._buffers: dict[int, list[bytearray]] = {}
        self._calls: dict[int, set[int]] = {}
        self._data_bytes = self._sound_bytes = self._picture_bytes = 0
        self._uses: dict[str, int] = {}
        self.size = 0

    def add(self, index: int, text: str) -> None:
        """Add text to the choice of this index."""
        if isinstance(text, PiecewiseText):
            for piece in text.pieces():
                self.add(index, piece)
            return
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            encoded = text.encode("utf-8", "surrogatepass")
        buffer = self._lasts.get(index)
        if buffer is None or len(buffer) > BUFFER_BYTES:
            # A buffer that grew on and on would now and then be copied as a whole.
            self._lasts[index] = buffer = bytearray(encoded)
            self._buffers.setdefault(index, []).append(buffer)
        else:
            buffer += encoded
        self.size += len(encoded)
        if self._echo.prompts:
            self._leave_out(index, encoded)

    def put(self, index: int, payload: Payload) -> None:
        """Add what the choice of this index has beside its text."""
        for text in payload.texts:
            self.add(index, text)
        before = self.data_tokens
        self._data_bytes += payload.data_bytes
        self._sound_bytes += payload.sound_bytes
        self._picture_bytes += payload.picture_bytes
        self.size += self.data_tokens - before

    @property
    def data_tokens(self) -> int:
        """What all data so far counts as."""
        return -(-self._data_bytes // DATA_BYTES_PER_TOKEN) + self._sound_tokens + self._picture_tokens

    @property
    def _picture_tokens(self) -> int:
        return -(-self._picture_bytes // DATA_BYTES_PER_TOKEN)

    @property
    def _sound_tokens(self) -> int:
        return -(-self._sound_bytes // SOUND_BYTES_PER_TOKEN)

    def usage(self, text_tokens: int) -> Usage:
        """All output by meter, when the text comes to so many tokens."""
        usage = {"output_tokens": text_tokens + self.data_tokens}
        if self._sound_bytes:
            usage["output_audio_tokens"] = self._sound_tokens
        if self._picture_bytes:
            usage["output_image_tokens"] = self._picture_tokens
        return usage | self._uses

    def use(self, meters: Iterable[str]) -> None:
        """Note a meter for each thing that the upstream did by itself."""
        for meter in meters:
            self._uses[meter] = self._uses.get(meter, 0) + 1

    def with_uses(self, reading: Reading) -> Reading:
        """What was reported, with what the upstream did by itself where its usage leaves that out."""
        untold = {meter: seen for meter, seen in self._uses.items() if meter not in reading.usage}
        if not untold:
            return reading
        inferred = {**reading.inferred, **dict.fromkeys(untold, _COUNTED)}
        return replace(reading, usage={**reading.usage, **untold}, inferred=inferred)

    def add_call(self, index: int, place: int | None) -> None:
        """Note that the choice of this index calls a tool, the one at `place` if they are numbered."""
        places = self._calls.setdefault(index, set())
        places.add(len(places) if place is None else place)

    def call_tokens(self, model: str) -> int:
        """What the calls of all choices take beside their names and arguments."""
        return sum(call_tokens(len(places), model) for places in self._calls.values())

    def text(self) -> str:
        """All text, one choice after the other. It may be asked for in one thread while another adds text."""
        stored = [
            (stored_text(buffers), self._echoed_bytes(index)) for index, buffers in [*self._buffers.items()]
        ]
        return text_of(stored)

    def _leave_out(self, index: int, encoded: bytes) -> None:
        repeat = self._repeats.get(index)
        if repeat is None:
            repeat = self._repeats[index] = _Repeat(self._echo.of(index))
        if repeat.is_open:
            self.size -= repeat.add(encoded)

    def _echoed_bytes(self, index: int) -> int:
        repeat = self._repeats.get(index)
        return repeat.size_bytes if repeat is not None else 0
