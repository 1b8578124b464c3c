"""JSON text of a decoded value, at most as long as the text it was decoded from."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal


class _Mark(str):
    """Text that is JSON already: punctuation and keys."""

    __slots__ = ()


def json_text(value: object) -> str:
    """Compact JSON of `value`, of any depth. A value that JSON does not know becomes a string.

    It has no more bytes of UTF-8 than any JSON text that decodes to `value`: numbers are in their shortest
    form, and only characters that need it are escaped. A ceiling from a body's length relies on that.
    """
    written: list[str] = []
    # The stack is explicit: a client chooses the depth, which the interpreter's own stack must not bound.
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Mark):
            written.append(item)
        elif isinstance(item, dict):
            waiting.extend(reversed(list(_object(item))))
        elif isinstance(item, list | tuple):
            waiting.extend(reversed(list(_array(item))))
        else:
            written.append(_scalar(item))
    return "".join(written)


def _object(value: dict[object, object]) -> Iterator[object]:
    comma = ""
    yield _Mark("{")
    for key, member in value.items():
        yield _Mark(f"{comma}{_quoted(str(key))}:")
        yield member
        comma = ","
    yield _Mark("}")


def _array(value: list[object] | tuple[object, ...]) -> Iterator[object]:
    comma = False
    yield _Mark("[")
    for member in value:
        if comma:
            yield _Mark(",")
        yield member
        comma = True
    yield _Mark("]")


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _float(value: float) -> str:
    """The shortest literal for `value`: 1e15 and not 1000000000000000.0, 0.5 and not 5e-1."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "1e309" if value > 0 else "-1e309"
    number = Decimal(repr(value)).normalize()
    sign, digits, exponent = number.as_tuple()
    scientific = f"{'-' if sign else ''}{''.join(map(str, digits))}e{exponent}"
    return min(format(number, "f"), scientific, key=len)
