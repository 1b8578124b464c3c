"""What must hold of an account's entries: a chain without a gap that explains balance, debt and every lot."""

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from proxy.ledger.audit.feed import Feed, keys_of
from proxy.ledger.audit.refunds import REFUND
from proxy.ledger.audit.rows import AccountRow, CommandRow, Difference, EntryRow, LotRow, PostedRow, compare
from proxy.ledger.commands import Adjust, Grant
from proxy.ledger.dues import TakeFee
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, Draw
from proxy.ledger.rules.credit import ADJUSTMENT_PRIORITY
from proxy.ledger.rules.once import Once, command_digest
from proxy.ledger.rules.returns import REFUND_PRIORITY
from proxy.ledger.top_ups import is_of_top_up, is_owing

_SIGNS: Final[Mapping[str, tuple[int, ...]]] = {
    "grant": (1,),
    "charge": (-1,),
    "expire": (-1,),
    "adjust": (1, -1),
    "void": (-1,),
    "refund": (1, -1),
    "fee": (-1,),
}
"""Which way each kind of entry may go."""

_NOTED: Final = ("grant", "adjust", "void", "refund", "fee")
_OF_COMMANDS: Final = ("void", "refund")
"""The kinds of entries that do not name their command themselves."""
_LOTS: Final[Mapping[str, Mapping[str, object]]] = {
    "adjust": {"kind": "adjust", "priority": ADJUSTMENT_PRIORITY, "expires_at_us": NEVER_US},
    "refund": {"priority": REFUND_PRIORITY, "expires_at_us": NEVER_US},
}
"""What the lots of some kinds of entries are like, which no command says."""

_decode_draws = msgspec.json.Decoder(tuple[Draw, ...]).decode


class Paper(Protocol):
    """What compares papers of an account with its entries, as these pass by in their order."""

    @property
    def is_over(self) -> bool:
        """Whether no entry has to be looked at any more."""

    def pass_by(self, entry: EntryRow) -> Iterator[Difference]:
        """Add the next entry."""

    def rest_faults(self) -> Iterator[Difference]:
        """What is left when all entries have passed by."""


