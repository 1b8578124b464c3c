"""The fields and files of a form, read as the members of a JSON body are.

So one table of members, and the same readers of them, serve an API that takes forms. A form is rebuilt from
the client's own bytes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.multipart import BodyPart, boundary_of, odd, read_parts
from proxy.endpoints.reading.steps import joined, slices
from proxy.errors import Refusal

FormFile = Annotated[
    str,
    msgspec.Meta(description="A file.", extra_json_schema={"contentMediaType": "application/octet-stream"}),
]
"""How the OpenAPI document shows a file of a form."""
FIELDS_BYTES_MAX: Final = 1_048_576
"""How long all fields of a form may be together that are no files."""
FILES_MAX: Final = 32
"""How many files a form may have."""

Kind = Literal["text", "flag", "number", "list", "object", "file", "files"]
"""How a field is written. A `flag` is true or false, a `number` is as in JSON. A `list` is given as `name[]`,
or again and again as `name`; an `object` as `name[member]`, or as one text; `files` as a list. All others are
given once."""

Kinds = Mapping[str, Kind]
"""What a family takes, by name; any other field is a text."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?")
_FLAGS: Final = {"true": b"true", "false": b"false"}
_PLAIN: Final = re.compile(r"""(?:text/plain(?:\s*;\s*charset=(?:"?utf-8"?|us-ascii))?)?""")
"""The content types of a field that everybody takes for text, and for the same text."""


class FormBody:
    """A form as it came. `members` has its fields as JSON would have them; a file stands as its length.

    `parts` are all parts in order, under the names that they were given.
    """

    __slots__ = ("_boundary", "data", "members", "parts")

    def __init__(self, data: bytes, boundary: bytes, parts: tuple[BodyPart, ...], members: JsonBody) -> None:
        self.data = data
        self._boundary = boundary
        self.parts = parts
        self.members = members

    def files(self, name: str) -> list[BodyPart]:
        """The files of this name, in order."""
        return [part for part in self.parts if part.filename is not None and _base(part.name) == name]

    def content(self, part: BodyPart) -> memoryview:
        """What a part holds, not copied."""
        return memoryview(self.data)[part.start : part.stop]

    def patched(self, changes: Mapping[str, str | None]) -> bytes:
        """The form with other texts for some fields, new ones last; None leaves a field out.

        All other bytes are as they came. Takes 0.5 ms per megabyte. Raises Refusal `invalid_value` for a text
        that holds the boundary.
        """
        if not changes:
            return self.data
        added = {name: text for name, text in changes.items() if text is not None}
        pieces: list[bytes] = []
        done = 0
        for part in self.parts:
            name = _base(part.name)
            if name in changes:
                pieces += slices(self.data, done, part.begin)
                done = part.stop + 2
                if name in added:
                    pieces.append(self._field(name, added.pop(name)))
        last = self.parts[-1].stop + 2 if self.parts else 0
        pieces += slices(self.data, done, last)
        pieces += [self._field(name, text) for name, text in added.items()]
        pieces += slices(self.data, last, len(self.data))
        return joined(pieces)

    def _field(self, name: str, text: str) -> bytes:
        value, mark = text.encode(), b"--" + self._boundary
        if mark in value:
            raise odd(f"its boundary is within the `{name}` that goes up", name)
        return b'%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (mark, name.encode(), value)


def read_form(data: bytes, headers: Sequence[tuple[str, str]], kinds: Kinds) -> FormBody:
    """Read a form. Raises Refusal `invalid_value`, naming the field where it is about one."""
    boundary = boundary_of(headers)
    parts = read_parts(data, boundary)
    _bound(parts)
    by_name: dict[str, list[BodyPart]] = {}
    folded: dict[str, str] = {}
    for part in parts:
        name = _base(part.name)
        first = folded.setdefault(name.lower(), name)
        if first != name:
            raise odd(f"`{name}` differs from `{first}` only in case; some upstreams take it for that", name)
        by_name.setdefault(name, []).append(part)
    values = {
        name: msgspec.Raw(_value(data, name, kinds.get(name, "text"), given))
        for name, given in by_name.items()
    }
    size_bytes = sum(len(memoryview(value)) for value in values.values())
    return FormBody(data, boundary, parts, JsonBody(size_bytes, b"", values, ()))


def _bound(parts: Sequence[BodyPart]) -> None:
    files = [part for part in parts if part.filename is not None]
    if len(files) > FILES_MAX:
        raise odd(f"it has {len(files)} files; {FILES_MAX} is the most")
    if sum(part.size_bytes for part in parts if part.filename is None) > FIELDS_BYTES_MAX:
        raise odd(f"its fields take more than {FIELDS_BYTES_MAX} bytes")


def _base(name: str) -> str:
    return name.partition("[")[0]


def _value(data: bytes, name: str, kind: Kind, given: Sequence[BodyPart]) -> bytes:
    """The JSON of a field, of all parts that have its name."""
    members = [part.name[len(name) :] for part in given]
    if len(set(members)) > 1 and (kind != "object" or "" in members or "[]" in members):
        raise odd(f"`{name}` is given in two forms", name)
    if kind in {"list", "files"}:
        if members[0] not in {"", "[]"}:
            raise odd(f"`{given[0].name}` is no list", name)
        return b"[%b]" % b",".join(_single(data, name, kind, part) for part in given)
    if len(set(members)) != len(given):
        raise odd(f"`{given[0].name}` is given twice; upstreams differ in which they read", name)
    if members == [""]:
        return _single(data, name, kind, given[0])
    if kind != "object" or members == ["[]"]:
        raise odd(f"`{given[0].name}` is in brackets", name)
    return msgspec.json.encode(
        {member[1:-1]: _text(data, name, part) for member, part in zip(members, given, strict=True)}
    )


def _single(data: bytes, name: str, kind: Kind, part: BodyPart) -> bytes:
    is_file = kind in {"file", "files"}
    if (part.filename is not None) != is_file:
        raise _wrong(name, "has no filename, and is no file" if is_file else "has a filename, as files do")
    if is_file:
        return b"%d" % part.size_bytes
    text = _text(data, name, part)
    if kind == "flag":
        if (flag := _FLAGS.get(text.lower())) is None:
            raise _wrong(name, "must be true or false")
        return flag
    if kind == "number":
        if not _NUMBER.fullmatch(text):
            raise _wrong(name, "must be a number")
        return text.encode()
    return msgspec.json.encode(text)


def _text(data: bytes, name: str, part: BodyPart) -> str:
    if part.filename is not None:
        raise _wrong(name, "has a filename, as files do")
    if not _PLAIN.fullmatch(part.content_type):
        raise _wrong(name, "has a content type that is no plain text in UTF-8")
    try:
        return data[part.start : part.stop].decode()
    except UnicodeDecodeError:
        raise _wrong(name, "is not UTF-8") from None


def _wrong(name: str, fault: str) -> Refusal:
    return Refusal("invalid_value", f"`{name}` {fault}.", param=name)
