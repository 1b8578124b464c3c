"""The rule of usage that was never authorized: it is charged at once, whatever there is to pay it with."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Refused, Regrouped, Settled
from proxy.ledger.records import Record
from proxy.ledger.rows import Account, Hold
from proxy.ledger.rules import lots
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.closing import charge_account
from proxy.ledger.rules.registry import carries_out


@carries_out(Record)
def record(books: Books, command: Record) -> Settled | Regrouped | Refused:
    """Charge for usage once. A closed hold of nothing stays, by which a repeat is known.

    Other content under the same id is a conflict. A suspended account is charged as well: it has used this.
    """
    call = command.call
    account = books.accounts.get(call.account_id)
    if account is None:
        return no_account(call.account_id)
    known = books.holds.get(call.id)
    if known is not None:
        if (known.account_id, known.owner) != (account.id, command.digest):
            return Refused("idempotency_conflict", f"Something else was sent under the id of {call.id}.")
        return Settled(0, 0, account.balance_nano, account.available_nano, replayed=True)
    refused = _impossible(books, account, command)
    if refused:
        return refused
    hold = Hold(call.id, account.id, call.key_id, 0, 0, "settled", command.used_at_us, command.digest, call)
    return charge_account(
        *(books, lots.sweep(books, account, command.at_us), hold),
        call=call,
        outcome=command.outcome,
        charge=command.charge,
        at_us=command.at_us,
        on_shortfall=command.on_shortfall,
        was_open=False,
    )


def _impossible(books: Books, account: Account, command: Record) -> Refused | Regrouped | None:
    """Why this cannot have been used so by the account, or is priced for another group; or None."""
    key_id = command.call.key_id
    if key_id and (key_id not in books.keys or books.keys[key_id].account_id != account.id):
        return Refused("invalid_api_key", "The key is unknown.")
    if command.used_at_us > command.at_us:
        return Refused("invalid_value", "What is to come cannot have been used.")
    return None if account.group == command.group else Regrouped(account.group)
