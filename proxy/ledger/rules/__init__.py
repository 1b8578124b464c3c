"""The rules: one pure function from books and a command to changed books and a result.

No clock, no storage, no waiting: times and ids come with the command. Whatever storage is used, only the
rules decide what a command does. One that is refused changes nothing; lots that turned out to be due when it
was looked at are expired all the same, as they would be by any other command.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.ledger.books import Books, CommandRecord
from proxy.ledger.commands import (
    Adjust,
    Authorize,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Done,
    Extend,
    Grant,
    Observe,
    OpenAccount,
    Recover,
    Refused,
    Result,
    Settle,
    Sweep,
    Void,
)
from proxy.ledger.rows import Account, Draw, Key, Lot
from proxy.ledger.rules import calls, closing, lots
from proxy.ledger.windows import iso
from proxy.money import MAX_NANO, usd_string

ADJUSTMENT_PRIORITY: Final = 50


def apply(books: Books, command: Command) -> Result:
    """Carry out one command on the books. Raises KeyError for a command of an unknown type."""
    if not isinstance(command, _OF_A_CALL):
        # These are few, and their results show the whole account.
        books.add_up()
    return _RULES[type(command)](books, command)


def _open_account(books: Books, command: OpenAccount) -> Done | Refused:
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
    )
    books.put_account(account)
    return Done(account)


def _change_account(books: Books, command: ChangeAccount) -> Done | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return _no_account(command.account_id)
    changes = _changes(command, ("name", "status", "credit_limit_nano", "limits"))
    if command.credit_limit_nano is not None:
        if not 0 <= command.credit_limit_nano <= MAX_NANO:
            return _impossible_credit_limit(command.credit_limit_nano)
        account = lots.swept(books, account, command.at_us)
        short_nano = account.credit_limit_nano - command.credit_limit_nano - account.available_nano
        if short_nano > 0:
            return Refused(
                "conflict",
                f"A credit limit of {usd_string(command.credit_limit_nano)} USD is "
                f"{usd_string(short_nano)} USD less than what is owed or held for calls in flight.",
            )
    account = replace(account, **changes)
    books.put_account(account)
    return Done(account)


def _create_key(books: Books, command: CreateKey) -> Done | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return _no_account(command.account_id)
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
    )
    books.put_key(key)
    return Done(account, key)


def _change_key(books: Books, command: ChangeKey) -> Done | Refused:
    account, key = books.accounts.get(command.account_id), books.keys.get(command.key_id)
    if account is None:
        return _no_account(command.account_id)
    if key is None or key.account_id != account.id:
        return Refused("not_found", f"There is no key {command.key_id} of this account.")
    changes = _changes(command, ("name", "status", "expires_at_us", "models", "limits"))
    key = replace(key, **changes)
    books.put_key(key)
    return Done(account, key)


def _grant(books: Books, command: Grant) -> Done | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return _no_account(command.account_id)
    told = _told_before(books, account, command)
    if told:
        return told
    if command.amount_nano <= 0:
        return Refused("invalid_value", "A grant must be of more than nothing.")
    if command.expires_at_us <= command.at_us:
        return Refused(
            "invalid_value", f"A grant cannot have expired, as this one at {iso(command.expires_at_us)}."
        )
    lot = Lot(
        command.lot_id,
        account.id,
        command.kind,
        command.amount_nano,
        command.amount_nano,
        command.priority,
        command.at_us,
        command.expires_at_us,
    )
    return _put_in(books, account, command, lot)


def _adjust(books: Books, command: Adjust) -> Done | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return _no_account(command.account_id)
    told = _told_before(books, account, command)
    if told:
        return told
    amount_nano, at_us = command.amount_nano, command.at_us
    if not amount_nano:
        return Refused("invalid_value", "An adjustment must be of more or less than nothing.")
    if amount_nano > 0:
        lot = Lot(command.lot_id, account.id, "adjust", amount_nano, amount_nano, ADJUSTMENT_PRIORITY, at_us)
        return _put_in(books, account, command, lot)
    account = lots.swept(books, account, at_us)
    if account.available_nano + amount_nano < 0:
        return Refused(
            "conflict",
            f"{usd_string(-amount_nano)} USD cannot be taken: "
            f"{usd_string(account.available_nano)} USD are available.",
            limit_source="balance",
            held_nano=account.held_nano,
            required_nano=-amount_nano,
            available_nano=account.available_nano,
        )
    account, draws = lots.take(books, account, -amount_nano, since_us=at_us, now_us=at_us)
    return _carried_out(books, account, command, draws)


def _sweep(books: Books, command: Sweep) -> Done | Refused:
    account = books.accounts.get(command.account_id)
    if account is None:
        return _no_account(command.account_id)
    return Done(lots.swept(books, account, command.at_us))


def _put_in(books: Books, account: Account, command: Grant | Adjust, lot: Lot) -> Done | Refused:
    if command.amount_nano > MAX_NANO - account.balance_nano:
        return Refused("invalid_value", f"No balance may exceed {usd_string(MAX_NANO)} USD.")
    if lot.id in books.lots.get(account.id, {}):
        return Refused("conflict", f"The lot {lot.id} exists already.")
    account, draws = lots.add(books, account, lot)
    return _carried_out(books, account, command, draws)


def _carried_out(books: Books, account: Account, command: Grant | Adjust, draws: tuple[Draw, ...]) -> Done:
    account = lots.post(
        books,
        account,
        kind="grant" if isinstance(command, Grant) else "adjust",
        amount_nano=command.amount_nano,
        ref=command.command_id,
        at_us=command.at_us,
        draws=draws,
        note=command.note if isinstance(command, Grant) else command.reason,
    )
    books.put_account(account)
    books.put_command(CommandRecord(account.id, command.command_id, _digest(command), command.at_us))
    return Done(account)


def _told_before(books: Books, account: Account, command: Grant | Adjust) -> Done | Refused | None:
    """The result of a command whose id was used before, or None for a new one."""
    record = books.commands.get((account.id, command.command_id))
    if record is None:
        return None
    if record.digest == _digest(command):
        return Done(account, replayed=True)
    return Refused(
        "idempotency_conflict",
        f"The id {command.command_id} was used for another command at {iso(record.at_us)}.",
    )


def _digest(command: Grant | Adjust) -> str:
    """What a command says, without what differs each time it is tried."""
    content = msgspec.json.encode(replace(command, lot_id="", at_us=0))
    return hashlib.sha256(content).hexdigest()


def _changes(command: ChangeAccount | ChangeKey, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(command, name)) is not None}


def _no_account(account_id: str) -> Refused:
    return Refused("not_found", f"There is no account {account_id}.")


def _impossible_credit_limit(nano: int) -> Refused:
    return Refused("invalid_value", f"A credit limit cannot be {usd_string(nano)} USD.")


_OF_A_CALL: Final = (Authorize, Observe, Extend, Settle, Void, Recover)
_RULES: Final[dict[type[Command], Callable[[Books, Any], Result]]] = {
    OpenAccount: _open_account,
    ChangeAccount: _change_account,
    CreateKey: _create_key,
    ChangeKey: _change_key,
    Grant: _grant,
    Adjust: _adjust,
    Authorize: calls.authorize,
    Observe: calls.observe,
    Extend: calls.extend,
    Settle: closing.settle,
    Void: closing.void,
    Recover: closing.recover,
    Sweep: _sweep,
}
