"""The rules of objects: a call makes its own, any call of the account may see them, and age ends them."""

from collections.abc import Sequence

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Forget
from proxy.ledger.rows import Call, Object
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.sessions import SESSION, latest


def taken(books: Books, call: Call, objects: Sequence[Object]) -> Object | None:
    """The first of some objects that a call may not make: another account's, or known as another call's."""
    for row in objects:
        known = books.objects.get((row.account_id, row.id))
        if row.account_id != call.account_id or (known is not None and known.call_id != row.call_id):
            return row
    return None


def put(books: Books, call: Call, objects: Sequence[Object], at_us: int) -> None:
    """Add what a call made, and note what it saw anew of what was there before.

    An object stays the call's that made it, and whose upstream has it: what comes under its id from another
    call changes nothing. One that has expired does not come back, though a slower answer still tells of it.
    """
    for row in objects:
        known = books.objects.get((row.account_id, row.id))
        if row.account_id != call.account_id:
            continue
        if known is None:
            if row.call_id == call.id:
                books.objects.put(row)
        elif known.call_id == row.call_id and known.expires_at_us > at_us:
            said = latest(known.seen, row.seen) if known.kind == SESSION else row.seen
            seen = replace(known, seen=said, expires_at_us=min(known.expires_at_us, row.expires_at_us))
            if seen != known:
                books.objects.put(seen)


@carries_out(Forget)
def forget(books: Books, command: Forget) -> Done:
    """Delete what is due. What is not there, another call's or a running job's is passed over."""
    for id_, call_id in command.objects:
        known = books.objects.get((command.account_id, id_))
        if known is None or known.call_id != call_id:
            continue
        hold = books.holds.get(call_id)
        is_due = known.expires_at_us <= command.expired_us or known.created_at_us < command.made_us
        if is_due and (hold is None or hold.state != "open"):
            books.objects.drop(known)
    return Done()
