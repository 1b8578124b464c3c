"""The rules of accounts and their keys: opened, created and changed by the administration."""

from typing import Any

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import ChangeAccount, ChangeKey, CreateKey, Done, OpenAccount, Refused
from proxy.ledger.end_user_rows import EndUserTerms
from proxy.ledger.rows import NO_LIMIT, Account, Key, Limits, Membership
from proxy.ledger.rules import alerts, lots
from proxy.ledger.rules.registry import carries_out
from proxy.money import MAX_NANO, usd_string


@carries_out(OpenAccount)
def open_account(books: Books, command: OpenAccount) -> Done | Refused:
    """Open an account; one whose id is taken is a conflict."""
    if command.account_id in books.accounts:
        return Refused("conflict", f"The account {command.account_id} exists already.")
    if not 0 <= command.credit_limit_nano <= MAX_NANO:
        return _impossible_credit_limit(command.credit_limit_nano)
    account = Account(
        command.account_id,
        command.name,
        command.at_us,
        credit_limit_nano=command.credit_limit_nano,
        limits=command.limits,
        group=command.group,
        alerts=command.alerts,
    )
    books.put_account(account)
    if account.group:
        books.memberships.put(Membership(account.id, account.group, command.at_us))
    return Done(account)


@carries_out(ChangeAccount)
def change_account(books: Books, command: ChangeAccount) -> Done | Refused:
    """Change the fields that are given; a credit limit below what is owed or held is a conflict."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    changes = _changes(command, ("name", "status", "credit_limit_nano", "group", "alerts"))
    if command.limits is not None or command.own_day_nano is not None:
        changes["limits"] = _limits(account.limits, command)
    if command.credit_limit_nano is not None:
        if not 0 <= command.credit_limit_nano <= MAX_NANO:
            return _impossible_credit_limit(command.credit_limit_nano)
        account = lots.swept(books, account, command.at_us)
        short_nano = account.credit_limit_nano - command.credit_limit_nano - account.uncommitted_nano
        if short_nano > 0:
            return Refused(
                "conflict",
                f"A credit limit of {usd_string(command.credit_limit_nano)} USD is "
                f"{usd_string(short_nano)} USD less than what is owed or held for calls in flight.",
            )
    if command.group is not None and command.group != account.group:
        move(books, account, command.group, command.at_us, reason="request")
    before, account = account, replace(account, **changes)
    books.put_account(account)
    if account.status != before.status:
        alerts.status_changed(books, account, command.at_us)
    return Done(account)


@carries_out(CreateKey)
def create_key(books: Books, command: CreateKey) -> Done | Refused:
    """Create a key of an account; one whose id is taken is a conflict."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    if command.key_id in books.keys:
        return Refused("conflict", f"The key {command.key_id} exists already.")
    key = Key(
        command.key_id,
        command.account_id,
        command.name,
        command.digest,
        command.hint,
        command.at_us,
        expires_at_us=command.expires_at_us,
        models=command.models,
        limits=command.limits,
        billing=command.billing,
    )
    books.put_key(key)
    alerts.key_created(books, key)
    return Done(account, key)


@carries_out(ChangeKey)
def change_key(books: Books, command: ChangeKey) -> Done | Refused:
    """Change the fields of a key that are given."""
    account, key = books.accounts.get(command.account_id), books.keys.get(command.key_id)
    if account is None:
        return no_account(command.account_id)
    if key is None or key.account_id != account.id:
        return Refused("not_found", f"There is no key {command.key_id} of this account.")
    changes = _changes(command, ("name", "status", "expires_at_us", "models", "limits", "billing"))
    before, key = key, replace(key, **changes)
    books.put_key(key)
    if key.status != before.status:
        alerts.key_status_changed(books, key, command.at_us)
    return Done(account, key)


def move(books: Books, account: Account, group: str, at_us: int, *, reason: str) -> Membership:
    """Note that an account is in another group from now on; what that gives and asks is due at once.

    `account` is still in the one before.
    """
    before = books.memberships.get(account.id) or Membership(account.id, group, at_us)
    membership = replace(before, group=group, since_us=at_us, due_us=0, unpaid_us=0)
    books.memberships.put(membership)
    alerts.plan_changed(books, account.id, left=account.group, group=group, reason=reason, at_us=at_us)
    return membership


def no_account(account_id: str) -> Refused:
    """The refusal of a command about an account that does not exist."""
    return Refused("not_found", f"There is no account {account_id}.")


def _limits(before: Limits, command: ChangeAccount) -> Limits:
    """The limits after a change: the operator's leave the account's own alone, and the other way round."""
    own = before.own_day_nano
    if command.own_day_nano is not None:
        own = None if command.own_day_nano == NO_LIMIT else command.own_day_nano
    limits = before if command.limits is None else command.limits
    if limits.end_users is None and before.end_users is not None:
        # One of its end users may have limits of its own, which nothing looks at without any terms.
        limits = replace(limits, end_users=EndUserTerms())
    return limits if limits.own_day_nano == own else replace(limits, own_day_nano=own)


def _changes(command: ChangeAccount | ChangeKey, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(command, name)) is not None}


def _impossible_credit_limit(nano: int) -> Refused:
    return Refused("invalid_value", f"A credit limit cannot be {usd_string(nano)} USD.")
