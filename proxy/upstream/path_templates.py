"""Path templates: paths with variables, such as `/v1/scrape/{id}`, and what a request has for them."""

import re
from collections.abc import Mapping
from typing import Final

_SEGMENT: Final = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})\}")
_VARIABLE: Final = re.compile(rf"(?<=/){_SEGMENT.pattern}(?=/|\Z)")

_VALUE: Final = re.compile(r"[A-Za-z0-9._~-]{1,256}")
"""What a segment may be in place of a variable. No character is one that upstreams read in several ways: a
`%` could spell another path, and some take `;` and `:` for an end."""

_ANY: Final = ""
Segments = tuple[str, ...]


def variables_of(path: str) -> tuple[str, ...]:
    """The names of a path's variables, in order: each is a whole segment."""
    return tuple(_VARIABLE.findall(path))


def filled(path: str, values: Mapping[str, str]) -> str:
    """A template with a value for each of its variables. Raises KeyError for one without."""
    return _VARIABLE.sub(lambda found: values[found[1]], path)


def values_of(template: str, path: str) -> dict[str, str] | None:
    """What `path` has for the variables of `template`; None if it does not match."""
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    values: dict[str, str] = {}
    for one, other in zip(wanted, given, strict=True):
        if variable := _SEGMENT.fullmatch(one):
            if not _VALUE.fullmatch(other):
                return None
            values[variable[1]] = other
        elif one != other:
            return None
    return values


def may_meet(one: str, other: str) -> bool:
    """Whether a request could match both, as upstreams may read it that ignore case."""
    return _meet(_segments(one), _segments(other))


def _meet(one: Segments, other: Segments) -> bool:
    return len(one) == len(other) and all(
        _ANY in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True)
    )


def _segments(path: str) -> Segments:
    return tuple(_ANY if _SEGMENT.fullmatch(each) else each.casefold() for each in path.split("/"))
