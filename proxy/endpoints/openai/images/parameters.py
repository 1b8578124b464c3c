"""The parameters of a picture that its price may depend on, and what is written beside drawing it."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from proxy.endpoints.features import ALLOWANCE, Feature, rate_key
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning

DEFAULTS: Final[Mapping[str, str]] = {
    "size": "auto",
    "quality": "auto",
    "background": "auto",
    "output_format": "png",
    "input_fidelity": "low",
    "complexity": "default",
}
"""What the API says that it takes where a request does not say; a complexity has no name then."""


SVG: Final = "svg"
GIF: Final = "gif"

_WANTED: Final = "a string of 1 to 64 letters, digits and signs, without blanks or leading zeros"
_VALUE: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:*_-]{0,63}", re.ASCII)
_LEADING_ZERO: Final = re.compile(r"(?<![0-9.])0[0-9]")


def parameters_of(body: JsonBody) -> dict[str, str]:
    """The parameters of a request by name, in lower case. Raises Refusal `invalid_value`.

    A value that could be read as another one, such as `01024x1024`, is refused: its price would be another's.
    """
    found = dict(DEFAULTS)
    for name in DEFAULTS:
        raw = body.members.get(name)
        if raw is not None and beginning(raw) != b"null":
            found[name] = _value(body, name)
    return found


def written_formats(body: JsonBody, name: str) -> Iterator[Feature]:
    """An SVG is written by another model, from a picture that this one draws: that is read as input."""
    if _value(body, name) == SVG:
        yield Feature(
            f"{name}: {SVG}", name, (ALLOWANCE, rate_key("output_tokens")), hidden={"input_tokens": 1}
        )


def _value(body: JsonBody, name: str) -> str:
    value = fields.text_of(body.members[name])
    if value is None or not _VALUE.fullmatch(value) or _LEADING_ZERO.search(value):
        raise fields.wrong(body, name, _WANTED)
    return value.casefold()
