"""Tokens of text: counted in pieces, so that no text can crash the counter or stall the event loop."""

import asyncio
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from proxy.metering.model_names import encoding_name
from proxy.metering.vocabulary import SHARED, Encoder

INLINE_LIMIT_CHARS: Final = 16_384
"""Text up to this size is counted where the caller is, which takes about a millisecond."""

PIECE_CHARS: Final = 65_536
"""The tokenizer's regular expressions fail on a million blanks; every piece is far smaller."""

CUT_SEARCH_CHARS: Final = 4_096
LONG_COUNTS_MAX: Final = 2
"""How many long counts run at once: more would take every processor from the calls in flight."""

_ITEM_WEIGHT_CHARS: Final = 16
_SAFE_CUT: Final = re.compile(r"[A-Za-z0-9] [A-Za-z]")
_STOPS: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)

Item = str | int
"""A part of a whole to count: text, or a number of tokens that is known already."""


class PiecewiseText(str):
    """A long text that is made piece by piece, so that no step takes long and nobody holds all of it."""

    __slots__ = ()

    def pieces(self) -> Iterator[str]:
        """The whole text in parts, in their order."""
        yield str(self)


class Encoders(Protocol):
    """Where the encoder of an encoding comes from."""

    def encoder(self, name: str) -> Encoder:
        """The encoder that counts text of the encoding `name`."""
        ...

    def is_loaded(self, name: str) -> bool:
        """Whether `encoder(name)` answers at once."""
        ...


class Counter:
    """Counts tokens. Safe to use from several threads and several event loops.

    A text on which the tokenizer fails counts as one token for each byte of UTF-8, which no text exceeds.
    `fallbacks` is how often that happened since the start, `last_fault` why it happened last.
    """

    def __init__(self, encoders: Encoders = SHARED) -> None:
        self.fallbacks = 0
        self.last_fault = ""
        self._encoders = encoders
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(LONG_COUNTS_MAX, thread_name_prefix="count")

    def count(self, text: str, model: str) -> int:
        """The tokens of `text` as `model` reads it. Special tokens are ordinary text.

        Raises VocabularyError when the vocabulary cannot be loaded.
        """
        return self.total((text,), model)

    def total(self, items: Iterable[Item], model: str) -> int:
        """The tokens of all `items` together, each counted on its own. Raises VocabularyError."""
        encoder = self._encoders.encoder(encoding_name(model))
        return sum(item if isinstance(item, int) else self._piece(encoder, item) for item in _flat(items))

    def is_quick(self, size_chars: int, model: str) -> bool:
        """Whether such a text can be counted on an event loop: it is short, and its vocabulary loaded."""
        return size_chars <= INLINE_LIMIT_CHARS and self._encoders.is_loaded(encoding_name(model))

    async def count_off_loop(self, text: str, model: str) -> int:
        """`count`, in a thread for text above `INLINE_LIMIT_CHARS`. Raises VocabularyError."""
        return await self.total_off_loop((text,), len(text), model)

    async def total_off_loop(self, items: Iterable[Item], size_chars: int, model: str) -> int:
        """`total`, in threads when `size_chars`, about the length of all items, is above the limit.

        Long counts take turns piece by piece on `LONG_COUNTS_MAX` threads, so that none waits for the end of
        another, and a cancelled one stops at its next piece. A lazy `items` is walked in the thread: what it
        reads must not change meanwhile. Raises VocabularyError.
        """
        if self.is_quick(size_chars, model):
            return self.total(items, model)
        loop = asyncio.get_running_loop()
        flow = _flat(items)
        tokens, ended = 0, False
        while not ended:
            more, ended = await loop.run_in_executor(self._threads, self._turn, flow, model)
            tokens += more
        return tokens

    def _turn(self, flow: Iterator[Item], model: str) -> tuple[int, bool]:
        """Count about one piece of `flow`: its tokens, and whether the flow has ended."""
        encoder = self._encoders.encoder(encoding_name(model))
        tokens = done_chars = 0
        for item in flow:
            done_chars += _ITEM_WEIGHT_CHARS
            if isinstance(item, int):
                tokens += item
            else:
                tokens += self._piece(encoder, item)
                done_chars += len(item)
            if done_chars >= PIECE_CHARS:
                return tokens, False
        return tokens, True

    def _piece(self, encoder: Encoder, text: str) -> int:
        try:
            return len(encoder.encode_ordinary(text))
        except _STOPS:
            raise
        except BaseException as fault:  # noqa: BLE001 - A panic inside the tokenizer is no Exception.
            with self._lock:
                self.fallbacks += 1
                self.last_fault = f"{type(fault).__name__}: {fault}"[:200]
            return len(text.encode("utf-8", "surrogatepass"))


def pieces(text: str) -> Iterator[str]:
    """`text` in parts of at most `PIECE_CHARS`, cut where no token can span the cut if such a place is near.

    That place is before a single space between an ASCII letter or digit and an ASCII letter, at most
    `CUT_SEARCH_CHARS` before the limit. Without one the cut is at the limit.
    """
    rest = ""
    for more in text.pieces() if isinstance(text, PiecewiseText) else (text,):
        rest += more
        start = 0
        # Whether a place is safe depends on two characters after it.
        while len(rest) - start > PIECE_CHARS + 2:
            end = _cut(rest, start + PIECE_CHARS)
            yield rest[start:end]
            start = end
        rest = rest[start:]
    while len(rest) > PIECE_CHARS:
        end = _cut(rest, PIECE_CHARS)
        yield rest[:end]
        rest = rest[end:]
    yield rest


def _cut(text: str, limit: int) -> int:
    space = text.rfind(" ", limit - CUT_SEARCH_CHARS, limit + 1)
    while space >= 0:
        if _SAFE_CUT.match(text, space - 1):
            return space
        space = text.rfind(" ", limit - CUT_SEARCH_CHARS, space)
    return limit


def _flat(items: Iterable[Item]) -> Iterator[Item]:
    """The same items with every text cut into pieces."""
    for item in items:
        if isinstance(item, int):
            yield item
        else:
            yield from pieces(item)


COUNTER: Final = Counter()
"""The process's counter, for callers that get none passed."""


def count_text(text: str, model: str) -> int:
    """The tokens of `text` as `model` reads it, by the process's counter. Raises VocabularyError."""
    return COUNTER.count(text, model)
