"""The audit of a whole ledger, one account after the other, in memory that does not grow with its calls."""

from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from typing import Any, Final

from proxy.ledger.audit.calls import Calls
from proxy.ledger.audit.credit_notes import Noted
from proxy.ledger.audit.entries import Chain, command_faults
from proxy.ledger.audit.events import event_faults
from proxy.ledger.audit.feed import Feed, keys_of
from proxy.ledger.audit.invoices import Invoiced
from proxy.ledger.audit.levels import level_faults
from proxy.ledger.audit.memberships import membership_faults
from proxy.ledger.audit.rows import AccountRow, Difference, KeyRow, LedgerRows, ThrottleRow, compare
from proxy.ledger.audit.top_ups import auto_faults, top_up_faults
from proxy.ledger.audit.totals import total_faults
from proxy.ledger.audit.vouchers import voucher_faults
from proxy.ledger.seals import seal_of

_STREAMS: Final = tuple(
    name
    for name in LedgerRows.__struct_fields__
    if name not in ("totals", "receipts_since_day", "vouchers", "claims")
)
_TABLES: Final = {
    **dict.fromkeys(("charges", "puts", "refunds"), "entries"),
    "days": "usage_days",
    "references": "top_up_references",
    "autos": "auto_top_ups",
}


def audit(ledger: LedgerRows) -> Iterator[Difference]:
    """Every difference between a figure of a ledger and what the other rows make it.

    Rows are read as they are needed: memory holds the keys, lots, buckets and usage days of one account.
    Raises OutOfOrder when rows do not come in order.
    """
    by_account = attrgetter("account_id")
    feeds: dict[str, Feed[Any]] = {name: Feed(getattr(ledger, name), by_account) for name in _STREAMS}
    for account_id in keys_of(*feeds.values()):
        rows = {name: feed.of(account_id) for name, feed in feeds.items()}
        account = next(rows["accounts"], None)
        if account is None:
            yield from _stray_faults(account_id, rows)
        else:
            yield from _account_faults(account, rows, ledger.receipts_since_day)
    if ledger.totals is not None:
        yield from total_faults(ledger.totals)
    yield from voucher_faults(ledger.vouchers, ledger.claims)


def _account_faults(
    account: AccountRow, rows: dict[str, Iterator[Any]], receipts_since_day: int
) -> Iterator[Difference]:
    account_id = account.account_id
    chain, invoices = Chain(rows["lots"]), list(rows["invoices"])
    noted = Noted(rows["credit_notes"], invoices)
    invoiced = Invoiced(invoices, noted.of_refunds.keys())
    yield from chain.faults(account, rows["entries"], (invoiced, noted))
    yield from command_faults(rows["commands"], rows["puts"], chain)
    calls = Calls(account_id, chain.lots, rows["end_users"], receipts_since_day=receipts_since_day)
    yield from calls.faults(
        rows["holds"], rows["receipts"], rows["charges"], rows["objects"], rows["refunds"]
    )
    yield from _debt_faults(account, chain, calls, receipts_since_day)
    yield from compare("accounts", account_id, "held_nano", calls.held_nano, account.held_nano)
    open_holds = sum(calls.open_by_key.values())
    yield from compare("accounts", account_id, "open_holds", open_holds, account.open_holds)
    yield from calls.spending.own_faults("accounts", account_id, account.spending)
    keys = list(rows["keys"])
    yield from _key_faults(calls, keys, account)
    yield from calls.spending.day_faults(rows["days"])
    yield from calls.spending.bucket_faults(rows["buckets"])
    yield from membership_faults(account, rows["memberships"])
    yield from calls.counters.faults(rows["counters"], calls.spending.latest_day)
    yield from calls.end_users.faults()
    yield from event_faults(rows["events"], rows["deliveries"], rows["receivers"])
    yield from top_up_faults(rows["top_ups"], rows["references"], chain.by_command)
    yield from auto_faults(rows["autos"])
    yield from level_faults(rows["levels"])
    yield from _throttle_faults({account_id, *(key.id for key in keys)}, rows["throttles"])
    available_nano = account.balance_nano - account.held_nano - account.debt_nano + account.credit_limit_nano
    if available_nano < 0:
        yield Difference("accounts", account_id, "available", "not below 0", str(available_nano))


def _debt_faults(
    account: AccountRow, chain: Chain, calls: Calls, receipts_since_day: int
) -> Iterator[Difference]:
    """What is owed is what charges and lost payments made so, less what was repaid; other debt is drawn.

    Where old receipts are dropped nobody knows the first any more, only that it is not more than all debt.
    """
    id_, owed_nano = account.account_id, 0
    for _, change_nano in sorted([*calls.owed, *chain.owed, *chain.repaid]):
        # What is owed is repaid before what was drawn.
        owed_nano = max(0, owed_nano + change_nano)
    if receipts_since_day:
        owed_nano = min(account.owed_nano, chain.debt_nano)
    yield from compare("accounts", id_, "owed_nano", owed_nano, account.owed_nano)
    yield from compare("accounts", id_, "debt_nano", chain.debt_nano - owed_nano, account.debt_nano)


def _key_faults(calls: Calls, keys: Iterable[KeyRow], account: AccountRow) -> Iterator[Difference]:
    unknown = set(calls.keys)
    for key in keys:
        unknown.discard(key.id)
        yield from compare("keys", key.id, "open_holds", calls.open_by_key.get(key.id, 0), key.open_holds)
        yield from calls.spending.own_faults("keys", key.id, key.spending)
        if not key.is_found:
            yield Difference("keys", key.id, "digest", "one that leads to the key", "none")
        elif key.seal is not None:
            fixed = (key.digest, key.account_id, key.id, key.hint, key.created_at_us, account.created_at_us)
            yield from compare("key_digests", key.digest, "seal", seal_of(*fixed), key.seal)
    for key_id in sorted(unknown):
        yield Difference("keys", key_id, "row", "one, as calls were made with it", "none")


def _throttle_faults(scope_ids: Collection[str], throttles: Iterable[ThrottleRow]) -> Iterator[Difference]:
    for throttle in throttles:
        if throttle.scope_id not in scope_ids:
            yield Difference("throttles", throttle.scope_id, "row", "none, as there is no such key", "one")


def _stray_faults(account_id: str, rows: dict[str, Iterator[Any]]) -> Iterator[Difference]:
    """There are rows of an account that does not exist. They are skipped."""
    found = {_TABLES.get(name, name): None for name, stream in rows.items() if sum(1 for _ in stream)}
    yield Difference(
        "accounts", account_id, "row", f"one, as there are rows of it: {', '.join(found)}", "none"
    )
