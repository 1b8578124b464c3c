"""The text a reply has produced so far, kept small: one buffer of UTF-8 for each choice."""

from collections.abc import Sequence

import msgspec

from proxy.metering.tools import call_tokens


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
    """Collects text by choice. An echo of the prompt is left out, from the count of bytes too.

    `size_bytes` is the length of all text in UTF-8.
    """

    __slots__ = ("_calls", "_echo", "_texts", "size_bytes")

    def __init__(self, echo: Echo = NO_ECHO) -> None:
        self._echo = echo
        self._texts: dict[int, bytearray] = {}
        self._calls: dict[int, set[int]] = {}
        self.size_bytes = 0

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
        self.size_bytes += len(encoded)
        if self._echo.prompts:
            # More text can show that what seemed an echo is none, so all of it is compared again.
            self.size_bytes = sum(len(text) - self._echoed_bytes(at) for at, text in self._texts.items())

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


def text_of(value: object) -> str:
    """All text in a value that should be a string: of parts and lists of them too."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return "".join(text_of(item) for item in value)
    if isinstance(value, dict):
        return "".join(text_of(value[name]) for name in ("text", "thinking", "refusal") if name in value)
    return ""
