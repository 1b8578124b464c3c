"""A JSON text walked in short steps, so that other threads run in between, whatever its size and contents.

What is within strings is told from what is not by operations on whole steps. Python looks at single
brackets and commas only where an array's or an object's own items begin and end, and callers bound those.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

STEP_BYTES: Final = 65_536
"""How much is read or copied at a time."""

PART_BYTES_MAX: Final = 1_048_576
"""The most of a text between two commas, not counting long strings: only numbers and blanks can be longer."""

Text = bytes | memoryview
"""A JSON text, or a part of one."""

_BACKSLASH: Final = b"\\"
_STRUCTURE: Final = re.compile(rb"[\[\]{},]")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_DIGITS: Final = bytes.maketrans(b"[{]}", b"1100")
_NESTED: Final = re.compile(rb":\s*[{\[]")
_BLANKS: Final = b" \t\r\n"
_REACH_BYTES: Final = 64
_LET_GO: Final = 16
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
# What is nested deeply goes in fewer rounds when several levels go at once.
_PAIRS: Final = (b"[" * 16 + b"]" * 16, b"{" * 16 + b"}" * 16, b"[[[[]]]]", b"[]", b"{}")
_DIGIT_PAIRS: Final = (b"1" * 16 + b"0" * 16, b"11110000", b"10")


def slices(text: Text, start: int, stop: int) -> Iterator[bytes]:
    """The bytes between two offsets, in steps. A join of them lets other threads run while it copies much."""
    return (bytes(text[at : min(stop, at + STEP_BYTES)]) for at in range(start, stop, STEP_BYTES))


def cut(text: Text, start: int, stop: int) -> bytes:
    """The bytes between two offsets, copied so that other threads run meanwhile, however many they are.

    A slice would hold the interpreter for 0.5 ms per megabyte.
    """
    return bytes(text[start:stop]) if stop - start <= STEP_BYTES else joined(slices(text, start, stop))


def joined(pieces: Iterable[bytes]) -> bytes:
    """A join that lets other threads run while it copies much, and while it lets go of the pieces.

    A list is left without most of them.
    """
    kept = pieces if isinstance(pieces, list) else list(pieces)
    whole = b"".join(kept)
    while len(kept) > 1:
        del kept[-_LET_GO:]
    return whole


def masked_step(text: Text, at: int) -> bytes:
    """The step that begins at `at`, with `s` for backslashes and quotes that are escaped.

    `at` must not be within an escape, and the step does not end between a backslash and what it escapes.
    """
    step = bytes(text[at : at + STEP_BYTES])
    if _BACKSLASH not in step:
        return step
    if (len(step) - len(step.rstrip(_BACKSLASH))) % 2:
        step += bytes(text[at + len(step) : at + len(step) + 1])
    return step.replace(b"\\\\", b"ss").replace(b'\\"', b"ss")


def skeletons(text: Text) -> Iterator[tuple[int, bytes]]:
    """The whole text in steps: where each begins, and its bytes with `s` for each that is within a string."""
    at, within = 0, 0
    while at < len(text):
        step = masked_step(text, at)
        pieces = step.split(b'"')
        inner = slice(1 - within, None, 2)
        pieces[inner] = [b"s" * len(piece) for piece in pieces[inner]]
        yield at, b'"'.join(pieces)
        at += len(step)
        within = (within + len(pieces) - 1) % 2


def item_ends(text: Text) -> Iterator[int]:
    """Where the items of an array, or the members of an object, end: each comma, then the closing bracket.

    `text` is the array or object itself, and valid JSON; an empty one has one empty item.
    """
    depth = 0
    for at, skeleton in skeletons(text):
        brackets = skeleton.translate(_AS_DIGITS, _NOT_BRACKETS)
        opening = brackets.count(b"1")
        if depth - _dip(brackets, depth - 1) > 1:
            depth += 2 * opening - len(brackets)
            continue
        for found in _STRUCTURE.finditer(skeleton):
            byte = found[0]
            if byte in b"[{":
                depth += 1
            elif byte == b",":
                if depth == 1:
                    yield at + found.start()
            else:
                depth -= 1
                if depth == 0:
                    yield at + found.start()
                    return


def structure(text: Text) -> Iterator[tuple[bytes, int]]:
    """Every bracket and every comma that is in no string, and where it is."""
    for at, skeleton in skeletons(text):
        for found in _STRUCTURE.finditer(skeleton):
            yield found[0], at + found.start()


def items(text: Text) -> Iterator[memoryview]:
    """The items of an array, or the members of an object, each without blanks before it; none if empty."""
    view = memoryview(text)
    return (view[start:stop] for start, stop in item_spans(view))


def item_spans(text: Text) -> Iterator[tuple[int, int]]:
    """Where each of the `items` begins and ends."""
    done = after_blanks(text, 0) + 1
    for end in item_ends(text):
        start = after_blanks(text, done)
        if start < end:
            yield start, end
        done = end + 1


def counts_more_items(text: Text, most: int) -> bool:
    """Whether an array or object has more than so many items. It stops as soon as it knows."""
    if len(text) <= STEP_BYTES:
        return len(_ITEMS.decode(text)) > most
    commas = 0
    for at in range(0, len(text), STEP_BYTES):
        commas += bytes(text[at : at + STEP_BYTES]).count(b",")
    if commas < most:
        return False
    return any(index >= most for index, _ in enumerate(item_ends(text)))


def count_values(text: Text) -> int:
    """How many commas and opening brackets there are outside of strings: about as many as values."""
    return sum(
        skeleton.count(b",") + skeleton.count(b"[") + skeleton.count(b"{") for _, skeleton in skeletons(text)
    )


def opens_more(text: Text, most: int) -> bool:
    """Whether more than so many arrays and objects begin."""
    if sum(step.count(b"[") + step.count(b"{") for step in slices(text, 0, len(text))) <= most:
        return False
    # Some of these may be within strings.
    opening = 0
    for _, skeleton in skeletons(text):
        opening += skeleton.count(b"[") + skeleton.count(b"{")
        if opening > most:
            return True
    return False


def count_names(text: Text) -> int:
    """How many members all objects of a text have, those that have the same name counted twice."""
    return sum(skeleton.count(b":") for _, skeleton in skeletons(text))


def nests(text: Text) -> bool:
    """Whether a member of an object, at any depth, is itself an array or an object."""
    if len(text) <= STEP_BYTES and not _NESTED.search(text):
        return False
    before = b""
    for _, skeleton in skeletons(text):
        dense = before + skeleton.translate(None, _BLANKS)
        if b":{" in dense or b":[" in dense:
            return True
        before = dense[-1:]
    return False


def holds(text: Text, pattern: re.Pattern[bytes]) -> bool:
    """Whether a pattern that never takes more than `_REACH_BYTES` is found anywhere in a text."""
    return any(
        pattern.search(bytes(text[at : at + STEP_BYTES + _REACH_BYTES]))
        for at in range(0, len(text), STEP_BYTES)
    )


def places(text: Text, pattern: re.Pattern[bytes]) -> Iterator[int]:
    """Where such a pattern is found in a text, which has no match within another one."""
    for at in range(0, len(text), STEP_BYTES):
        for found in pattern.finditer(bytes(text[at : at + STEP_BYTES + _REACH_BYTES])):
            if found.start() < STEP_BYTES:
                yield at + found.start()


class TooLong(Exception):  # noqa: N818 - named for what is wrong with the text.
    """Between two commas of a text there is more than `PART_BYTES_MAX`; `at` is where that begins."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def checked(text: bytes, check: Callable[[bytes, int], bytes]) -> bytes:
    """A text of any size, checked by a decoder in parts: `text` itself if `check` changes none of them.

    Each part ends after a comma, with the brackets that are open there before and behind it, so that all
    parts are JSON exactly if the whole is. `check` gets such a part, and where in `text` its first byte would
    be; it gives the part, or one of the same length in its place, and raises what it likes. Raises TooLong.
    """
    kept: list[bytes] = []
    changed = False
    for before, start, stop, behind in _parts(text):
        part = text[start:stop]
        whole = b"".join((before, part, behind))
        found = check(whole, start - len(before))
        if found is not whole:
            part = found[len(before) : len(before) + len(part)]
            changed = True
        kept.append(part)
    return b"".join(kept) if changed else text


