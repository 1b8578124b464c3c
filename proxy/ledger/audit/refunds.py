"""What must hold of refunds: no more than the charge, and back to where that came from, the last first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from proxy.ledger.audit.rows import Difference, LotRow, PostedRow, compare
from proxy.ledger.rows import Draw

REFUND: Final = "refund"
"""The kind of a lot that has what could not go back."""

_decode_draws = msgspec.json.Decoder(tuple[Draw, ...]).decode


def refund_faults(
    call_id: str, charge: PostedRow | None, refunds: Sequence[PostedRow], lots: Mapping[str, LotRow]
) -> Iterator[Difference]:
    """Where the refunds of a call, in their order, are not of its charge."""
    if charge is None:
        for entry in refunds:
            id_ = f"{entry.account_id}/{entry.seq}"
            yield Difference("entries", id_, "ref", "a call that was charged", call_id)
        return
    before_nano = 0
    for entry in refunds:
        id_ = f"{entry.account_id}/{entry.seq}"
        left_nano = -charge.amount_nano - before_nano
        if entry.amount_nano > left_nano:
            yield Difference("entries", id_, "amount_nano", f"at most {left_nano}", str(entry.amount_nano))
        if entry.seq <= charge.seq:
            yield Difference("entries", id_, "seq", f"one after the charge's {charge.seq}", str(entry.seq))
        yield from _draw_faults(id_, entry, charge, before_nano, lots)
        before_nano += entry.amount_nano


def _draw_faults(
    id_: str, entry: PostedRow, charge: PostedRow, before_nano: int, lots: Mapping[str, LotRow]
) -> Iterator[Difference]:
    """What repaid no debt is in the lots that live, and in one of its own."""
    try:
        given = {draw.lot_id: draw.amount_nano for draw in _decode_draws(entry.draws)}
        drawn = [(draw.lot_id, -draw.amount_nano) for draw in _decode_draws(charge.draws)]
    except msgspec.DecodeError:
        return  # The chain of entries tells.
    fresh = next((lot_id for lot_id in given if _is_made_by(lots.get(lot_id), entry)), "a new lot")
    # As the charge drew them: where each begins, counted from its end.
    places, end_nano = [], -charge.amount_nano
    for lot_id, nano in drawn:
        places.append((end_nano - nano, end_nano, lot_id))
        end_nano -= nano
    places.append((0, end_nano, ""))
    last_nano = before_nano + entry.amount_nano
    first_nano = last_nano - sum(given.values())
    expected: dict[str, int] = {}
    for start_nano, stop_nano, lot_id in places:
        part_nano = min(stop_nano, last_nano) - max(start_nano, first_nano)
        if part_nano > 0:
            lot = lots.get(lot_id)
            there = lot_id if lot is not None and lot.expires_at_us > entry.at_us else fresh
            expected[there] = expected.get(there, 0) + part_nano
    yield from compare("entries", id_, "draws", expected, given)


def _is_made_by(lot: LotRow | None, entry: PostedRow) -> bool:
    return lot is not None and (lot.kind, lot.granted_at_us) == (REFUND, entry.at_us)
