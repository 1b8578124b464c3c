"""A body of `multipart/form-data`: where each part lies in it. Nothing is copied but names.

Parsers differ in what they make of an odd body: of bare line feeds, of text around the parts, of a boundary
within one, of quotes and of headers given twice. What all of them read alike is read here, and it is what
clients send; all else is refused.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.errors import Refusal

PARTS_MAX: Final = 256
"""How many parts a body may have."""
HEAD_BYTES_MAX: Final = 4_096
"""How long the head of a part may be: a name and a file's name are in it, and little else."""

_CONTENT_TYPE: Final = "content-type"
_CHARSET: Final = r'(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?'
_FORM: Final = re.compile(
    rf"multipart/form-data{_CHARSET}[ \t]*;[ \t]*"
    r"""boundary=(?:"(?P<quoted>[0-9A-Za-z'()+_,./:=?-]{1,70})"|(?P<plain>[0-9A-Za-z'+_.-]{1,70}))"""
    rf"{_CHARSET}[ \t]*",
    re.ASCII | re.IGNORECASE,
)
_LINE_END: Final = b"\r\n"
# Neither pattern can match in two ways, so that none takes longer than the text is long.
_HEADER: Final = re.compile(rb"([A-Za-z-]+):([^\x00-\x1f\x7f]*)")
_PARAMETER: Final = re.compile(
    rb""" *; *(?P<name>[a-z]+\*?)=(?:"(?P<quoted>[^"]*)"|(?P<plain>[0-9A-Za-z!#$%&'*+.^_`|~-]+))"""
)
_NAME: Final = re.compile(rb"[A-Za-z][0-9A-Za-z_.-]{0,63}(?:\[[0-9A-Za-z_.-]{0,63}\])?")
_AS_IT_IS: Final = frozenset({b"7bit", b"8bit", b"binary"})
"""Transfer encodings that encode nothing."""


class BodyPart(msgspec.Struct, frozen=True, gc=False):
    """One part of a body. It begins at `begin`, with its delimiter; its content is from `start` to `stop`.

    `filename` is None for a field that is no file. `content_type` is in lower case, empty where none is told.
    """

    name: str
    filename: str | None
    content_type: str
    begin: int
    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        """How long its content is."""
        return self.stop - self.start


def boundary_of(headers: Sequence[tuple[str, str]]) -> bytes:
    """The boundary that a request's `content-type` names. Raises Refusal `invalid_value` without just one."""
    # A server may take `_` in a name for `-`.
    told = [value for name, value in headers if name.lower().replace("_", "-") == _CONTENT_TYPE]
    form = _FORM.fullmatch(told[0].strip()) if len(told) == 1 else None
    if form is None:
        raise Refusal(
            "invalid_value",
            "The head must have one `content-type`: multipart/form-data with a `boundary` of 1 to 70 "
            "letters, digits and hyphens.",
            param=_CONTENT_TYPE,
        )
    return (form["quoted"] or form["plain"]).encode()


def read_parts(data: bytes, boundary: bytes) -> tuple[BodyPart, ...]:
    """The parts of a body, in order. Raises Refusal `invalid_value` for what not everybody reads alike.

    Takes 0.1 ms per megabyte, in steps that let other threads run.
    """
    mark = b"--" + boundary
    places = list(_places(data, mark))
    if not places or places[0] != 0:
        raise odd("it does not begin with its boundary")
    if data[places[-1] + len(mark) :] not in {b"--", b"--\r\n"}:
        raise odd("it does not end with its boundary and two hyphens")
    return tuple(
        _part(data, begin, begin + len(mark), end, number)
        for number, (begin, end) in enumerate(pairwise(places), 1)
    )


def odd(what: str, param: str | None = None) -> Refusal:
    """The refusal of a body that is not as clients write it."""
    return Refusal("invalid_value", f"The body is no multipart/form-data that is read: {what}.", param=param)


def _places(data: bytes, mark: bytes) -> Iterator[int]:
    """Wherever the boundary is: it must begin a line each time."""
    at = count = 0
    while at < len(data):
        found = data.find(mark, at, at + STEP_BYTES + len(mark) - 1)
        if found < 0:
            at += STEP_BYTES
            continue
        if found and data[found - 2 : found] != _LINE_END:
            raise odd(f"its boundary is within a part, at byte {found}")
        yield found
        at = found + len(mark)
        count += 1
        if count > PARTS_MAX + 1:
            raise odd(f"it has more than {PARTS_MAX} parts")


def _part(data: bytes, begin: int, head_at: int, end: int, number: int) -> BodyPart:
    which = f"part {number}"
    if data[head_at : head_at + 2] != _LINE_END:
        raise odd(f"after the boundary of {which} comes no line's end")
    blank = data.find(b"\r\n\r\n", head_at, head_at + HEAD_BYTES_MAX)
    start, stop = blank + 4, end - 2
    if blank < 0 or start > stop:
        raise odd(f"{which} has no head that ends within {HEAD_BYTES_MAX} bytes")
    headers = _headers(data[head_at + 2 : blank], which)
    name, filename = _disposition(headers.get(b"content-disposition", b""), which)
    content_type = headers.get(b"content-type", b"").decode("latin-1").lower()
    if content_type.startswith(("multipart/", "message/")):
        raise odd(f"`{name}` has parts of its own", name)
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in _AS_IT_IS:
        raise odd(f"`{name}` is encoded", name)
    if headers.get(b"content-length", told := b"%d" % (stop - start)) != told:
        raise odd(f"`{name}` has another length than its head says", name)
    return BodyPart(name, filename, content_type, begin, start, stop)


_KNOWN: Final = frozenset(
    {b"content-disposition", b"content-type", b"content-transfer-encoding", b"content-length"}
)


def _headers(head: bytes, which: str) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in head.split(_LINE_END):
        found = _HEADER.fullmatch(line)
        name = found[1].lower() if found is not None else b""
        if found is None or name not in _KNOWN or name in headers:
            raise odd(f"the head of {which} has a line that is odd, not known, or there twice")
        headers[name] = found[2].strip(b" ")
    return headers


def _disposition(value: bytes, which: str) -> tuple[str, str | None]:
    """The name of a part, and that of its file if it is one."""
    if not value.startswith(b"form-data"):
        raise odd(f"{which} has no `Content-Disposition: form-data`")
    parameters: dict[bytes, bytes] = {}
    at = len(b"form-data")
    while at < len(value):
        found = _PARAMETER.match(value, at)
        if found is None or found["name"] in parameters:
            raise odd(f"the `Content-Disposition` of {which} is odd, or names something twice")
        parameters[found["name"]] = found["plain"] if found["quoted"] is None else found["quoted"]
        at = found.end()
    name, filename = parameters.pop(b"name", b""), parameters.pop(b"filename", None)
    if not _NAME.fullmatch(name):
        raise odd(f"the name of {which} is not made of letters, digits and underscores")
    shown = name.decode()
    # Some read the second form of a file's name, and some do not know it: alone it would be a file to some.
    if filename is not None:
        parameters.pop(b"filename*", None)
    if parameters or (filename is not None and not _is_plain(filename)):
        raise odd(f"`{shown}` has a file's name that is empty or odd, or another parameter", shown)
    return shown, filename.decode("utf-8", "replace") if filename is not None else None


def _is_plain(filename: bytes) -> bool:
    """Whether all find the same end of a file's name, those who know no quotes or escapes too."""
    looks_like_more = b"=" in filename.partition(b";")[2]
    return bool(filename) and not filename.endswith(b"\\") and not looks_like_more
