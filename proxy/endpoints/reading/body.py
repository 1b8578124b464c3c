"""A JSON body: only what is needed is decoded, and it is rebuilt from the client's own bytes.

Where a member occurs twice the last one counts, and only that one is ever sent on: so no upstream can read
another value than the one that was checked and priced.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from proxy.endpoints.reading.body_faults import (
    kind_of,
    no_object,
    offset,
    syntax_refusal,
    too_deep,
    too_many,
    utf8_fault,
)
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.long_text import (
    LONG_BYTES,
    BrokenText,
    LongName,
    LongText,
    mask_lone_surrogates,
    restore,
    restored_bytes,
    shorten,
)
from proxy.endpoints.reading.steps import (
    PART_BYTES_MAX,
    STEP_BYTES,
    TooLong,
    checked,
    count_values,
    counts_more_items,
    cut,
    each_member,
    first_byte,
    items,
    joined,
    opens_more,
    slices,
)
from proxy.endpoints.reading.values import VALUES_MAX, value_of
from proxy.errors import Refusal

LARGE_BYTES: Final = STEP_BYTES
"""Above this, a JSON text is read in a way that lets other threads run; do that off the event loop."""

MEMBERS_MAX: Final = 4_096
"""How many members a body may have at its top level."""

CONTAINERS_MAX: Final = 1_048_576
"""How many arrays and objects a body may have at all depths."""

Members = dict[str, msgspec.Raw]
"""The members of a JSON object, each value still the bytes it came in."""

_OBJECT: Final = msgspec.json.Decoder(Members)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)

# What is in these is only measured and sliced, which a `LongText` allows. Strings of other members may be
# joined with more text, and are whole.
_SLICED: Final = frozenset(
    {
        *("messages", "system", "input", "items", "prompt", "negative_prompt", "documents", "texts", "query"),
        *("image", "images", "mask", "markup"),
    }
)

_NO_NAME: Final = "a member's name is no proper text"
BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
"""Some servers begin their answers with it; no request may."""


def without_mark(data: bytes) -> bytes:
    """A text without the byte order mark that it may begin with."""
    return cut(data, len(BYTE_ORDER_MARK), len(data)) if data.startswith(BYTE_ORDER_MARK) else data


class JsonBody(Mapping[str, object]):
    """A JSON object as it came: a mapping whose values are decoded each time they are asked for.

    `members` holds the values' bytes; long strings may be marks in them, and `LongText` in messages, inputs
    and prompts. `size_bytes` is the length of the whole text, `short_bytes` that without its long strings.
    """

    __slots__ = ("_texts", "members", "short_bytes", "size_bytes")

    def __init__(self, size_bytes: int, short: bytes, members: Members, texts: Sequence[LongText]) -> None:
        self.members = members
        self.size_bytes = size_bytes
        self.short_bytes = len(short)
        self._texts = texts

    def __getitem__(self, name: str) -> object:
        """The decoded value. Raises KeyError."""
        return self._value(self.members[name], is_sliced=name in _SLICED)

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def items_of(self, name: str) -> Iterator[object]:
        """The decoded items of a member that is an array, one after the other; none of any other value."""
        raw = self.members.get(name)
        if raw is None or not beginning(raw).startswith(b"["):
            return
        if len(memoryview(raw)) <= LARGE_BYTES:
            whole = self[name]
            yield from whole if isinstance(whole, list) else ()
            return
        for item in items(memoryview(raw)):
            yield self._value(item, is_sliced=name in _SLICED)

    def bytes_of(self, name: str) -> int:
        """How many bytes of the client's the value takes; 0 when there is no such member."""
        raw = self.members.get(name)
        return restored_bytes(memoryview(raw), self._texts) if raw is not None else 0

    def bound_items(self, name: str, most: int) -> None:
        """See that an array has no more items than that. Raises Refusal `invalid_value`."""
        raw = self.members.get(name)
        # The shortest item is a digit and its comma.
        if raw is None or len(memoryview(raw)) <= 2 * most or not beginning(raw).startswith(b"["):
            return
        if counts_more_items(memoryview(raw), most):
            raise too_many(name, "items", most)

    def bound_values(self, name: str) -> None:
        """See that a value holds no more than `VALUES_MAX` others. Raises Refusal `invalid_value`."""
        raw = self.members.get(name)
        if raw is None or len(memoryview(raw)) <= VALUES_MAX:
            return
        if count_values(memoryview(raw)) > VALUES_MAX:
            raise too_many(name, "values in all", VALUES_MAX)

    def put(self, name: str, value: bytes) -> None:
        """Put the JSON of what was read in the place of what came, so that nothing else can be read of it.

        The marks that stand in `members` may stand in it too.
        """
        self.members[name] = msgspec.Raw(value)

    def patched(self, changes: Mapping[str, bytes | None]) -> bytes:
        """The body with other values for some members; see `patched`. Takes 0.5 ms per megabyte."""
        is_small = self.short_bytes <= LARGE_BYTES
        made = (
            msgspec.json.encode(_changed(self.members, changes))
            if is_small
            else patched(self.members, changes)
        )
        return restore(made, self._texts)

    def _value(self, raw: msgspec.Raw | memoryview, *, is_sliced: bool) -> object:
        return value_of(raw, self._texts if is_sliced else _Wholes(self._texts))


class _Wholes(Sequence[str]):
    """Long texts as ordinary strings, each made when it is asked for."""

    def __init__(self, texts: Sequence[LongText]) -> None:
        self._texts = texts

    def __getitem__(self, index: int) -> str:  # type: ignore[override] # Nobody slices it.
        return str(self._texts[index])

    def __len__(self) -> int:
        return len(self._texts)


