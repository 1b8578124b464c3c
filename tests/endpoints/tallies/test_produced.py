"""Text is collected by choice, and an echo of the prompt is left out however it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.tallies import produced, produced_text
from proxy.endpoints.tallies.produced import Echo, Produced


def echoed(prompt: bytes, text: bytes) -> int:
    """How much of a choice's text is its prompt, or the beginning of it."""
    if text.startswith(prompt):
        return len(prompt)
    return len(text) if prompt.startswith(text) else 0


PROMPTS = st.lists(st.text("ab", max_size=6), max_size=3)
ADDED = st.lists(st.tuples(st.integers(0, 7), st.text("ab", max_size=4)), max_size=20)


@given(PROMPTS, st.integers(1, 3), ADDED)
def test_exactly_the_prompt_at_the_beginning_is_left_out(
    prompts: list[str], choices: int, added: list[tuple[int, str]]
) -> None:
    """Whatever the pieces are, and whichever choice they belong to; the size never falls."""
    echo = Echo(tuple(prompt.encode() for prompt in prompts), choices)
    collected = Produced(echo)
    texts: dict[int, bytes] = {}
    before = 0
    for index, text in added:
        collected.add(index, text)
        texts[index] = texts.get(index, b"") + text.encode()
        rest = [all_of[echoed(echo.of(at), all_of) :] for at, all_of in texts.items()]
        assert collected.size == sum(map(len, rest)) >= before
        assert str(collected.text()).encode() == b"".join(rest)
        before = collected.size


HALF_TEXTS = st.lists(
    st.sampled_from(["a", "é", "日", "😀", "\ud83d", "\ude00", "\udbff", "\udc00"]), max_size=60
)


@given(HALF_TEXTS, st.integers(0, 12), st.integers(10, 40))
def test_halves_are_put_together_wherever_a_piece_of_the_text_ends(
    characters: list[str], shift: int, step: int
) -> None:
    """A pair that came in two events is one character, a lone half is replaced."""
    collected = Produced()
    for character in "x" * shift, *characters:
        collected.add(0, character)
    whole = "x" * shift + "".join(characters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(produced_text, "STEP_BYTES", step)
        found = collected.text()
    assert str(found) == whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(st.lists(st.tuples(st.integers(0, 2), st.text(max_size=30)), min_size=1, max_size=20), st.data())
def test_a_long_text_is_that_of_its_choices_from_any_character_on(
    added: list[tuple[int, str]], data: st.DataObject
) -> None:
    """However many buffers it is in, and although more is added meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(produced_text, "STEP_BYTES", 8)
        patch.setattr(produced, "BUFFER_BYTES", 20)
        collected = Produced()
        texts: dict[int, str] = {}
        for index, text in added:
            collected.add(index, text)
            texts[index] = texts.get(index, "") + text
        whole, found = "".join(texts.values()), collected.text()
        collected.add(0, "more")
        start = data.draw(st.integers(0, len(whole)))
        assert (str(found), len(found)) == (whole, len(whole))
        assert (str(found[start:]), len(found[start:])) == (whole[start:], len(whole) - start)


class Counted(bytes):
    """A prompt that counts how many of its bytes are compared."""

    compared = 0

    def startswith(self, prefix: object, *place: object) -> bool:
        assert isinstance(prefix, bytes)
        Counted.compared += len(prefix)
        return super().startswith(prefix, *place)  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", [1, 10, 1_000])
def test_each_byte_of_an_echo_is_compared_once(piece: int) -> None:
    """However many prompts and choices there are, and in however many pieces each comes."""
    Counted.compared = 0
    prompts = tuple(Counted(b"%04d" % number * 250) for number in range(20))
    collected = Produced(Echo(prompts, 4))
    for at in range(0, 1_000, piece):
        for index in range(80):
            collected.add(index, prompts[index // 4][at : at + piece].decode())
    assert collected.size == 0
    assert Counted.compared == 80 * 1_000
