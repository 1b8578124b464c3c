"""What a reply has produced so far, kept small: one buffer of UTF-8 for each choice, and the size of data."""

import msgspec

from proxy.endpoints.tallies.payload import DATA_BYTES_PER_TOKEN, SOUND_BYTES_PER_TOKEN, Payload
from proxy.metering.tools import call_tokens
from proxy.metering.usage import Usage


class Echo(msgspec.Struct, frozen=True):
    """Prompts that a completion repeats at the start of its choices, `choices` of them each; no output."""

    prompts: tuple[bytes, ...] = ()
    choices: int = 1

    def of(self, index: int) -> bytes:
        """What the choice of this index begins with."""
        prompt = index // self.choices
        return self.prompts[prompt] if 0 <= prompt < len(self.prompts) else b""


NO_ECHO = Echo()


class Produced:
    """Collects text by choice, and counts data. An echo of the prompt is left out, from the size too.

    `size` is the length of all text in UTF-8, and the tokens that data counts as.
    """

    __slots__ = ("_calls", "_data_bytes", "_echo", "_sound_bytes", "_texts", "size")

    def __init__(self, echo: Echo = NO_ECHO) -> None:
        self._echo = echo
        self._texts: dict[int, bytearray] = {}
        self._calls: dict[int, set[int]] = {}
        self._data_bytes = self._sound_bytes = 0
        self.size = 0

    def add(self, index: int, text: str) -> None:
        """Add text to the choice of this index."""
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            encoded = text.encode("utf-8", "surrogatepass")
        buffer = self._texts.get(index)
        if buffer is None:
            self._texts[index] = bytearray(encoded)
        else:
            buffer += encoded
        self.size += len(encoded)
        if self._echo.prompts:
            # More text can show that what seemed an echo is none, so all of it is compared again.
            text_bytes = sum(len(text) - self._echoed_bytes(at) for at, text in self._texts.items())
            self.size = text_bytes + self.data_tokens

    def put(self, index: int, payload: Payload) -> None:
        """Add what the choice of this index has beside its text."""
        for text in payload.texts:
            self.add(index, text)
        before = self.data_tokens
        self._data_bytes += payload.data_bytes
        self._sound_bytes += payload.sound_bytes
        self.size += self.data_tokens - before

    @property
    def data_tokens(self) -> int:
        """What all data so far counts as."""
        return -(-self._data_bytes // DATA_BYTES_PER_TOKEN) + self._sound_tokens

    @property
    def _sound_tokens(self) -> int:
        return -(-self._sound_bytes // SOUND_BYTES_PER_TOKEN)

    def usage(self, text_tokens: int) -> Usage:
        """All output by meter, when the text comes to so many tokens."""
        usage = {"output_tokens": text_tokens + self.data_tokens}
        if self._sound_bytes:
            usage["output_audio_tokens"] = self._sound_tokens
        return usage

    def add_call(self, index: int, place: int | None) -> None:
        """Note that the choice of this index calls a tool, the one at `place` if they are numbered."""
        places = self._calls.setdefault(index, set())
        places.add(len(places) if place is None else place)

    def call_tokens(self, model: str) -> int:
        """What the calls of all choices take beside their names and arguments."""
        return sum(call_tokens(len(places), model) for places in self._calls.values())

    def text(self) -> str:
        """All text, one choice after the other."""
        return "".join(
            _decoded(memoryview(text)[self._echoed_bytes(index) :]) for index, text in self._texts.items()
        )

    def _echoed_bytes(self, index: int) -> int:
        echo, text = self._echo.of(index), self._texts[index]
        if text.startswith(echo):
            return len(echo)
        return len(text) if echo.startswith(text) else 0


def _decoded(text: memoryview) -> str:
    try:
        return str(text, "utf-8")
    except UnicodeDecodeError:
        # Halves of a character that came in two events are put together, and lone ones replaced.
        halves = str(text, "utf-8", "surrogatepass")
        return halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
