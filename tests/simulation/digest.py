"""One figure for all rows, to compare engines and runs by."""

import hashlib

import msgspec

from proxy.storage.tables import RECEIPTS
from tests.storage.engines import Dump

OWNER = 7
"""Where the owner's name stands in a hold. Engines name processes each in their way; the rest is the same."""

_SEAL = RECEIPTS.place("seal")


def digest_of(dump: Dump) -> str:
    """The SHA-256 of all rows in hex, the same on whatever engine they are, whatever owners are called."""
    # The seal of a hold or a receipt has the owner's name in it.
    holds = [(*row[:OWNER], "", *row[OWNER + 1 : -1]) for row in dump["holds"]]
    receipts = [(*row[:_SEAL], *row[_SEAL + 1 :]) for row in dump["receipts"]]
    content = [
        (table, sorted((tuple(map(_plain, row)) for row in rows), key=repr))
        for table, rows in sorted({**dump, "holds": holds, "receipts": receipts}.items())
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def _plain(value: object) -> object:
    """Yes and no are 1 and 0 where an engine has no type for them."""
    return int(value) if isinstance(value, bool) else value
