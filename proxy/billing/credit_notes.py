"""Issues credit notes: for each refund of something that is on an invoice, if the refund is on none itself.

An invoice leaves out what they are of, so that each entry is on one paper. Refunds are found again and again
by one process of all, and all of an account's before its next invoice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.command import Command
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.invoice_rows import CreditNote
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.results import Done
from proxy.ledger.rounds import Lead, repeat
from proxy.ledger.rows import Draw
from proxy.ledger.store import LedgerUnavailable, Row, Store
from proxy.ledger.windows import DAY_US

LEASE: Final = "credit-notes"
LEASE_SECONDS: Final = 60.0
ROUND_SECONDS: Final = 5.0
"""How often it looks for refunds."""
PAGE: Final = 100
LOOK_BACK_US: Final = 62 * DAY_US
"""How old a refund may be that a process looks for which has just begun to."""
OVERLAP_US: Final = 3_600_000_000
"""How far the clocks of others may be behind: a round begins so long before the last refund that it saw."""
_decode_draws: Final = msgspec.json.Decoder(tuple[Draw, ...]).decode


class CreditNotes:
    """Issues credit notes and reads them. Methods raise Refusal `ledger_unavailable` if the store is away."""

    def __init__(
        self,
        *,
        command: Callable[[Command], Awaitable[Done]],
        store: Store,
        clock: Clock,
        policy: Callable[[], InvoicePolicy | None],
    ) -> None:
        self._command = command
        self._store = store
        self._clock = clock
        self._policy = policy

    async def issue(self, account_id: str) -> int:
        """Issue all that an account is due; how many these are. Raises Refusal `conflict` for a race."""
        policy = self._policy()
        newest = await self._rows("newest_invoice", account_id=account_id)
        if policy is None or not newest:
            return 0
        refunds = await self._rows("refunds_on_no_paper", account_id=account_id, after=newest[0]["last_seq"])
        count = 0
        for refund in sorted(refunds, key=lambda row: _int(row["seq"])):
            command = await self._note_of(account_id, refund, policy)
            if command is not None:
                await self._command(command)
                count += 1
        return count

    async def by_id(self, id_: str) -> CreditNote:
        """One credit note. Raises Refusal `not_found`."""
        rows = await self._rows("credit_note_by_id", id=id_)
        if not rows:
            raise Refusal("not_found", f"There is no credit note {id_}.")
        return note_of_row(rows[0])

    async def page(self, *, account_id: str, before: str | None, limit: int) -> list[CreditNote]:
        """Credit notes of an account, or of all where that is empty, newest first."""
        place = {"cursor": before or "", "limit": limit}
        return [
            note_of_row(row) for row in await self._rows("credit_notes_page", account_id=account_id, **place)
        ]

    async def since(self, account_id: str, after_seq: int) -> dict[int, int]:
        """The amounts of an account's credit notes by the entries that they are of, from after one on."""
        rows = await self._rows("credit_notes_since", account_id=account_id, after=after_seq)
        return {_int(row["seq"]): _int(row["amount_nano"]) for row in rows}

    async def refunded_since(self, at_us: int, account_id: str, seq: int) -> list[tuple[int, str, int]]:
        """The next refunds of all accounts from a time on: when they were, whose, and their numbers."""
        place = {"at_us": at_us, "account_id": account_id, "seq": seq, "limit": PAGE}
        rows = await self._rows("refunds_since", **place)
        return [(_int(row["at_us"]), str(row["account_id"]), _int(row["seq"])) for row in rows]

    async def _note_of(self, account_id: str, refund: Row, policy: InvoicePolicy) -> IssueCreditNote | None:
        origin = await self._origin(account_id, refund)
        if origin is None:
            return None
        of_seq, name = origin
        invoices = await self._rows("invoice_of_entry", account_id=account_id, seq=of_seq)
        if not invoices:
            return None
        (invoice,), now_us = invoices, self._clock.now_us()
        newest = await self._rows("newest_credit_note", account_id=account_id)
        serial = _int(newest[0]["serial"]) + 1 if newest else 1
        account = await self._rows("account_by_id", account_id=account_id)
        note = CreditNote(
            account_id=account_id,
            seq=_int(refund["seq"]),
            id=new_id("cn", now_us),
            number=policy.note_number_of(account_id, serial),
            serial=serial,
            invoice_id=str(invoice["id"]),
            invoice_number=str(invoice["number"]),
            of_seq=of_seq,
            amount_nano=_int(refund["amount_nano"]),
            ref=str(refund["ref"]),
            name=name,
            reason=str(refund["note"]),
            issued_at_us=now_us,
            parties=policy.parties_with(str(account[0]["name"])),
        )
        return IssueCreditNote(note, str(invoice["period"]), _int(invoice["part"]))

    async def _origin(self, account_id: str, refund: Row) -> tuple[int, str] | None:
        """The entry that was refunded, and the model of the call or the kind of the lot."""
        ref, seq = str(refund["ref"]), _int(refund["seq"])
        if _int(refund["amount_nano"]) > 0:
            charges = await self._rows("charge_of_call", account_id=account_id, call_id=ref)
            receipts = await self._rows("model_of_call", account_id=account_id, call_id=ref)
            model = str(receipts[0]["model"]) if receipts else ""
            return (_int(charges[0]["seq"]), model) if charges else None
        lots = await self._rows("lot_by_id", account_id=account_id, id=ref)
        for lot in lots:
            made = {"account_id": account_id, "at_us": lot["granted_at_us"], "before": seq}
            for entry in await self._rows("entries_made_at", **made):
                draws = _decode_draws(str(entry["draws"]))
                if draws and draws[0].lot_id == ref:
                    return _int(entry["seq"]), str(lot["kind"])
        return None

    async def _rows(self, name: str, **params: object) -> list[Row]:
        try:
            return await self._store.query(name, params)
        except LedgerUnavailable:
            raise Refusal("ledger_unavailable", "The ledger cannot be read now.") from None


