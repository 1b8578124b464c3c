"""The rules of alerts: which events a change of funds, of spending or of lots causes.

What crosses nothing causes none, and costs a comparison or two.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from proxy.ledger.books import Books
from proxy.ledger.dues import Fee
from proxy.ledger.end_user_rows import EndUser, EndUserLimits
from proxy.ledger.rows import NEVER_US, UNLIMITED, Account, Entry, Hold, Key, Lot
from proxy.ledger.rules.limits import in_force, limited
from proxy.ledger.windows import DAY_US, Window, ends_us, iso
from proxy.money import usd_string

ALL_PERCENT = 100
_MOVED: Final = {
    "adjust": ("credits.adjusted", ""),
    "void": ("credits.voided", "lot_id"),
    "refund": ("credits.refunded", "lot_id"),
    "refund of a call": ("charge.refunded", "call_id"),
    "fee": ("fee.charged", ""),
}
"""The event of an entry, and what that calls what the entry refers to, by what the entry is."""


def posted(books: Books, account: Account, entry: Entry) -> None:
    """Tell of funds that an entry, which `account` already shows, has let fall to a threshold."""
    funds_nano = account.balance_nano - account.whole_debt_nano + account.credit_limit_nano
    before_nano = funds_nano - entry.amount_nano
    low_nano = books.alerts.balance_low_nano(account.alerts)
    if low_nano is not None and funds_nano <= low_nano < before_nano:
        data = {"funds": usd_string(funds_nano), "threshold": usd_string(low_nano)}
        books.put_event(account.id, "balance.low", str(entry.seq), entry.at_us, **data)
    if funds_nano <= 0 < before_nano:
        books.put_event(
            account.id, "balance.depleted", str(entry.seq), entry.at_us, funds=usd_string(funds_nano)
        )


def granted(books: Books, account: Account, entry: Entry, lot: Lot) -> None:
    """Tell of credit that was put in, by an entry."""
    books.put_event(
        *(account.id, "credits.granted", str(entry.seq), entry.at_us),
        amount=usd_string(entry.amount_nano),
        kind=lot.kind if entry.draws else None,
        lot_id=lot.id if entry.draws else None,
        expires_at=iso(lot.expires_at_us) if entry.draws and lot.expires_at_us < NEVER_US else None,
        balance=usd_string(account.balance_nano),
    )


def moved(books: Books, account: Account, entry: Entry) -> None:
    """Tell of an entry that a command with an id has posted. A grant is told with its lot instead."""
    refers = entry.kind if entry.amount_nano < 0 or entry.kind != "refund" else "refund of a call"
    if refers not in _MOVED:
        return
    type_, about = _MOVED[refers]
    books.put_event(
        account.id,
        type_,
        str(entry.seq),
        entry.at_us,
        **({about: entry.ref} if about else {}),
        amount=usd_string(entry.amount_nano if entry.kind == "adjust" else abs(entry.amount_nano)),
        reason=entry.note,
        balance=usd_string(account.balance_nano),
    )


def status_changed(books: Books, account: Account, at_us: int) -> None:
    """Tell of an account's status, which has changed."""
    books.put_event(
        *(account.id, "account.status_changed", f"{at_us}/{account.status}", at_us), status=account.status
    )


def key_created(books: Books, key: Key) -> None:
    """Tell of a key that was created."""
    expires_at = iso(key.expires_at_us) if key.expires_at_us < NEVER_US else None
    told = {"key_id": key.id, "name": key.name, "expires_at": expires_at}
    books.put_event(key.account_id, "key.created", key.id, key.created_at_us, **told)


def key_status_changed(books: Books, key: Key, at_us: int) -> None:
    """Tell of a key's status, which has changed."""
    type_ = "key.disabled" if key.status == "disabled" else "key.enabled"
    books.put_event(key.account_id, type_, f"{key.id}/{at_us}", at_us, key_id=key.id, name=key.name)


def plan_changed(books: Books, account_id: str, *, left: str, group: str, reason: str, at_us: int) -> None:
    """Tell of a group that was left for another; an empty one is none."""
    told = {"from": left or None, "to": group or None, "reason": reason}
    books.put_event(account_id, "plan.changed", f"{at_us}/{left}/{group}", at_us, **told)


