"""What is carried out once under its caller's id: the command is noted with its digest and its one entry."""

import hashlib
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.command_record import CommandRecord
from proxy.ledger.commands import Adjust, Done, Grant, Refused
from proxy.ledger.dues import TakeFee
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import Account, Draw, EntryKind
from proxy.ledger.rules import alerts, lots
from proxy.ledger.windows import iso

Once = Grant | Adjust | TakeFee | VoidLot | RefundLot | RefundCall


class Posting(NamedTuple):
    """How a kind of command is posted: the entry's kind, and the members that are its ref and its note.

    `fresh` are the members that differ each time the command is tried, or follow from the others.
    """

    kind: EntryKind
    ref: str
    note: str
    fresh: dict[str, object]


_MADE: Final[dict[str, object]] = {"lot_id": "", "at_us": 0}
POSTINGS: Final[dict[type[Once], Posting]] = {
    Grant: Posting("grant", "command_id", "note", _MADE),
    Adjust: Posting("adjust", "command_id", "reason", _MADE),
    TakeFee: Posting("fee", "command_id", "reason", {"at_us": 0}),
    VoidLot: Posting("void", "lot_id", "reason", {"at_us": 0}),
    RefundLot: Posting("refund", "lot_id", "reason", {"at_us": 0, "days": None}),
    RefundCall: Posting("refund", "call_id", "reason", {**_MADE, "seq": 0, "drawn": ()}),
}


def carried_out(
    books: Books, account: Account, command: Once, amount_nano: int, draws: tuple[Draw, ...]
) -> Done:
    """Post the entry of a command that `account` shows already, and note that it was carried out."""
    posting = POSTINGS[type(command)]
    account = replace(account, entries=account.entries + 1)
    lots.post(
        books,
        account,
        kind=posting.kind,
        amount_nano=amount_nano,
        ref=getattr(command, posting.ref),
        at_us=command.at_us,
        draws=draws,
        note=getattr(command, posting.note),
    )
    books.put_account(account)
    entry, digest = books.new_entries[-1], command_digest(command)
    record = CommandRecord(account.id, command.command_id, digest, command.at_us, entry.seq)
    books.put_command(record, entry)
    if books.alerts.records:
        alerts.moved(books, account, entry)
    return Done(account, entry=entry)


def earlier_result(books: Books, account: Account, command: Once) -> Done | Refused | None:
    """The result of a command whose id was used before, or None for a new one.

    Nothing that depends on the time or on present state is asked before it: what was carried out is answered
    as it was then.
    """
    record = books.commands.get((account.id, command.command_id))
    if record is None:
        return None
    if record.digest == command_digest(command):
        return Done(account, replayed=True, entry=books.entries[record.account_id, record.seq])
    return Refused(
        "idempotency_conflict",
        f"The id {command.command_id} was used for another command at {iso(record.at_us)}.",
    )


def command_digest(command: Once) -> str:
    """A digest of a command, without the members that differ each time it is tried."""
    content = msgspec.json.encode(replace(command, **POSTINGS[type(command)].fresh))
    return hashlib.sha256(content).hexdigest()
