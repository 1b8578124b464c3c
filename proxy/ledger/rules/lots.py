"""Lots: the order of draws, what a draw takes, what expires, and the entry that each of these leaves.

The functions take an account and return it changed; the caller puts it in the books. They assert what must
hold before and after, in production too: books that do not add up are not written.

A lot can fund a hold that began before the lot expired. Holds name no lots, so that three rules keep what was
promised: a sweep leaves in a due lot what holds from before its expiry may still need; those holds draw that
before anything else; and the lot is swept again once they have closed.
"""

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.rows import NEVER_US, Account, Draw, Entry, EntryKind, Lot
from proxy.ledger.rules import alerts


def add(books: Books, account: Account, lot: Lot) -> tuple[Account, tuple[Draw, ...]]:
    """Put a new lot's amount in: it repays debt first, and the lot has the rest, if there is any.

    What is owed beyond the credit limit is repaid before what was drawn of it.
    """
    assert lot.amount_nano > 0, lot
    owed = min(lot.amount_nano, account.owed_nano)
    debt = min(lot.amount_nano - owed, account.debt_nano)
    rest = lot.amount_nano - owed - debt
    account = replace(account, owed_nano=account.owed_nano - owed, debt_nano=account.debt_nano - debt)
    if not rest:
        return account, ()
    books.put_lot(replace(lot, amount_nano=rest, remaining_nano=rest))
    account = replace(
        account,
        balance_nano=account.balance_nano + rest,
        next_expiry_us=min(account.next_expiry_us, lot.expires_at_us),
    )
    _assert_adds_up(books, account)
    return account, (Draw(lot.id, rest),)


def take(
    books: Books, account: Account, amount_nano: int, *, since_us: int, now_us: int, spared: str = ""
) -> tuple[Account, tuple[Draw, ...]]:
    """Take `amount_nano` for what began at `since_us`: from lots that were alive then, the rest as debt.

    Lots of the kind `spared` are left alone.

    Lots that have expired since go first, the others in draw order. The balance and the rest of the credit
    limit must cover the amount. After a clock ran back, usable lots and credit may not suffice: then the lots
    that were left for older holds give the rest, so that every promise is paid.
    """
    assert amount_nano > 0, amount_nano
    lots = [lot for lot in books.lots.get(account.id, {}).values() if lot.remaining_nano]
    if spared:
        lots = [lot for lot in lots if lot.kind != spared]
    if len(lots) > 1:
        lots.sort(key=lambda lot: _turn(lot, now_us))
    draws: list[Draw] = []
    # Mostly none expires at all.
    is_timeless = account.next_expiry_us == NEVER_US
    alive = lots if is_timeless else [lot for lot in lots if lot.expires_at_us > since_us]
    left = _draw(books, alive, amount_nano, draws)
    debt = min(left, max(0, account.credit_limit_nano - account.debt_nano)) if left else 0
    if left > debt:
        _draw(books, [lot for lot in lots if lot.expires_at_us <= since_us], left - debt, draws)
    drawn = 0
    for draw in draws:
        drawn -= draw.amount_nano
    assert amount_nano == debt + drawn, (amount_nano, debt, draws)
    account = replace(
        account,
        balance_nano=account.balance_nano - (amount_nano - debt),
        debt_nano=account.debt_nano + debt,
        next_expiry_us=NEVER_US if is_timeless else _next_expiry_us(books, account),
    )
    _assert_adds_up(books, account)
    return account, tuple(draws)


def free_nano(books: Books, account: Account, lot: Lot, now_us: int) -> int:
    """What of a lot no open hold would draw, if all of them were charged in full now."""
    before = 0
    for other in sorted(books.lots[account.id].values(), key=lambda each: _turn(each, now_us)):
        if other.id == lot.id:
            break
        before += other.remaining_nano
    promised = min(lot.remaining_nano, max(0, account.held_nano - before))
    return min(lot.remaining_nano - promised, max(0, account.uncommitted_nano))


def of_kinds(books: Books, account_id: str, kinds: Collection[str]) -> list[Lot]:
    """Lots of some kinds with something left, in the order that keeps others' promises."""
    found = books.lots.get(account_id, {}).values()
    left = [lot for lot in found if lot.kind in kinds and lot.remaining_nano]
    return sorted(
        left, key=lambda lot: (lot.priority, lot.expires_at_us, lot.granted_at_us, lot.id), reverse=True
    )


def free_of_kinds_nano(books: Books, account: Account, kinds: Collection[str], now_us: int) -> int:
    """What can be taken of all lots of some kinds, one after the other."""
    uncommitted_nano = left_nano = max(0, account.uncommitted_nano)
    for lot in of_kinds(books, account.id, kinds):
        left_nano -= min(free_nano(books, account, lot, now_us), left_nano)
    return uncommitted_nano - left_nano


def take_of(books: Books, account: Account, lot: Lot, amount_nano: int) -> tuple[Account, tuple[Draw, ...]]:
    """Take from one lot, which is not more than is free of it."""
    books.put_lot(replace(lot, remaining_nano=lot.remaining_nano - amount_nano))
    account = replace(account, balance_nano=account.balance_nano - amount_nano)
    _assert_adds_up(books, account)
    return replace(account, next_expiry_us=_next_expiry_us(books, account)), (Draw(lot.id, -amount_nano),)


