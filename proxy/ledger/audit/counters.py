"""What must hold of counters: the receipts of a window have counted all that they have, and nothing twice."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.audit.counter_rows import CounterRow
from proxy.ledger.audit.rows import Difference, ReceiptRow, compare
from proxy.ledger.ended import KEPT_DAYS
from proxy.ledger.seals import seal_of
from proxy.ledger.windows import starts_of_day
from proxy.pricing.charge import Line
from proxy.pricing.counting import let_go, rolled_of, volume_after
from proxy.pricing.steps import Step
from proxy.pricing.tiers import NO_VOLUME, Period, Rolled, Volume

Key = tuple[str, str, int]
_COUNTED: Final = '"counted"'
_NO_VOLUME: Final = "{}"
_NOTHING: Final = Fraction(0)
_decode_lines = msgspec.json.Decoder(tuple[Line, ...]).decode
_encode = msgspec.json.Encoder().encode


class Tallied(msgspec.Struct):
    """What receipts have counted in a window, and in the squares of where each line began and ended.

    Lines that follow one another without a gap or an overlap have squares that sum to that of the whole.
    `ended` is where the last of them did. `volume` is what the last line by volume tiers has left, which
    ended at `volume_at`. `rolled` has the periods of an allowance that rolls over, by their first day, and
    where the last line of each ended.
    """

    quantity: int = 0
    squares: int = 0
    ended: int = 0
    volume: Volume | None = None
    volume_at: int = 0
    rolled: dict[int, tuple[Period, Rolled, int]] = msgspec.field(default_factory=dict)

    def rolls_right(self) -> bool:
        """Whether each period of an allowance has what those before have left to it."""
        before: tuple[Period, Rolled, int] | None = None
        for _, (period, rolled, ended) in sorted(self.rolled.items()):
            if before is None:
                expected = Rolled(rolled.first_day, 0, rolled.free, 0, rolled.most)
            else:
                terms = {"free": rolled.free, "most": rolled.most}
                expected = before[1].after(before[2], period, rolled.first_day, **terms)
            if rolled != expected:
                return False
            before = (period, rolled, ended)
        return True


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
        gone = {id(line): units for line, units in let_go(lines, receipt.shortfall_nano)}
        for number, line in enumerate(lines):
            said: dict[str, Step] = {step.kind: step for step in line.steps}
            if "counted" not in said:
                continue
            try:
                is_right = self._add(receipt.day, line, said, gone.get(id(line), _NOTHING))
            except (KeyError, IndexError, StopIteration, ValueError, ZeroDivisionError, OverflowError):
                is_right = False
            if not is_right:
                column, expected = f"lines[{number}].steps", "a tier of a counter of the day"
                yield Difference("receipts", receipt.id, column, expected, receipt.lines)

    def faults(self, rows: Iterable[CounterRow], latest_day: int) -> Iterator[Difference]:
        """Where counters are not what receipts have counted. A missing one counts as nothing.

        One of a window that ended long before the account's latest day may be gone: then its receipts have to
        follow one another all the same.
        """
        missing = dict(self._tallied)
        for row in rows:
            key = (row.name, row.window, row.start_day)
            yield from self._row_faults(key, row, missing.pop(key) if key in missing else Tallied())
        for key, tallied in sorted(missing.items()):
            if key[1] != "total" and key[2] <= latest_day - KEPT_DAYS:
                yield from self._chain_faults(key, tallied)
            else:
                yield from self._row_faults(key, None, tallied)

    def _chain_faults(self, key: Key, tallied: Tallied) -> Iterator[Difference]:
        if key[-1] >= self._since_day and tallied.squares != tallied.quantity**2:
            id_ = "/".join(map(str, (self._account_id, *key)))
            yield Difference("counters", id_, "receipts", "that follow one another", "a gap or an overlap")

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
        yield from self._chain_faults(key, tallied)
        if not tallied.rolls_right():
            yield Difference("counters", id_, "receipts", "what earlier periods have left", "another rest")
        empty = tallied.volume is None or tallied.volume == NO_VOLUME
        expected = _NO_VOLUME if empty else _encode(tallied.volume).decode()
        yield from compare("counters", id_, "volume", expected, volume)

    def _add(self, day: int, line: Line, said: dict[str, Step], gone: Fraction) -> bool:
        """Count a line of a call of this day. Whether its tier and window are those of what it counts.

        Of its units and those of the lines before it so many were let go.
        """
        window, counted = said["window"], said["counted"]
        start_day, before = int(window.value), int(counted.value)
        after = before + line.quantity
        tallied = self._tallied.setdefault((counted.name, window.name, start_day), Tallied())
        tallied.quantity += line.quantity
        tallied.squares += after**2 - before**2
        tallied.ended = max(tallied.ended, after)
        is_run = "carried" in said
        is_volume = is_run or "volume" in said or "since" in said
        if is_volume and after >= tallied.volume_at:
            tallied.volume, tallied.volume_at = volume_after(line, gone), after
        if "since" in said and not _rolls(tallied, said, day, after):
            return False
        return (is_run or _is_in_tier(said, before, after)) and (window.name, start_day) in starts_of_day(day)


def _rolls(tallied: Tallied, said: dict[str, Step], day: int, ended: int) -> bool:
    """Note the period of a line of a call of this day. Whether it is that, and as other lines have it.

    A call that ends once a later period has begun is of that.
    """
    rolled, name = rolled_of(said), said["since"].name.split()[0]
    period, first_day = next(each for each in starts_of_day(rolled.first_day) if each[0] == name)
    _, known, last = tallied.rolled.setdefault(first_day, (period, rolled, 0))
    tallied.rolled[first_day] = (period, known, max(last, ended))
    return rolled == known and first_day == rolled.first_day >= dict(starts_of_day(day))[period]


def _is_in_tier(said: dict[str, Step], before: int, after: int) -> bool:
    """Whether a line has units of its tier alone or, with volume tiers, has reached it."""
    is_volume = "volume" in said
    floor = int(said["volume" if is_volume else "tier"].value)
    is_above = floor < after if is_volume else floor <= before
    return is_above and ("until" not in said or after <= int(said["until"].value))
