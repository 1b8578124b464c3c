"""What must hold of counters: the receipts of a window have counted all that they have, and nothing twice."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.audit.counter_rows import CounterRow
from proxy.ledger.audit.rows import Difference, ReceiptRow, compare
from proxy.ledger.seals import seal_of
from proxy.ledger.windows import starts_of_day
from proxy.pricing.charge import Line
from proxy.pricing.counting import volume_after
from proxy.pricing.steps import Step
from proxy.pricing.tiers import NO_VOLUME, Volume

Key = tuple[str, str, int]
_COUNTED: Final = '"counted"'
_NO_VOLUME: Final = "{}"
_decode_lines = msgspec.json.Decoder(tuple[Line, ...]).decode
_encode = msgspec.json.Encoder().encode


class Tallied(msgspec.Struct):
    """What receipts have counted in a window, and in the squares of where each line began and ended.

    Lines that follow one another without a gap or an overlap have squares that sum to that of the whole.
    `ended` is where the last of them did. `volume` is what the last line by volume tiers has left, which
    ended at `volume_at`.
    """

    quantity: int = 0
    squares: int = 0
    ended: int = 0
    volume: Volume | None = None
    volume_at: int = 0


class AccountCounters:
    """What the receipts of one account have counted: as much as it has counters, however many its calls."""

    def __init__(self, account_id: str, *, receipts_since_day: int) -> None:
        self._account_id = account_id
        self._since_day = receipts_since_day
        self._tallied: dict[Key, Tallied] = {}

    def add_receipt(self, receipt: ReceiptRow) -> Iterator[Difference]:
        """Count a receipt. Yields what is wrong with its lines that were counted."""
        if _COUNTED not in receipt.lines:
            return
        try:
            lines = _decode_lines(receipt.lines)
        except msgspec.DecodeError:
            return  # The receipt's own audit tells.
        for number, line in enumerate(lines):
            said: dict[str, Step] = {step.kind: step for step in line.steps}
            if "counted" not in said:
                continue
            try:
                is_right = self._add(receipt.day, line, said)
            except (KeyError, ValueError, ZeroDivisionError, OverflowError):
                is_right = False
            if not is_right:
                column, expected = f"lines[{number}].steps", "a tier of a counter of the day"
                yield Difference("receipts", receipt.id, column, expected, receipt.lines)

    def faults(self, rows: Iterable[CounterRow]) -> Iterator[Difference]:
        """Where counters are not what receipts have counted. A missing one counts as nothing."""
        missing = dict(self._tallied)
        for row in rows:
            key = (row.name, row.window, row.start_day)
            yield from self._row_faults(key, row, missing.pop(key) if key in missing else Tallied())
        for key, tallied in sorted(missing.items()):
            yield from self._row_faults(key, None, tallied)

    def _row_faults(self, key: Key, row: CounterRow | None, tallied: Tallied) -> Iterator[Difference]:
        id_ = "/".join(map(str, (self._account_id, *key)))
        if row is not None:
            *sealed, seal = astuple(row)
            yield from compare("counters", id_, "seal", seal_of(*sealed), seal)
        quantity, volume = (row.quantity, row.volume) if row is not None else (0, _NO_VOLUME)
        if key[-1] < self._since_day:
            # Receipts of the window may be gone, so that it may have counted more, and other things last.
            if quantity < tallied.ended:
                yield Difference("counters", id_, "quantity", f"at least {tallied.ended}", str(quantity))
            return
        yield from compare("counters", id_, "quantity", tallied.quantity, quantity)
        if tallied.squares != tallied.quantity**2:
            yield Difference("counters", id_, "receipts", "that follow one another", "a gap or an overlap")
        empty = tallied.volume is None or tallied.volume == NO_VOLUME
        expected = _NO_VOLUME if empty else _encode(tallied.volume).decode()
        yield from compare("counters", id_, "volume", expected, volume)

    def _add(self, day: int, line: Line, said: dict[str, Step]) -> bool:
        """Count a line of a call of this day. Whether its tier and window are those of what it counts."""
        window, counted = said["window"], said["counted"]
        start_day, before = int(window.value), int(counted.value)
        after = before + line.quantity
        tallied = self._tallied.setdefault((counted.name, window.name, start_day), Tallied())
        tallied.quantity += line.quantity
        tallied.squares += after**2 - before**2
        tallied.ended = max(tallied.ended, after)
        is_run = "carried" in said
        is_volume = is_run or "volume" in said
        if is_volume and after >= tallied.volume_at:
            tallied.volume, tallied.volume_at = volume_after(line), after
        return (is_run or _is_in_tier(said, before, after)) and (window.name, start_day) in starts_of_day(day)


def _is_in_tier(said: dict[str, Step], before: int, after: int) -> bool:
    """Whether a line has units of its tier alone or, with volume tiers, has reached it."""
    is_volume = "volume" in said
    floor = int(said["volume" if is_volume else "tier"].value)
    is_above = floor < after if is_volume else floor <= before
    return is_above and ("until" not in said or after <= int(said["until"].value))
