"""The ledger's values as rows of columns, and back. Columns come in the order of the values' fields."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.rows import UNLIMITED, Account, Call, Entry, Hold, Key, Limits, Observed, Receipt
from proxy.ledger.spending import Spending
from proxy.storage.queries import SqlValue

_encode = msgspec.json.Encoder().encode
_decode_limits = msgspec.json.Decoder(Limits).decode
_decode_rest = msgspec.json.Decoder(tuple[str, str, str, str, bool, int]).decode
_decode_observed = msgspec.json.Decoder(Observed).decode
_decode_spending = msgspec.json.Decoder(Spending).decode
_decode_globs = msgspec.json.Decoder(tuple[str, ...]).decode

_IDS_OF_A_CALL: Final = 3
"""A call begins with the ids with which its hold begins: its own, its account's and its key's."""

DayKey = tuple[str, int, str, str]


def text(value: object) -> str:
    """A value as JSON."""
    return _encode(value).decode()


@lru_cache(maxsize=4096)
def limits_of(json: str) -> Limits:
    """Limits from JSON; equal ones are the same object, and none at all is `UNLIMITED` itself."""
    limits = _decode_limits(json)
    return UNLIMITED if limits == UNLIMITED else limits


def account_row(account: Account) -> tuple[SqlValue, ...]:
    """An account's columns."""
    *columns, limits, spending = astuple(account)
    return (*columns, _limits_text(limits), text(spending))


def account_of(row: tuple[Any, ...]) -> Account:
    """An account from its columns."""
    limits, spending = row[-2:]
    return Account(*(*row[:-2], limits_of(limits), _decode_spending(spending)))


def key_row(key: Key) -> tuple[SqlValue, ...]:
    """A key's columns."""
    *columns, models, limits, open_holds, spending = astuple(key)
    return (*columns, text(models), _limits_text(limits), open_holds, text(spending))


def key_of(row: tuple[Any, ...]) -> Key:
    """A key from its columns."""
    models, limits, open_holds, spending = row[-4:]
    decoded = (_decode_globs(models), limits_of(limits), open_holds, _decode_spending(spending))
    return Key(*(*row[:-4], *decoded))


def hold_row(hold: Hold) -> tuple[SqlValue, ...]:
    """A hold's columns; a closed one leaves its call and what was observed to its receipt.

    Of its call an open one has what no other column says: all but the three ids, as a JSON array.
    """
    *columns, call, _ = astuple(hold)
    if hold.state != "open":
        return (*columns, None, None)
    return (*columns, text(astuple(call)[_IDS_OF_A_CALL:]), observed_text(hold))


def observed_text(hold: Hold) -> str | None:
    """What was observed of a hold as JSON, or None when nothing was."""
    return None if hold.observed is None else text(hold.observed)


def hold_of(row: tuple[Any, ...]) -> Hold:
    """A hold from its columns, where a closed one's call has been taken from its receipt."""
    rest, observed = row[-2:]
    call = Call(*(*row[:_IDS_OF_A_CALL], *_decode_rest(rest)))
    return Hold(*(*row[:-2], call, None if observed is None else _decode_observed(observed)))


def entry_row(entry: Entry) -> tuple[SqlValue, ...]:
    """An entry's columns."""
    *columns, draws, note = astuple(entry)
    return (*columns, text(draws), note)


def receipt_row(row: Receipt, day: int) -> tuple[SqlValue, ...]:
    """A receipt's columns; `day` is that of its authorization."""
    outcome, charge = row.outcome, row.charge
    return (
        *astuple(row.call),
        outcome.outcome,
        outcome.status,
        outcome.basis,
        text(outcome.usage),
        outcome.ended_at_us,
        outcome.first_byte_at_us,
        outcome.anomalies,
        charge.total_nano,
        text(charge.lines),
        charge.price_id,
        row.charged_nano,
        row.shortfall_nano,
        row.hold_nano,
        day,
    )


def usage_day_rows(receipts: Iterable[tuple[Receipt, int]]) -> Iterator[tuple[SqlValue, ...]]:
    """What receipts, each with its day, add to the sums of their days. A voided call counts no request."""
    sums: dict[DayKey, list[int]] = {}
    for row, day in receipts:
        call, usage = row.call, row.outcome.usage
        figures = sums.setdefault((call.account_id, day, call.key_id, call.model), [0, 0, 0, 0, 0])
        figures[0] += row.outcome.basis != "void"
        figures[1] += usage.get("input_tokens", 0)
        figures[2] += usage.get("cached_input_tokens", 0)
        figures[3] += usage.get("output_tokens", 0)
        figures[4] += row.charged_nano
    return ((*key, *figures) for key, figures in sums.items())


def _limits_text(limits: Limits) -> str:
    return "{}" if limits is UNLIMITED else text(limits)
