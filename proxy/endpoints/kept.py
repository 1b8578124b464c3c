"""What a request names that an upstream keeps, and nobody can tell for whom: files, stores, tunnels.

An upstream has one account for all callers of Farebox. Where Farebox does not know itself whose a thing is,
it is refused, unless the operator lets callers name it: `upstreams.*.forward` has the member's own name then.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, Literal

from proxy.endpoints.features import Feature, ObjectName, kept
from proxy.endpoints.reading.body import JsonBody, beginning
from proxy.endpoints.reading.body_faults import too_many
from proxy.endpoints.reading.repeats import has_repeats, repeats_within

_NAMES_ONE: Final = re.compile(r"(?:(?:\A|_)[iI][dD][sS]?|[a-z]I[dD]s?)\Z")
TIES: Final = frozenset(
    {
        "id", "call_id", "approval_request_id", "tool_call_id", "tool_use_id", "tool_id", "caller_id",
        "token_id", "token_ids", "tab_id", "download_id",
    }
)  # fmt: skip
"""Ids that only say which parts of one request belong together, or are the caller's own."""
NAMED_BY_ID: Final = frozenset(
    {
        "audio",
        "container",
        "conversation",
        "file",
        "files",
        "image",
        "input_audio",
        "prompt",
        "skill",
        "video",
        "voice",
    }
)
"""Objects of which an `id` says more than that: which of all that the upstream has they are."""
TOLD: Final = frozenset(
    {
        "annotations", "citations", "logprobs", "metadata", "headers", "arguments", "input_schema",
        "input_examples", "parameters", "output_schema", "extra_content", "provider_specific_fields",
    }
)  # fmt: skip
"""Members that hold what a caller has thought up, or that only describe what is beside them."""
_GIVEN: Final = "input"
"""What a tool was given: an object that the model has made up."""

_ADDRESSES: Final = frozenset(
    {"image_url", "audio_url", "video_url", "file_url", "document_url", "file_uri", "fileUri", "file_data"}
)
_HOLDERS: Final = _ADDRESSES | {"source", "input_audio", "file"}
_WITHIN: Final = frozenset({"url", "data"})
_FILE: Final = "file"
"""Where it has no members, it is one by its id."""
_VALUED: Final = _ADDRESSES | _WITHIN | {_FILE}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
_SCHEME_CHARS: Final = 4_096
_PASSED_OVER: Final = "".join(map(chr, range(0x21)))
"""What those who read addresses leave out before them; of it tabs and line ends everywhere."""
_NAME_CHARS: Final = 64
OBJECTS_MAX: Final = 256
"""How many objects one member of a request may name: each is looked up."""
_Role = Literal["told", "kept", "id", "value", "nothing"]
_OPEN: Final = frozenset({"http", "https", "data"})
"""Schemes of addresses that are the same for everybody."""

Found = tuple[str, object]
"""A name, and the value that it has."""


def kept_in(value: object, name: str = "") -> Iterator[Found]:
    """What a decoded value names that is kept, at all depths. `name` is the member that has the value.

    An address whose scheme only an upstream can resolve, such as `gs:`, is named by that scheme.
    """
    waiting: list[tuple[str, str, object]] = [("", name, value)]
    while waiting:
        holder, name, item = waiting.pop()
        if type(item) is dict:
            for inner, one in item.items():
                role = _role(inner) if len(inner) <= _NAME_CHARS else _role.__wrapped__(inner)
                kind = type(one)
                is_plain = role == "nothing" and kind is not dict and kind is not list
                if is_plain or role == "told" or one is None or one is False or one in ("", []):
                    continue
                if role == "kept":
                    yield inner, one
                elif role == "id":
                    if name in NAMED_BY_ID:
                        yield f"{name}.id", one
                elif inner == _FILE and isinstance(one, str):
                    yield f"{_FILE}.id", one
                elif inner != _GIVEN or kind is not dict:
                    waiting.append((name, inner, one))
        elif type(item) is list:
            waiting += [(holder, name, each) for each in item if type(each) is not int]
        elif (
            isinstance(item, str)
            and (name in _ADDRESSES or (name in _WITHIN and holder in _HOLDERS))
            and (scheme := scheme_of(item))
        ):
            yield scheme, item


# All send the same few names again and again. The bound is for callers that send others.
@lru_cache(maxsize=1_024)
def _role(name: str) -> _Role:
    """What a member by this name may say."""
    if name in TOLD:
        return "told"
    # Some upstreams take a name for what it is in any case.
    folded = name.casefold()
    if folded == "id" or name in _VALUED:
        return "id" if folded == "id" else "value"
    return "kept" if folded not in TIES and _NAMES_ONE.search(name) else "nothing"


def scheme_of(address: str) -> str:
    """The scheme of an address that an upstream alone can resolve, with its colon; else empty."""
    text = address.lstrip(_PASSED_OVER)[:_SCHEME_CHARS]
    for char in "\t\r\n":
        text = text.replace(char, "")
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    return f"{scheme}:" if scheme and scheme not in _OPEN else ""


def id_text(value: object) -> str:
    """An id as it was given; for what is no string, a text that is the id of nothing."""
    return value if isinstance(value, str) else "None" if value is None else "?"


class KeptNames:
    """What is named within one member of a request, added up. `owned` are the names of known objects.

    Those have to be the account's own, and are of the kind that `owned` says.
    """

    def __init__(self, member: str, owned: Mapping[str, str] | None = None) -> None:
        self._member = member
        self._owned = owned or {}
        self._found: dict[str, None] = {}
        self._objects: dict[tuple[str, str], None] = {}

    def add(self, value: object, name: str = "") -> None:
        """Look into a decoded value, of the member `name` if that says what it is."""
        for found, one in kept_in(value, name):
            if found in self._owned:
                self._objects[found, id_text(one)] = None
                if len(self._objects) > OBJECTS_MAX:
                    raise too_many(self._member.removesuffix("[]"), "objects by their ids", OBJECTS_MAX)
            else:
                self._found[found] = None

    def features(self) -> Iterator[Feature]:
        """What was found, once for each name or object."""
        for name in self._found:
            yield kept(f"{self._member}.{name}", name)
        for name, id_ in self._objects:
            where = f"{self._member}.{name}"
            yield Feature(where, name, optional=True, refers=ObjectName(self._owned[name], id_))


def kept_features(member: str, values: Iterable[object], name: str = "") -> Iterator[Feature]:
    """What some decoded values of a member name that is kept."""
    names = KeptNames(member)
    for value in values:
        names.add(value, name)
    yield from names.features()


def kept_within(body: JsonBody, name: str) -> Iterator[Feature]:
    """What a member of a body names. Raises Refusal where it holds more than is read, or has two readings."""
    if beginning(body.members[name])[:1] not in (b"{", b"["):
        return
    body.bound_values(name)
    value = body[name]
    if has_repeats(memoryview(body.members[name]), value):
        raise repeats_within(name)
    yield from kept_features(name, [value], name)
