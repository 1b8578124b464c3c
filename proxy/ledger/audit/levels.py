"""What must hold of levels: each is as it was written last, and what it begins with is what holds then."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import astuple

from proxy.ledger.audit.level_rows import LevelRow
from proxy.ledger.audit.rows import Difference, compare
from proxy.ledger.level_rows import HOUR_US, Told
from proxy.ledger.seals import seal_of

_decode_told = msgspec.json.Decoder(tuple[Told, ...]).decode


def level_faults(rows: Iterable[LevelRow]) -> Iterator[Difference]:
    """Where the levels of one account are not what can have been told of them."""
    for row in rows:
        id_ = f"{row.account_id}/{row.type}/{row.thing}"
        *sealed, seal = astuple(row)
        yield from compare("levels", id_, "seal", seal_of(*sealed), seal)
        try:
            told = _decode_told(row.told)
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue  # The seal tells.
        moments = [each.at_us for each in told]
        if not moments or moments != sorted(set(moments)) or sum(at <= row.charged_us for at in moments) > 1:
            yield Difference("levels", id_, "told", "moments that ascend from what is charged", row.told)
        if not 0 <= row.carry < HOUR_US:
            yield Difference("levels", id_, "carry", f"from 0 to below {HOUR_US}", str(row.carry))
