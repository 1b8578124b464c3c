"""The table of members: what is done about each member of a request before it is forwarded."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from proxy.endpoints.features import Feature
from proxy.endpoints.reading.body import JsonBody, Members, beginning
from proxy.errors import Refusal

Treatment = Literal["bounded", "priced", "passed", "refused"]
"""`bounded`: the ceiling covers the most it can cost. `priced`: it needs something on the rate card, unless
its value costs nothing extra. `passed`: it cannot cost more. `refused`: no rate card can price it."""

Reader = Callable[[JsonBody, str], Iterable[Feature]]
"""Reads the member of this name in a body: what it turns on. It is not asked about null."""


class Member(msgspec.Struct, frozen=True):
    """A row of the table. Without `read`, the member turns nothing on that has to be priced."""

    treatment: Treatment
    read: Reader | None = None


class MemberTable:
    """The members that one endpoint's requests can have. Names that it does not have are refused as well.

    No member is read in two ways: a name that differs from one of the table only in case is refused, since
    some upstreams take it for that.
    """

    def __init__(self, rows: Mapping[str, Member]) -> None:
        self.rows: Final = rows
        self._by_folded_name = {name.casefold(): name for name in rows}
        self._silent = frozenset(name for name, row in rows.items() if row.read is None)

    def features(self, body: JsonBody) -> tuple[Feature, ...]:
        """What the members of a body turn on. Raises Refusal `invalid_value`."""
        if self._silent.issuperset(body.members):
            return ()
        found: list[Feature] = []
        for name in body.members:
            row = self.rows.get(name)
            if row is None:
                if (meant := self._by_folded_name.get(name.casefold())) is not None:
                    raise other_case(name, meant)
                if is_on(body.members[name]):
                    found.append(Feature(shown_name(name), name, known=False))
            elif row.read is not None and beginning(body.members[name]) != b"null":
                found += row.read(body, name)
        return tuple(found)

    def names(self, treatment: Treatment) -> Iterator[str]:
        """The names of all rows with this treatment."""
        return (name for name, row in self.rows.items() if row.treatment == treatment)


def is_on(raw: msgspec.Raw) -> bool:
    """Whether a value can turn anything on: null, false and an empty list cannot."""
    value = bytes(raw) if len(memoryview(raw)) < 64 else b""
    return value not in {b"null", b"false"} and b"".join(value.split()) != b"[]"


def refuse_other_cases(members: Members, known: Mapping[str, object] | Iterable[str], within: str) -> None:
    """Refuse a name that differs from a known one only in case. Raises Refusal `invalid_value`."""
    for name in members:
        if name not in known and (folded := name.casefold()) != name and folded in known:
            raise other_case(f"{within}.{name}", f"{within}.{folded}")


def other_case(name: str, meant: str) -> Refusal:
    """The refusal of a name that some upstreams take for another."""
    name = shown_name(name)
    return Refusal(
        "invalid_value",
        f"The member {name!r} differs from `{meant}` only in case; some upstreams take it for that.",
        param=name,
    )


def shown_name(name: str) -> str:
    """A member's name, shortened for a message."""
    return name if len(name) <= 64 else f"{name[:63]}…"
