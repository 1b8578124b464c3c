"""Lots: what is drawn first, what a draw takes, what expires, and the entry each of these leaves.

The functions take the account as it stands and return it changed; putting it in the books is the caller's.
What must hold before and after is asserted, in production too: books that do not add up are not written.

A lot can fund a hold that began before the lot expired. Holds name no lots, so three rules keep what was
promised: a sweep leaves of a due lot what holds that began before its expiry may still need; those holds draw
what was left in this way before anything else; and it is swept again as soon as they have closed.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.rows import NEVER_US, Account, Draw, Entry, EntryKind, Lot


def add(books: Books, account: Account, lot: Lot) -> tuple[Account, tuple[Draw, ...]]:
    """Put a new lot's amount in: debt is repaid first, the lot is kept with what is left, if anything is."""
    assert lot.amount_nano > 0, lot
    repaid = min(lot.amount_nano, account.debt_nano)
    rest = lot.amount_nano - repaid
    if not rest:
        return replace(account, debt_nano=account.debt_nano - repaid), ()
    books.put_lot(replace(lot, amount_nano=rest, remaining_nano=rest))
    account = replace(
        account,
        debt_nano=account.debt_nano - repaid,
        balance_nano=account.balance_nano + rest,
        next_expiry_us=min(account.next_expiry_us, lot.expires_at_us),
    )
    _assert_adds_up(books, account)
    return account, (Draw(lot.id, rest),)


def take(
    books: Books, account: Account, amount_nano: int, *, since_us: int, now_us: int
) -> tuple[Account, tuple[Draw, ...]]:
    """Take `amount_nano` for what began at `since_us`: from lots that were alive then, the rest as debt.

    Lots that have expired since go first, the others in draw order. The balance and what is left of the
    credit limit must cover the amount. Should usable lots and credit not reach, which takes a clock that ran
    back, the lots kept for older holds give the rest, so that nothing that was promised goes unpaid.
    """
    assert amount_nano > 0, amount_nano
    lots = [lot for lot in books.lots.get(account.id, {}).values() if lot.remaining_nano]
    if len(lots) > 1:
        lots.sort(key=lambda lot: _turn(lot, now_us))
    draws: list[Draw] = []
    left = _draw(books, [lot for lot in lots if lot.expires_at_us > since_us], amount_nano, draws)
    debt = min(left, max(0, account.credit_limit_nano - account.debt_nano)) if left else 0
    if left > debt:
        _draw(books, [lot for lot in lots if lot.expires_at_us <= since_us], left - debt, draws)
    assert amount_nano == debt - sum([draw.amount_nano for draw in draws]), (amount_nano, debt, draws)
    account = replace(
        account,
        balance_nano=account.balance_nano - (amount_nano - debt),
        debt_nano=account.debt_nano + debt,
        next_expiry_us=_next_expiry_us(books, account),
    )
    _assert_adds_up(books, account)
    return account, tuple(draws)


def sweep(books: Books, account: Account, now_us: int) -> Account:
    """Expire the account's due lots, earliest first, but for what open holds were promised of them.

    The same account comes back when nothing went; when nothing is due that takes one comparison. When
    something is, the account's open holds must be in the books. Any that are not must have begun before the
    due lots expired, as holds from before a batch have for a lot that is granted and falls due within it.
    """
    if account.next_expiry_us > now_us:
        return account
    lots = books.lots.get(account.id, {}).values()
    due = sorted(
        (lot for lot in lots if lot.remaining_nano and lot.expires_at_us <= now_us),
        key=lambda lot: _turn(lot, now_us),
    )
    holds = books.open_holds(account.id)
    swept, kept = account, 0
    for lot in due:
        younger = sum(hold.amount_nano for hold in holds if hold.created_at_us >= lot.expires_at_us)
        keep = min(lot.remaining_nano, max(0, account.held_nano - younger - kept))
        kept += keep
        # A clock that ran back can leave younger holds nothing else to draw than this lot. They were promised
        # their funds all the same, so no more goes than is available.
        gone = min(lot.remaining_nano - keep, max(0, swept.available_nano))
        if gone:
            books.put_lot(replace(lot, remaining_nano=lot.remaining_nano - gone))
            swept = replace(swept, balance_nano=swept.balance_nano - gone)
            swept = post(
                books,
                swept,
                kind="expire",
                amount_nano=-gone,
                ref=lot.id,
                at_us=now_us,
                draws=(Draw(lot.id, -gone),),
            )
    if swept is account:
        return account
    _assert_adds_up(books, swept)
    return replace(swept, next_expiry_us=_next_expiry_us(books, swept))


def swept(books: Books, account: Account, at_us: int) -> Account:
    """The account after its due lots have expired, put in the books if any did."""
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
) -> Account:
    """Write the entry of a change that `account` already shows; returns the account with it counted."""
    entry = Entry(
        account.id,
        account.entries + 1,
        kind,
        amount_nano,
        account.balance_nano,
        account.debt_nano,
        ref,
        at_us,
        draws,
        note,
    )
    books.new_entries.append(entry)
    return replace(account, entries=entry.seq)


def _assert_adds_up(books: Books, account: Account) -> None:
    left = sum([lot.remaining_nano for lot in books.lots[account.id].values()])
    assert account.balance_nano == left, f"{account} has lots of {left}"


def _turn(lot: Lot, now_us: int) -> tuple[int, int, int, int, str]:
    if lot.expires_at_us <= now_us:
        return (0, lot.expires_at_us, lot.priority, lot.granted_at_us, lot.id)
    return (1, lot.priority, lot.expires_at_us, lot.granted_at_us, lot.id)


def _draw(books: Books, lots: Iterable[Lot], amount_nano: int, draws: list[Draw]) -> int:
    """Draw from `lots` in order, noting each draw; returns what they did not cover."""
    left = amount_nano
    for lot in lots:
        if not left:
            break
        part = min(left, lot.remaining_nano)
        left -= part
        books.put_lot(replace(lot, remaining_nano=lot.remaining_nano - part))
        draws.append(Draw(lot.id, -part))
    return left


def _next_expiry_us(books: Books, account: Account) -> int:
    if account.next_expiry_us == NEVER_US:
        return NEVER_US
    lots = books.lots.get(account.id, {}).values()
    return min((lot.expires_at_us for lot in lots if lot.remaining_nano), default=NEVER_US)