def _parts(text: bytes) -> Iterator[tuple[bytes, int, int, bytes]]:
    start = 0
    unread = still_open = before = b""
    for at, skeleton in skeletons(text):
        comma = skeleton.rfind(b",")
        if comma >= 0:
            brackets = (unread + skeleton[:comma]).translate(None, _NOT_BRACKETS)
            still_open = _reduced(still_open + brackets, _PAIRS)
            unread = b""
            yield before, start, at + comma + 1, _closing(still_open)
            before, start = _opening(still_open), at + comma + 1
        unread += skeleton[comma + 1 :].translate(None, _NOT_BRACKETS)
        if at + len(skeleton) - start > PART_BYTES_MAX:
            raise TooLong(start)
    yield before, start, len(text), b""


def _opening(brackets: bytes) -> bytes:
    """The shortest text after which an item can follow, with these brackets open."""
    outer = brackets[:-1].replace(b"{", b'{"":')
    return outer + {b"[": b"[0,", b"{": b'{"":0,'}.get(brackets[-1:], b"")


def _closing(brackets: bytes) -> bytes:
    """The shortest text that can follow a comma, and closes these brackets."""
    last = {b"[": b"0]", b"{": b'"":0}'}.get(brackets[-1:], b"")
    return last + brackets[-2::-1].translate(bytes.maketrans(b"[{", b"]}")) if brackets else b""


