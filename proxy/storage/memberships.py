"""Memberships to rows of columns and back."""

from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.rows import Membership
from proxy.ledger.seals import seal_of
from proxy.storage.queries import SqlValue
from proxy.storage.tables import MEMBERSHIPS

_MEMBERSHIP_USED: Final = MEMBERSHIPS.place("used")
_decode_used = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode


def membership_row(membership: Membership) -> tuple[SqlValue, ...]:
    """A membership's columns, and the seal of all of them: it changes about once a day."""
    row = list(astuple(membership))
    row[_MEMBERSHIP_USED] = msgspec.json.encode(membership.used).decode()
    return (*row, seal_of(*row))


def membership_of(row: tuple[Any, ...]) -> Membership:
    """A membership from its columns."""
    values = list(row[:-1])
    values[_MEMBERSHIP_USED] = _decode_used(row[_MEMBERSHIP_USED])
    return Membership(*values)