class Chain:
    """The entries of one account, followed from the first to the last, with what they make of its lots.

    `debt_nano` is all debt after the last; `repaid` what was repaid of it, below zero, each with its number.
    `of_commands` has the numbers of entries that a command must lead to, `owed` what was owed of credit that
    had been used when it was taken back, each with its number, and `by_command` what entries have put in or
    taken whose commands follow from a top-up.

    After a difference it goes on from what was found, so that each is reported once.
    """

    def __init__(self, lots: Iterable[LotRow]) -> None:
        self.lots = {lot.id: lot for lot in lots}
        self._put: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._seq = self._balance_nano = self.debt_nano = 0
        self.of_commands: set[int] = set()
        self.repaid: list[tuple[int, int]] = []
        self.owed: list[tuple[int, int]] = []
        self.by_command: dict[str, int] = {}

    def faults(
        self, account: AccountRow, entries: Iterable[EntryRow], papers: tuple[Paper, ...]
    ) -> Iterator[Difference]:
        """Where entries, account, lots and papers of entries disagree."""
        for entry in entries:
            yield from self._entry_faults(entry)
            for paper in papers:
                if not paper.is_over:
                    yield from paper.pass_by(entry)
        for paper in papers:
            yield from paper.rest_faults()
        id_ = account.account_id
        yield from compare("accounts", id_, "entries", self._seq, account.entries)
        yield from compare("accounts", id_, "balance_nano", self._balance_nano, account.balance_nano)
        for lot in self.lots.values():
            yield from compare("lots", lot.id, "amount_nano", self._put.get(lot.id, 0), lot.amount_nano)
            yield from compare(
                "lots", lot.id, "remaining_nano", self._left.get(lot.id, 0), lot.remaining_nano
            )
        live = (lot.expires_at_us for lot in self.lots.values() if lot.remaining_nano)
        yield from compare(
            "accounts", id_, "next_expiry_us", min(live, default=NEVER_US), account.next_expiry_us
        )

    def _entry_faults(self, entry: EntryRow) -> Iterator[Difference]:
        id_ = f"{entry.account_id}/{entry.seq}"
        yield from compare("entries", id_, "seq", self._seq + 1, entry.seq)
        if (entry.amount_nano > 0) - (entry.amount_nano < 0) not in _SIGNS.get(entry.kind, ()):
            yield Difference("entries", id_, "amount_nano", f"one of a {entry.kind}", str(entry.amount_nano))
        if entry.note and entry.kind not in _NOTED:
            yield Difference("entries", id_, "note", f"none, as of every {entry.kind}", entry.note)
        if entry.kind in _OF_COMMANDS:
            self.of_commands.add(entry.seq)
        try:
            draws = _decode_draws(entry.draws)
        except msgspec.DecodeError:
            yield Difference("entries", id_, "draws", "draws of lots", entry.draws)
        else:
            drawn_nano = sum(draw.amount_nano for draw in draws)
            yield from self._after_faults(entry, id_, drawn_nano)
            yield from self._draw_faults(entry, id_, draws, drawn_nano)
        self._seq, self._balance_nano = entry.seq, entry.balance_after_nano
        self.debt_nano = entry.debt_after_nano

    def _after_faults(self, entry: EntryRow, id_: str, drawn_nano: int) -> Iterator[Difference]:
        """What lots give or get changes the balance; the rest of a charge is owed, that of a grant repays."""
        balance_nano = self._balance_nano + drawn_nano
        debt_nano = self.debt_nano - (entry.amount_nano - drawn_nano)
        yield from compare("entries", id_, "balance_after_nano", balance_nano, entry.balance_after_nano)
        yield from compare("entries", id_, "debt_after_nano", debt_nano, entry.debt_after_nano)

    def _draw_faults(
        self, entry: EntryRow, id_: str, draws: tuple[Draw, ...], drawn_nano: int
    ) -> Iterator[Difference]:
        amount_nano = entry.amount_nano
        if amount_nano > 0:
            # Debt is repaid before anything is put in a lot.
            kept_nano = amount_nano - min(amount_nano, self.debt_nano)
            if kept_nano < amount_nano:
                self.repaid.append((entry.seq, kept_nano - amount_nano))
            yield from compare("entries", id_, "sum of draws", kept_nano, drawn_nano)
        elif entry.kind == "adjust" and is_owing(entry.ref):
            self.owed.append((entry.seq, -amount_nano))
            yield from compare("entries", id_, "sum of draws", 0, drawn_nano)
        elif entry.kind in ("expire", "void", "refund"):
            found = tuple((draw.lot_id, draw.amount_nano) for draw in draws)
            yield from compare("entries", id_, "draws", ((entry.ref, amount_nano),), found)
        for draw in draws:
            if (draw.amount_nano > 0) != (amount_nano > 0) or not draw.amount_nano:
                way = "into" if amount_nano > 0 else "out of"
                yield Difference(
                    "entries", id_, f"draw of {draw.lot_id}", f"{way} the lot", str(draw.amount_nano)
                )
            yield from self._drawn(id_, draw, entry)

    def _drawn(self, id_: str, draw: Draw, entry: EntryRow) -> Iterator[Difference]:
        lot_id, amount_nano = draw.lot_id, draw.amount_nano
        if lot_id not in self.lots:
            yield Difference("lots", lot_id, "row", f"one, as the entry {id_} has a draw of it", "none")
            return
        if entry.kind == "expire" and entry.at_us < self.lots[lot_id].expires_at_us:
            due = f"{self.lots[lot_id].expires_at_us} or later, when the lot is due"
            yield Difference("entries", id_, "at_us", due, str(entry.at_us))
        if amount_nano > 0 and (entry.kind != "refund" or self._is_new(lot_id)):
            yield from compare("lots", lot_id, "granted_at_us", entry.at_us, self.lots[lot_id].granted_at_us)
            self._put[lot_id] = self._put.get(lot_id, 0) + amount_nano
        left_nano = self._left[lot_id] = self._left.get(lot_id, 0) + amount_nano
        if left_nano < 0:
            yield Difference(
                "entries", id_, f"draw of {lot_id}", "no more than was left of it", str(left_nano)
            )

    def _is_new(self, lot_id: str) -> bool:
        """Whether a refund has made the lot, and not given something back to it."""
        return self.lots[lot_id].kind == REFUND and lot_id not in self._put