def _reduced(brackets: bytes, pairs: tuple[bytes, ...]) -> bytes:
    """Brackets without those that open and close again."""
    size = -1
    while size != len(brackets):
        size = len(brackets)
        for pair in pairs:
            brackets = brackets.replace(pair, b"")
    return brackets


def _dip(digits: bytes, levels: int) -> int:
    """How many levels below their beginning these brackets go, if that can be `levels` or more; else less."""
    closing = digits.count(b"0")
    return closing if closing < levels else _reduced(digits, _DIGIT_PAIRS).count(b"0")


def first_byte(text: Text, at: int = 0) -> bytes:
    """The first byte from `at` on that is no blank; empty if there is none."""
    at = after_blanks(text, at)
    return bytes(text[at : at + 1])


def after_blanks(text: Text, at: int) -> int:
    """Where the first byte from `at` on is that is no blank; the text's length if there is none."""
    while at < len(text) and text[at] in _BLANKS:
        step = bytes(text[at : at + STEP_BYTES])
        at += len(step) - len(step.lstrip(_BLANKS))
    return at


_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_NAME: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def each_member(text: Text) -> Iterator[tuple[str, msgspec.Raw]]:
    """The members of an object, names as often as they occur, each value the bytes it came in.

    Raises UnicodeDecodeError for a name that is no text, TooLong for one that is longer than two steps.
    """
    for item in items(text):
        if len(item) <= STEP_BYTES:
            yield from _MEMBERS.decode(b"".join((b"{", item, b"}"))).items()
            continue
        name, value_at = member_name(item)
        yield name, msgspec.Raw(item[value_at:])


def member_name(member: Text) -> tuple[str, int]:
    """The name of one member of an object, and where its value begins. Raises as `each_member` does."""
    name = _NAME.match(bytes(member[: 2 * STEP_BYTES]))
    if name is None:
        raise TooLong(0)
    colon = after_blanks(member, name.end())
    return _TEXT.decode(name[0]), after_blanks(member, colon + 1)
