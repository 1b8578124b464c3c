"""The rule of usage that was never authorized: it is charged at once, whatever there is to pay it with."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Recorded, Refused, Regrouped, Settled
from proxy.ledger.records import EVENT, Record, seen_of
from proxy.ledger.rows import Account, Hold, Object
from proxy.ledger.rules import end_users, lots
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.closing import charge_account
from proxy.ledger.rules.limits import in_force
from proxy.ledger.rules.registry import carries_out
from proxy.money import MAX_NANO, usd_string


@carries_out(Record)
def record(books: Books, command: Record) -> Recorded | Regrouped | Refused:
    """Charge for usage once; a closed hold of nothing and an object stay, by which it is known.

    Other content under the same name is a conflict. A suspended account is charged as well: it has used this.
    What has to count to its end user but was not told so is for the caller to tell anew.
    """
    call = command.call
    account = books.accounts.get(call.account_id)
    if account is None:
        return no_account(call.account_id)
    known = books.objects.get((account.id, command.name))
    if known is not None:
        if (known.kind, known.seen) != (EVENT, seen_of(command.digest)):
            return Refused("idempotency_conflict", "Something else was sent under this id.")
        return Recorded(
            known.call_id, Settled(0, 0, account.balance_nano, account.available_nano, replayed=True)
        )
    refused = _impossible(books, account, command)
    if refused:
        return refused
    limits = in_force(account.limits, command.defaults)
    of_user = end_users.recorded_for(books, call, books.keys.get(call.key_id), limits)
    if of_user is not None and not call.counts_user:
        return Regrouped(command.group, counts_user=True)
    hold = Hold(call.id, account.id, call.key_id, 0, 0, "settled", command.used_at_us, "", call)
    settled = charge_account(
        *(books, lots.sweep(books, account, command.at_us), hold),
        call=call,
        outcome=command.outcome,
        charge=command.charge,
        at_us=command.at_us,
        on_shortfall=command.on_shortfall,
        was_open=False,
    )
    if of_user is not None:
        spent = {"charged_nano": settled.charged_nano}
        end_users.spend(books, call, of_user, command.used_at_us, command.at_us, **spent)
    books.objects.put(
        Object(
            *(account.id, command.name, EVENT, call.upstream, call.key_id, call.id, call.model),
            *(command.used_at_us, seen_of(command.digest)),
        )
    )
    return Recorded(call.id, settled)


def _impossible(books: Books, account: Account, command: Record) -> Refused | Regrouped | None:
    """Why this cannot have been used so by the account, or is priced for another group; or None."""
    key_id = command.call.key_id
    if command.call.id in books.holds:
        return Refused("conflict", f"The call {command.call.id} has been made already.")
    if key_id and (key_id not in books.keys or books.keys[key_id].account_id != account.id):
        return Refused("invalid_api_key", "The key is unknown.")
    if command.used_at_us > command.at_us:
        return Refused("invalid_value", "What is to come cannot have been used.")
    if command.charge.total_nano > MAX_NANO - account.whole_debt_nano:
        return Refused("invalid_value", f"No debt may exceed {usd_string(MAX_NANO)} USD.")
    return None if account.group == command.group else Regrouped(account.group)