def give_back(
    books: Books, account: Account, parts: Iterable[tuple[str, int]], fresh: Lot, *, repaid_nano: int
) -> tuple[Account, tuple[Draw, ...]]:
    """Repay debt, and put each part back in the lot that it is named after.

    Where that has expired, or there is none, it goes to `fresh`, which is made for that.
    """
    draws: list[Draw] = []
    rest = 0
    for lot_id, part in parts:
        lot = books.lots[account.id][lot_id] if lot_id else None
        if lot is None or lot.expires_at_us <= fresh.granted_at_us:
            rest += part
        else:
            books.put_lot(replace(lot, remaining_nano=lot.remaining_nano + part))
            draws.append(Draw(lot_id, part))
    if rest:
        books.put_lot(replace(fresh, amount_nano=rest, remaining_nano=rest))
        draws.append(Draw(fresh.id, rest))
    owed = min(repaid_nano, account.owed_nano)
    account = replace(
        account,
        balance_nano=account.balance_nano + sum(draw.amount_nano for draw in draws),
        owed_nano=account.owed_nano - owed,
        debt_nano=account.debt_nano - (repaid_nano - owed),
    )
    _assert_adds_up(books, account)
    return replace(account, next_expiry_us=_next_expiry_us(books, account)), tuple(draws)


def sweep(books: Books, account: Account, now_us: int) -> Account:
    """Expire the account's due lots, earliest first, except what open holds were promised of them.

    It returns the same account when nothing expires; when nothing is due that takes one comparison. When a
    lot is due, the account's open holds must be in the books. Those that are not must have begun before the
    lot expired, as all holds from before a batch have when a lot is granted and falls due within the batch.
    """
    if account.next_expiry_us > now_us:
        return account
    lots = books.lots.get(account.id, {}).values()
    due = sorted(
        (lot for lot in lots if lot.remaining_nano and lot.expires_at_us <= now_us),
        key=lambda lot: _turn(lot, now_us),
    )
    holds = books.open_holds(account.id)
    swept, promised_nano = account, 0
    for lot in due:
        younger = sum(hold.amount_nano for hold in holds if hold.created_at_us >= lot.expires_at_us)
        left_nano = min(lot.remaining_nano, max(0, account.held_nano - younger - promised_nano))
        promised_nano += left_nano
        # After a clock ran back, younger holds may have nothing but this lot to draw. They were promised
        # their funds as well, so that no more expires than is uncommitted.
        gone = min(lot.remaining_nano - left_nano, max(0, swept.uncommitted_nano))
        if gone:
            books.put_lot(replace(lot, remaining_nano=lot.remaining_nano - gone))
            swept = replace(swept, balance_nano=swept.balance_nano - gone, entries=swept.entries + 1)
            draws = (Draw(lot.id, -gone),)
            post(books, swept, kind="expire", amount_nano=-gone, ref=lot.id, at_us=now_us, draws=draws)
            alerts.expired(books, swept, books.new_entries[-1], lot)
    if swept is account:
        return account
    _assert_adds_up(books, swept)
    return replace(swept, next_expiry_us=_next_expiry_us(books, swept))


def swept(books: Books, account: Account, at_us: int) -> Account:
    """The account after its due lots have expired; it is in the books if any have."""
    after = sweep(books, account, at_us)
    if after is not account:
        books.put_account(after)
    return after


def post(
    books: Books,
    account: Account,
    *,
    kind: EntryKind,
    amount_nano: int,
    ref: str,
    at_us: int,
    draws: tuple[Draw, ...],
    note: str = "",
) -> None:
    """Write the entry of a change that `account` already shows, and already counts."""
    entry = Entry(
        account.id,
        account.entries,
        kind,
        amount_nano,
        account.balance_nano,
        account.debt_nano + account.owed_nano,
        ref,
        at_us,
        draws,
        note,
    )
    books.new_entries.append(entry)
    if amount_nano < 0 and books.alerts.records:
        alerts.posted(books, account, entry)


def _assert_adds_up(books: Books, account: Account) -> None:
    left = 0
    # An account that the batch itself has opened has no lots there.
    for lot in books.lots.get(account.id, {}).values():
        left += lot.remaining_nano
    assert account.balance_nano == left, f"{account} has lots of {left}"


def _turn(lot: Lot, now_us: int) -> tuple[int, int, int, int, str]:
    if lot.expires_at_us <= now_us:
        return (0, lot.expires_at_us, lot.priority, lot.granted_at_us, lot.id)
    return (1, lot.priority, lot.expires_at_us, lot.granted_at_us, lot.id)


def _draw(books: Books, lots: Iterable[Lot], amount_nano: int, draws: list[Draw]) -> int:
    """Draw from `lots` in order and add each draw to `draws`; returns what they did not cover."""
    left = amount_nano
    for lot in lots:
        if not left:
            break
        part = left if left < lot.remaining_nano else lot.remaining_nano
        left -= part
        books.put_lot(replace(lot, remaining_nano=lot.remaining_nano - part))
        draws.append(Draw(lot.id, -part))
    return left


def _next_expiry_us(books: Books, account: Account) -> int:
    lots = books.lots.get(account.id, {}).values()
    return min((lot.expires_at_us for lot in lots if lot.remaining_nano), default=NEVER_US)