def beginning(raw: msgspec.Raw) -> bytes:
    """The first eight bytes of a value: all of null, true and false, and enough to know every other kind."""
    return bytes(memoryview(raw)[:8])


def members_of(raw: msgspec.Raw) -> Members | None:
    """The members of an object within a body; None for any other value. Of two by one name the last counts.

    Raises Refusal: `invalid_json` for a name that is no proper text, `invalid_value` for too many members.
    """
    try:
        if len(memoryview(raw)) > LARGE_BYTES:
            return _first_members(raw, "An object of the body") if beginning(raw).startswith(b"{") else None
        return _OBJECT.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, TooLong) as fault:
        raise no_object(_NO_NAME) from fault


def items_of(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """The items of a list within a body; None for any other value."""
    if not beginning(raw).startswith(b"["):
        return None
    if len(memoryview(raw)) > LARGE_BYTES:
        return list(map(msgspec.Raw, items(memoryview(raw))))
    return _ITEMS.decode(raw)


def patched(members: Mapping[str, msgspec.Raw], changes: Mapping[str, bytes | None]) -> bytes:
    """A JSON object of `members` with the values of `changes` in place of theirs; None leaves a member out.

    Every value is the bytes it was; members keep their order, new ones come last.
    """
    values = _changed(members, changes)
    pieces = [b"{"]
    for name, value in values.items():
        view = memoryview(value)
        pieces += (msgspec.json.encode(name), b":", *slices(view, 0, len(view)), b",")
    pieces[-1:] = [b"}"] if values else [b"{}"]
    return joined(pieces)


def _changed(members: Mapping[str, msgspec.Raw], changes: Mapping[str, bytes | None]) -> Members:
    values = dict(members)
    for name, value in changes.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = msgspec.Raw(value)
    return values


def listed(values: Iterable[bytes]) -> bytes:
    """A JSON array of these values."""
    # As in `patched`.
    pieces = [piece for value in values for piece in (b",", value)]
    return b"".join((b"[", *pieces[1:], b"]"))


def read_body(data: bytes) -> JsonBody:
    """Read a JSON object. Raises Refusal `invalid_json`, saying what is wrong and where.

    Values are checked for their syntax and their depth but not decoded. Takes 0.3 ms per megabyte of base64
    and 2 ms of anything else.
    """
    if not data:
        raise no_object("it is empty")
    if data.startswith(BYTE_ORDER_MARK):
        raise no_object("it begins with a byte order mark")
    odd_at = utf8_fault(data)
    if odd_at is not None:
        raise no_object(f"it is not UTF-8 at byte {odd_at}")
    short, members, texts = _read_large(data) if len(data) > LARGE_BYTES else _read_small(data)
    if len(members) > MEMBERS_MAX:
        raise Refusal("invalid_value", f"The body has {len(members)} members; {MEMBERS_MAX} is the most.")
    return JsonBody(len(data), short, members, texts)


_Read = tuple[bytes, Members, Sequence[LongText]]


def _read_small(data: bytes) -> _Read:
    if is_too_deep(data):
        raise too_deep()
    try:
        return data, _OBJECT.decode(data), ()
    except msgspec.ValidationError as fault:
        raise no_object(f"it is {kind_of(data)}") from fault
    except msgspec.DecodeError as fault:
        masked = _rescued(data, fault, lambda at: at)
    except UnicodeDecodeError as fault:
        raise no_object(_NO_NAME) from fault
    try:
        return masked, _OBJECT.decode(masked), ()
    except UnicodeDecodeError as fault:
        raise no_object(_NO_NAME) from fault


def _read_large(data: bytes) -> _Read:
    """The same for a text of any size, with no step that takes long."""
    try:
        short, texts = shorten(data)
    except LongName as fault:
        raise no_object(f"the member's name at byte {fault.at} is longer than {LONG_BYTES} bytes") from fault
    except BrokenText as fault:
        raise no_object(f"{fault.what} at byte {fault.at}") from fault
    if opens_more(short, CONTAINERS_MAX):
        raise Refusal(
            "invalid_value",
            f"The body has at least {CONTAINERS_MAX + 1} arrays and objects; {CONTAINERS_MAX} is the most.",
        )
    if is_too_deep(short):
        raise too_deep()

    def check(part: bytes, begins_at: int) -> bytes:
        try:
            _RAW.decode(part)
        except msgspec.DecodeError as fault:
            return _rescued(part, fault, lambda at: offset(short, texts, begins_at + at))
        return part

    try:
        sound = checked(short, check)
        if first_byte(short) != b"{":
            raise no_object(f"it is {kind_of(short)}")
        return sound, _first_members(sound, "The body"), texts
    except TooLong as fault:
        at = offset(short, texts, fault.at)
        raise no_object(
            f"it has more than {PART_BYTES_MAX} bytes without a comma from byte {at} on"
        ) from fault
    except UnicodeDecodeError as fault:
        raise no_object(_NO_NAME) from fault


def _first_members(sound: bytes | msgspec.Raw, what: str) -> Members:
    """The members of a large object; no more than it takes to see that there are too many."""
    members: Members = {}
    for count, (name, value) in enumerate(each_member(memoryview(sound))):
        members[name] = value
        if count >= MEMBERS_MAX:
            raise Refusal(
                "invalid_value", f"{what} has at least {count + 1} members; {MEMBERS_MAX} is the most."
            )
    return members


def _rescued(part: bytes, fault: msgspec.DecodeError, place: Callable[[int], int]) -> bytes:
    """The same text, made readable, if lone surrogates were its only fault. Raises Refusal if not."""
    masked = mask_lone_surrogates(part)
    if masked is None:
        raise syntax_refusal(part, fault, place) from fault
    try:
        _RAW.decode(masked)
    except msgspec.DecodeError as other:
        raise syntax_refusal(masked, other, place) from other
    return masked
