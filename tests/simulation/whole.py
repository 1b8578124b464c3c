"""What must hold of all rows together, worked out from the rows alone."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from proxy.ledger.rows import Draw
from proxy.ledger.top_up_rows import TopUp
from proxy.pricing.charge import Line
from proxy.storage import columns
from proxy.storage.tables import ACCOUNTS
from tests.simulation.checks import Violation, differences
from tests.simulation.rows import buckets_in, first_days
from tests.storage.engines import Dump

_usage_of = msgspec.json.Decoder(dict[str, int]).decode
_lines_of = msgspec.json.Decoder(tuple[Line, ...]).decode
_draws_of = msgspec.json.Decoder(tuple[Draw, ...]).decode

METERS = ("input_tokens", "cached_input_tokens", "output_tokens")


def calls_are_charged_once(dump: Dump) -> Iterator[str]:
    """A call has one charge at most, of what its receipt says it paid, and a receipt once it has ended."""
    charges = [(row[6], -row[3]) for row in dump["entries"] if row[2] == "charge"]
    yield from differences(charges, ((row[0], row[19]) for row in dump["receipts"] if row[19]))
    closed = (row[0] for row in dump["holds"] if row[5] != "open")
    yield from differences((row[0] for row in dump["receipts"]), closed)


def end_users_hold_what_calls_hold(dump: Dump) -> Iterator[str]:
    """Of each end user open holds that count to it hold what its windows say, and are as many."""
    held: Counter[tuple[str, str]] = Counter()
    flight: Counter[tuple[str, str]] = Counter()
    for hold in map(columns.hold_of, (row for row in dump["holds"] if row[5] == "open")):
        if hold.call.counts_user:
            key = (hold.account_id, hold.call.end_user)
            held[key] += hold.amount_nano
            flight[key] += 1
    for account_id, id_, _, open_holds, _, sums, *_ in dump["end_users"]:
        nano: Counter[str] = Counter()
        for window, _, _, held_nano in msgspec.json.decode(sums):
            nano[window] += held_nano
        if (open_holds, set(nano.values()) - {held[account_id, id_]}) != (flight[account_id, id_], set()):
            yield f"{account_id}/{id_}: {open_holds} in flight hold {nano}, not {held[account_id, id_]}"


def entries_sum_to_the_balance(dump: Dump) -> Iterator[str]:
    """An account's entries sum to its balance less its debt."""
    sums: Counter[str] = Counter()
    for row in dump["entries"]:
        sums[row[0]] += row[3]
    for row in dump["accounts"]:
        debt = row[6] + row[ACCOUNTS.place("owed_nano")]
        if sums[row[0]] != row[4] - debt:
            yield f"{row[0]} has {row[4]} and owes {debt}, its entries sum to {sums[row[0]]}"


def draws_sum_to_what_is_left(dump: Dump) -> Iterator[str]:
    """What entries gave to a lot and took from it sums to what it has left."""
    sums: Counter[str] = Counter()
    for row in dump["entries"]:
        for draw in _draws_of(row[8]):
            sums[draw.lot_id] += draw.amount_nano
    left = {row[0]: row[4] for row in dump["lots"]}
    yield from differences(left.items(), ((id_, sums[id_]) for id_ in left))
    yield from (f"there is no lot {id_}" for id_ in sums if id_ not in left)


def days_sum_up_receipts(dump: Dump) -> Iterator[str]:
    """A row of a day's usage is the sum of that day's receipts."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for row in dump["receipts"]:
        day = sums.setdefault((row[1], row[22], row[2], row[4]), [0] * 5)
        usage = _usage_of(row[12])
        figures = (row[11] != "void", *(usage.get(meter, 0) for meter in METERS), row[19])
        for place, figure in enumerate(figures):
            day[place] += figure
    yield from differences(dump["usage_days"], ((*key, *day) for key, day in sums.items()))


def totals_sum_up_days(dump: Dump, totals: list[tuple[Any, ...]]) -> Iterator[str]:
    """What is kept of all accounts together is the sum of their usage days, by account, key and model."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for account_id, day, key_id, model, *figures in dump["usage_days"]:
        for group, id_ in (("account", account_id), ("key", key_id), ("model", model)):
            total = sums.setdefault((group, day, id_), [0] * 5)
            total[:] = [before + figure for before, figure in zip(total, figures, strict=True)]
    yield from differences(totals, ((*key, *total) for key, total in sums.items()))