class CreditNoteRounds:
    """Finds refunds and has them noted, by one process of all.

    `on_fault` is told of an account whose note cannot be issued; the others are gone on with.
    """

    def __init__(
        self,
        *,
        notes: CreditNotes,
        store: Store,
        clock: Clock,
        policy: Callable[[], InvoicePolicy | None],
        on_fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._notes = notes
        self._clock = clock
        self._policy = policy
        self._on_fault = on_fault
        self._sleep = sleep
        self._lead = Lead(store, clock, LEASE, LEASE_SECONDS)
        self._since_us: int | None = None
        self._seen: set[tuple[int, str, int]] = set()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(
            self.round, name=LEASE, every_seconds=ROUND_SECONDS, on_fault=self._on_fault, sleep=self._sleep
        )

    async def round(self) -> None:
        """Note what was refunded since the last round, if this is the process that does."""
        if self._policy() is None or not await self._lead.taken():
            self._since_us = None
            return
        if self._since_us is None:
            self._since_us, self._seen = self._clock.now_us() - LOOK_BACK_US, set()
        place, found = (self._since_us, "", 0), list[tuple[int, str, int]]()
        failed = set[str]()
        while refunds := await self._notes.refunded_since(*place):
            found += refunds
            for account_id in dict.fromkeys(each[1] for each in refunds if each not in self._seen):
                if not await self._issue(account_id):
                    failed.add(account_id)
            place = refunds[-1]
            if len(refunds) < PAGE or not await self._lead.taken():
                break
        if found:
            # Others' clocks may be ahead as well, and nothing may be passed over for one that was.
            last_us = min(
                [found[-1][0], self._clock.now_us(), *(each[0] for each in found if each[1] in failed)]
            )
            self._since_us = max(self._since_us, last_us - OVERLAP_US)
            self._seen = {each for each in found if each[0] >= self._since_us and each[1] not in failed}

    async def _issue(self, account_id: str) -> bool:
        """Issue what an account is due. False if it has to be tried again."""
        try:
            await self._notes.issue(account_id)
        except Refusal as refusal:
            if refusal.code == "ledger_unavailable":
                raise
            # Somebody else was issuing some as well, and took the serial.
            if refusal.code == "conflict":
                return False
            self._on_fault(LEASE, refusal)
        return True


def note_of_row(row: Row) -> CreditNote:
    """A credit note as a query reads it."""
    return msgspec.convert({**row, "parties": msgspec.json.decode(str(row["parties"]))}, CreditNote)


def _int(value: Any) -> int:
    return int(value)