def command_faults(
    commands: Iterable[CommandRow], puts: Iterable[PostedRow], chain: Chain
) -> Iterator[Difference]:
    """Each command has posted one entry, and each entry but those of calls and expiry is one command's."""
    unled = set(chain.of_commands)
    feeds: tuple[Feed[Any], ...] = (Feed(commands, attrgetter("id")), Feed(puts, attrgetter("ref")))
    for command_id in keys_of(*feeds):
        command: list[CommandRow] = list(feeds[0].of(command_id))
        posted: list[PostedRow] = list(feeds[1].of(command_id))
        unled.difference_update(entry.seq for entry in posted)
        if is_of_top_up(command_id):
            chain.by_command[command_id] = sum(entry.amount_nano for entry in posted)
        if not command:
            yield Difference("commands", command_id, "row", "one, as it has posted an entry", "none")
        elif not posted:
            yield Difference("entries", command_id, "row", "one, as the command was carried out", "none")
        else:
            yield from compare("commands", command_id, "at_us", posted[0].at_us, command[0].at_us)
            yield from compare("commands", command_id, "seq", posted[0].seq, command[0].seq)
            yield from _digest_faults(command[0], posted[0], chain.lots)
        for entry in posted[1:]:
            id_ = f"{entry.account_id}/{entry.seq}"
            yield Difference("entries", id_, "row", f"no second one of {command_id}", str(entry.amount_nano))
    for seq in sorted(unled):
        yield Difference("commands", f"entry {seq}", "row", "one, as it has posted an entry", "none")


def _digest_faults(command: CommandRow, entry: PostedRow, lots: Mapping[str, LotRow]) -> Iterator[Difference]:
    """The digest of a command is that of what its entry and its lot say it was.

    A grant that went into debt as a whole has left no lot, and nothing says of which kind it was.
    """
    lot = _lot_of(entry, lots)
    if lot is not None and (entry.kind != REFUND or (lot.kind, lot.granted_at_us) == (REFUND, entry.at_us)):
        for name, expected in _LOTS.get(entry.kind, {}).items():
            yield from compare("lots", lot.id, name, expected, getattr(lot, name))
    given = _given(command, entry, lot)
    if given is not None:
        yield from compare("commands", command.id, "digest", command_digest(given), command.digest)


def _given(command: CommandRow, entry: PostedRow, lot: LotRow | None) -> Once | None:
    """The command as it was given, by its entry and the lot that it has put something in."""
    account_id, amount_nano, at_us, note = entry.account_id, entry.amount_nano, entry.at_us, entry.note
    given: Once | None = None
    if entry.kind == "adjust":
        given = Adjust(account_id, command.id, "", amount_nano, note, at_us)
    elif entry.kind == "fee":
        given = TakeFee(account_id, command.id, -amount_nano, note, at_us)
    elif entry.kind == "void":
        given = VoidLot(account_id, command.id, entry.about, note, at_us)
    elif entry.kind == "refund" and amount_nano < 0:
        given = RefundLot(account_id, command.id, entry.about, note, at_us, -amount_nano)
    elif entry.kind == "refund":
        given = RefundCall(account_id, command.id, "", entry.about, amount_nano, note, at_us, 0)
    elif lot is not None:
        terms = (lot.kind, lot.priority, lot.expires_at_us)
        given = Grant(account_id, command.id, "", amount_nano, at_us, *terms, note)
    return given


def _lot_of(entry: PostedRow, lots: Mapping[str, LotRow]) -> LotRow | None:
    """The last lot that an entry has put something in, if it has, and if the entry can be read."""
    try:
        draws = _decode_draws(entry.draws)
    except msgspec.DecodeError:
        return None
    put = [lots[draw.lot_id] for draw in draws if draw.amount_nano > 0 and draw.lot_id in lots]
    return put[-1] if put else None
