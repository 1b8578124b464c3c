import argparse
import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.tokens import COUNTER, INLINE_LIMIT_CHARS, PIECE_CHARS, Counter, Item, count_text, pieces
from proxy.metering.vocabulary import SHARED, Encoder

SOURCE = Path(argparse.__file__).read_text() * 3
PROSE = "The fare is due before the ride, and nobody rides for free. " * 4_000


class Scripted:
    """Encoders that all do what `encode_ordinary` was given to do; `loaded` says what they claim to be."""

    def __init__(self, encode: object, *, loaded: bool = True) -> None:
        self._encode = encode
        self._loaded = loaded

    def encoder(self, _name: str) -> Encoder:
        return self

    def is_loaded(self, _name: str) -> bool:
        return self._loaded

    def encode_ordinary(self, text: str) -> list[int]:
        assert callable(self._encode)
        ids: list[int] = self._encode(text)
        return ids


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_short_text_is_counted_exactly(model: str) -> None:
    assert count_text("hello world", model) == 2
    assert count_text("tiktoken is great!", model) == 6
    assert count_text("", model) == 0


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert count_text(text, "gpt-4") <= len(text.encode("utf-8", "surrogatepass"))


def test_marks_of_special_tokens_are_ordinary_text() -> None:
    """A user may write about them; they neither fail nor count as the one token they are in a transcript."""
    assert count_text("<|endoftext|>", "gpt-4") == 7
    assert count_text("<|endoftext|><|im_start|>", "gpt-4o") > 2


def test_lone_surrogates_are_counted_as_replacement_characters() -> None:
    assert count_text("a\ud800b", "gpt-4o") == count_text("a\ufffdb", "gpt-4o")


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize("text", [" ", "\t", "a", "^", "\n", " \t"])
def test_a_megabyte_of_one_thing_is_counted_without_a_fallback(text: str, model: str) -> None:
    """Whole, blanks of this length make the tokenizer panic."""
    counter = Counter()
    repeated = text * (1_000_000 // len(text)) + "z"
    assert 0 < counter.count(repeated, model) <= len(repeated)
    assert counter.fallbacks == 0


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize("text", [SOURCE, PROSE])
def test_cutting_real_text_changes_no_count(text: str, model: str) -> None:
    assert len(list(pieces(text))) > 3
    encoding = SHARED.encoding("o200k_base" if model == "gpt-4o" else "cl100k_base")
    assert count_text(text, model) == len(encoding.encode_ordinary(text))


@given(
    st.lists(st.sampled_from(["word", " ", "  ", "\n", "é", "7 up ", "x" * 5_000, " " * 5_000]), max_size=60),
    st.integers(1, 6),
)
def test_pieces_are_the_text_in_bounded_parts(words: list[str], repeat: int) -> None:
    text = "".join(words) * repeat
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert all(0 < len(part) <= PIECE_CHARS for part in parts) or parts == [""]


def test_text_is_cut_before_the_last_safe_space() -> None:
    text = "a" * (PIECE_CHARS - 10) + " cut me" + "?" * 40
    assert list(pieces(text)) == [text[: PIECE_CHARS - 6], text[PIECE_CHARS - 6 :]]
    exactly_there = "a" * PIECE_CHARS + " b"
    assert list(pieces(exactly_there)) == ["a" * PIECE_CHARS, " b"]


def test_text_without_a_safe_space_near_the_limit_is_cut_at_the_limit() -> None:
    for filler in ("a", " ", "- ", "é "):
        text = "early cut " + filler * PIECE_CHARS
        assert len(next(pieces(text))) == PIECE_CHARS


def test_a_panic_of_the_tokenizer_counts_bytes_and_is_told() -> None:
    """A million blanks in one piece make the real tokenizer panic, with an exception that is no Exception."""
    counter = Counter()
    blanks = " " * 1_000_000 + "z"
    assert counter._piece(SHARED.encoding("cl100k_base"), blanks) == len(blanks)
    assert counter.fallbacks == 1
    assert counter.last_fault.startswith("PanicException")


def test_the_fallback_counts_bytes_of_utf8_also_of_what_has_none() -> None:
    def fail(_text: str) -> list[int]:
        raise RuntimeError("broken")

    counter = Counter(Scripted(fail))
    assert counter.count("aé\ud800", "gpt-4o") == 1 + 2 + 3
    assert (counter.fallbacks, counter.last_fault) == (1, "RuntimeError: broken")


@pytest.mark.parametrize("stop", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_a_program_is_no_fault_of_the_tokenizer(stop: type[BaseException]) -> None:
    def interrupted(_text: str) -> list[int]:
        raise stop

    counter = Counter(Scripted(interrupted))
    with pytest.raises(stop):
        counter.count("text", "gpt-4o")
    assert counter.fallbacks == 0


async def test_counting_off_the_loop_gives_the_same_count() -> None:
    for text in ("short", SOURCE):
        assert await COUNTER.count_off_loop(text, "gpt-4o") == count_text(text, "gpt-4o")
    items: list[Item] = ["one text", 5, SOURCE, "", 7]
    assert await COUNTER.total_off_loop(items, len(SOURCE), "gpt-4o") == COUNTER.total(items, "gpt-4o")


@pytest.mark.parametrize(
    ("size", "loaded", "inline"),
    [(INLINE_LIMIT_CHARS, True, True), (INLINE_LIMIT_CHARS + 1, True, False), (1, False, False)],
)
async def test_short_text_is_counted_inline_once_the_vocabulary_is_there(
    size: int, loaded: bool, inline: bool
) -> None:
    ran_in: set[int] = set()

    def note(text: str) -> list[int]:
        ran_in.add(threading.get_ident())
        return [0] * len(text)

    assert await Counter(Scripted(note, loaded=loaded)).count_off_loop("x" * size, "gpt-4o") == size
    assert (ran_in == {threading.get_ident()}) is inline


async def test_the_loop_turns_while_long_text_is_counted() -> None:
    count = asyncio.ensure_future(COUNTER.count_off_loop(" " * 1_000_000, "gpt-4o"))
    turns = 0
    while not count.done():
        await asyncio.sleep(0)
        turns += 1
    assert count.result() > 0
    assert turns > 100


async def test_a_cancelled_count_stops_at_its_next_piece() -> None:
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    encoded: list[int] = []

    def wait(text: str) -> list[int]:
        encoded.append(len(text))
        loop.call_soon_threadsafe(started.set)
        assert go_on.wait(10)
        return []

    counter = Counter(Scripted(wait))
    count = asyncio.ensure_future(counter.count_off_loop("x" * 10 * PIECE_CHARS, "gpt-4o"))
    await started.wait()
    count.cancel()
    with pytest.raises(asyncio.CancelledError):
        await count
    go_on.set()
    counter._threads.shutdown(wait=True)
    assert encoded == [PIECE_CHARS]


async def test_at_most_two_long_counts_run_at_once_and_each_gets_its_turn() -> None:
    lock = threading.Lock()
    running = most = 0

    def watch(text: str) -> list[int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        ids = SHARED.encoding("cl100k_base").encode_ordinary(text)
        with lock:
            running -= 1
        return ids

    counter = Counter(Scripted(watch))
    text = "fare " * 40_000
    counts = await asyncio.gather(*(counter.count_off_loop(text, "gpt-4") for _ in range(6)))
    assert set(counts) == {count_text(text, "gpt-4")}
    assert 1 <= most <= 2