def vouchers_are_used_as_often_as_claimed(dump: Dump) -> Iterator[str]:
    """A voucher is used once for each of its claims, and no more often than it may be."""
    claims = Counter(row[0] for row in dump["voucher_claims"])
    for digest, *_, uses, _days, _created, _expires, used, _seal in dump["vouchers"]:
        if used != claims.pop(digest, 0) or used > uses:
            yield f"{digest} is used {used} times of {uses}"
    yield from (f"there is no voucher {digest}" for digest in claims)


def counters_sum_up_receipts(dump: Dump) -> Iterator[str]:
    """A counter has what lines of receipts have counted with it, each where the one before has ended."""
    spans: dict[tuple[str, str, str, int], list[tuple[int, int]]] = {}
    for row in dump["receipts"]:
        for line in _lines_of(row[17]):
            said = {step.kind: step for step in line.steps}
            if "counted" in said:
                window, first = said["window"], int(said["counted"].value)
                key = (row[1], said["counted"].name, window.name, int(window.value))
                spans.setdefault(key, []).append((first, first + line.quantity))
    ends = {}
    for key, found in spans.items():
        found.sort()
        ends[key] = found[-1][1]
        if [first for first, _ in found] != [0, *(last for _, last in found[:-1])]:
            yield f"{key} was counted with gaps or twice: {found}"
    yield from differences((row[:5] for row in dump["counters"]), ((*key, end) for key, end in ends.items()))


def top_ups_are_paid_with_credit(dump: Dump) -> Iterator[str]:
    """A paid top-up has put in its credit and its bonus, each once, and any other has put in nothing."""
    put: Counter[tuple[str, str]] = Counter()
    for account_id, _seq, kind, amount_nano, _balance, _debt, ref, *_ in dump["entries"]:
        if kind == "grant" and ref.startswith("top-up "):
            put[account_id, ref] += amount_nano
    for row in dump["top_ups"]:
        top_up = TopUp(*row[:-1])
        for ref, nano in ((top_up.id, top_up.credit_nano), (f"{top_up.id} bonus", top_up.bonus_nano)):
            found = put.pop((top_up.account_id, f"top-up {ref}"), 0)
            if found != (nano if top_up.state == "succeeded" else 0):
                yield f"{ref} is {top_up.state} and has put in {found} of {nano}"
    yield from (f"there is no top-up of {ref}" for ref in put)


def buckets_sum_up_calls(dump: Dump) -> Iterator[str]:
    """A bucket has spent what receipts of its window paid, and holds what the open holds of its window do."""
    spent: Counter[tuple[str, str, int]] = Counter()
    held: Counter[tuple[str, str, int]] = Counter()
    for row in dump["receipts"]:
        for key in _buckets_of(row[1], row[2], row[22]):
            spent[key] += row[19]
    for row in dump["holds"]:
        for key in _buckets_of(row[1], row[2], row[6] // 86_400_000_000) if row[5] == "open" else ():
            held[key] += row[3]
    right = ((*key, spent[key], held[key]) for key in spent.keys() | held.keys() if spent[key] or held[key])
    yield from differences((row for row in buckets_in(dump) if row[3] or row[4]), right)


def _buckets_of(account_id: str, key_id: str, day: int) -> Iterator[tuple[str, str, int]]:
    for scope_id in (account_id, key_id) if key_id else (account_id,):
        yield from ((scope_id, *window) for window in first_days(day).items())


WHOLE_CHECKS: tuple[Callable[[Dump], Iterator[str]], ...] = (
    calls_are_charged_once,
    entries_sum_to_the_balance,
    draws_sum_to_what_is_left,
    days_sum_up_receipts,
    vouchers_are_used_as_often_as_claimed,
    counters_sum_up_receipts,
    end_users_hold_what_calls_hold,
    top_ups_are_paid_with_credit,
    buckets_sum_up_calls,
)


def check_whole(dump: Dump, totals: list[tuple[Any, ...]] | None) -> None:
    """Raises Violation for the first rule that the rows break. `totals` are there where they are kept."""
    for check in WHOLE_CHECKS:
        for detail in check(dump):
            raise Violation(str(check.__doc__), detail)
    for detail in () if totals is None else totals_sum_up_days(dump, totals):
        raise Violation(str(totals_sum_up_days.__doc__), detail)