def plan_unpaid(books: Books, account_id: str, *, group: str, amount_nano: int, fee: Fee, at_us: int) -> None:
    """Tell of a fee that could not be paid, for the first time."""
    books.put_event(
        *(account_id, "plan.unpaid", str(at_us), at_us),
        group=group,
        amount=usd_string(amount_nano),
        falls_to=fee.falls_to or None,
        falls_at=iso(at_us + fee.grace_us),
    )


def expired(books: Books, account: Account, entry: Entry, lot: Lot) -> None:
    """Tell of what expired of a lot, by an entry."""
    books.put_event(
        *(account.id, "credits.expired", str(entry.seq), entry.at_us),
        amount=usd_string(-entry.amount_nano),
        kind=lot.kind,
        lot_id=lot.id,
        expired_at=iso(lot.expires_at_us),
        balance=usd_string(account.balance_nano),
    )


def spent(books: Books, account: Account, hold: Hold, at_us: int, nano: int) -> None:
    """Tell which parts of spending limits a call passes by so much, before that is moved."""
    key = books.keys[hold.key_id] if hold.key_id else None
    has_limits = account.limits is not UNLIMITED or books.alerts.has_limits
    if not has_limits and (key is None or key.limits is UNLIMITED):
        return
    limits = in_force(account.limits, books.alerts.groups.of(account.group).limits)
    for scope, window, limit_nano, bucket in limited(books, account, key, limits, hold.created_at_us):
        about = _Limited(
            *(scope, bucket.scope_id, window, bucket.start_day, limit_nano),
            *(bucket.spent_nano, bucket.spent_nano + nano),
        )
        _tell_parts(books, account, about, at_us)


def user_spent(
    books: Books, account: Account, before: EndUser, after: EndUser, limits: EndUserLimits, *, at_us: int
) -> None:
    """Tell which parts of its spending limits an end user passes by what it has spent in between."""
    for sums in after.sums:
        limit_nano = limits.window_nano(sums.window)
        if limit_nano is not None:
            before_nano = before.sums_of(sums.window, sums.start_day).spent_nano
            about = _Limited(
                *("end_user", after.id, sums.window, sums.start_day, limit_nano),
                *(before_nano, sums.spent_nano),
            )
            _tell_parts(books, account, about, at_us)


def short(
    books: Books, hold: Hold, at_us: int, *, charge_nano: int, shortfall_nano: int, owed_nano: int
) -> None:
    """Tell of a charge that hold and funds did not cover."""
    books.put_event(
        *(hold.account_id, "charge.shortfall", hold.id, at_us),
        call_id=hold.id,
        key_id=hold.key_id or None,
        model=hold.call.model,
        charge=usd_string(charge_nano),
        shortfall=usd_string(shortfall_nano),
        owed=usd_string(owed_nano),
    )


class _Limited(NamedTuple):
    """A spending limit of a scope, and what was spent of it in a window before and after a charge."""

    scope: str
    id: str
    window: Window
    start_day: int
    limit_nano: int
    before_nano: int
    after_nano: int


def _tell_parts(books: Books, account: Account, about: _Limited, at_us: int) -> None:
    figures = (about.limit_nano, about.before_nano, about.after_nano)
    for percent in _passed(books.alerts.percents(account.alerts), *figures):
        part = {"percent": percent, **_of_limit(about)}
        books.put_event(account.id, "limit.threshold", f"{_cause(about)}/{percent}", at_us, **part)
    if about.before_nano < about.limit_nano <= about.after_nano:
        books.put_event(account.id, "limit.reached", _cause(about), at_us, **_of_limit(about))


def _passed(percents: tuple[int, ...], limit_nano: int, before_nano: int, after_nano: int) -> Iterator[int]:
    for percent in percents:
        threshold = percent * limit_nano
        if before_nano * ALL_PERCENT < threshold <= after_nano * ALL_PERCENT:
            yield percent


def _cause(about: _Limited) -> str:
    # An end user may be called as any account or key is.
    whose = f"end_user/{about.id}" if about.scope == "end_user" else about.id
    return f"{whose}/{about.window}/{about.start_day}"


def _of_limit(about: _Limited) -> dict[str, object]:
    ends = ends_us(about.window, about.start_day)
    return {
        "scope": about.scope,
        "key_id": about.id if about.scope == "key" else None,
        "end_user": about.id if about.scope == "end_user" else None,
        "window": about.window,
        "window_start": None if ends is None else iso(about.start_day * DAY_US),
        "resets_at": None if ends is None else iso(ends),
        "limit": usd_string(about.limit_nano),
        "spent": usd_string(about.after_nano),
    }
