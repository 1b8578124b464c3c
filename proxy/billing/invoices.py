"""Makes invoices: what the entries of an account came to since the one before, up to the end of a month.

An invoice takes all entries that are there when it is made, up to the first one after its month: what is
settled later goes into the next one, whatever time it says, so that each entry is on one invoice.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec

from proxy.billing.credit_notes import CreditNotes
from proxy.billing.invoice_lines import InvoiceEntry, InvoiceSums
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Command, Done
from proxy.ledger.invoice_rows import Invoice, InvoiceHead
from proxy.ledger.invoices import InvoicePolicy, IssueInvoice
from proxy.ledger.periods import Span, period_at
from proxy.ledger.store import LedgerUnavailable, Row, Store

PAGE: Final = 500
"""How many entries, or lots, one read takes. The commands of calls come in between."""
_SECOND_US: Final = 1_000_000


class Month(NamedTuple):
    """A month to invoice, or an early part of it: 0 ends it."""

    period: str
    part: int
    span: Span


class Commands(Protocol):
    """The ledger as invoices use it."""

    async def command(self, command: Command) -> Done:
        """Carry out a command. Raises Refusal if it is refused or the ledger is down."""
        ...


class Invoices:
    """Makes invoices and reads them. Methods raise Refusal `ledger_unavailable` if the store is away."""

    def __init__(
        self, *, ledger: Commands, store: Store, clock: Clock, policy: Callable[[], InvoicePolicy | None]
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._policy = policy
        self._notes = CreditNotes(command=ledger.command, store=store, clock=clock, policy=policy)

    async def make(self, account_id: str, period: str) -> Invoice | None:
        """The invoice of an account for a month, made if it is not there; None if nothing has happened.

        Raises Refusal `not_found` for an unknown account, `conflict` where a later month has been invoiced or
        no invoices are issued, and `invalid_value` for a month that has not ended.
        """
        policy, span = self._policy(), month_of(period)
        if policy is None:
            raise Refusal("conflict", "No invoices are issued: `invoices` is not configured.")
        if span.end_us > self._clock.now_us():
            raise Refusal("invalid_value", f"`month` is {period}: it has not ended.", param="month")
        rows = await self._rows("account_by_id", account_id=account_id)
        if not rows:
            raise Refusal("not_found", f"There is no account {account_id}.")
        issued = await self._rows("invoice_of_month", account_id=account_id, period=period)
        if issued:
            return invoice_of_row(issued[0])
        newest = await self._rows("newest_invoice", account_id=account_id)
        if newest and str(newest[0]["period"]) > period:
            message = f"The account has an invoice of {newest[0]['period']}, which is later."
            raise Refusal("conflict", message)
        return await self._made(rows[0], Month(period, 0, span), policy, newest)

    async def make_early(self, account_id: str) -> Invoice | None:
        """An invoice of all entries of this month that are on none; None where there are none.

        The month before is invoiced first. Raises Refusal as `make`.
        """
        now_us = self._clock.now_us()
        before, period = past_month(now_us), month_name(now_us)
        newest = await self._rows("newest_invoice", account_id=account_id)
        if not newest or str(newest[0]["period"]) < period:
            await self.make(account_id, before)
            newest = await self._rows("newest_invoice", account_id=account_id)
        policy, (account,) = self._policy(), await self._rows("account_by_id", account_id=account_id)
        part = _int(newest[0]["part"]) if newest and newest[0]["period"] == period else 0
        if policy is None:
            return None
        return await self._made(account, Month(period, part + 1, month_of(period)), policy, newest)

    async def invoiced_until(self, account_id: str) -> int:
        """The number of the last entry of an account that is on an invoice; 0 for none."""
        newest = await self._rows("newest_invoice", account_id=account_id)
        return _int(newest[0]["last_seq"]) if newest else 0

    async def _made(
        self, account: Row, month: Month, policy: InvoicePolicy, newest: list[Row]
    ) -> Invoice | None:
        """The invoice of what an account has on none until the end of a month, issued; None for nothing."""
        # Whatever ran when: an account's first invoice is of all that was before it, too.
        after = _int(newest[0]["last_seq"]) if newest else 0
        if after >= _int(account["entries"]):
            return None
        # What is refunded of earlier invoices is on credit notes, and not on this one.
        await self._notes.issue(str(account["id"]))
        invoice = await self._summed(account, month, policy, after=after)
        if invoice is None:
            return None
        return (await self._ledger.command(IssueInvoice(invoice))).invoice

    async def by_id(self, id_: str) -> Invoice:
        """One invoice. Raises Refusal `not_found`."""
        rows = await self._rows("invoice_by_id", id=id_)
        if not rows:
            raise Refusal("not_found", f"There is no invoice {id_}.")
        return invoice_of_row(rows[0])

    async def page(self, *, account_id: str, before: str | None, limit: int) -> list[InvoiceHead]:
        """Invoices of an account, or of all where that is empty, newest first, without their lines."""
        place = {"cursor": before or "", "limit": limit}
        rows = await self._rows("invoices_page", account_id=account_id, **place)
        return [msgspec.convert(row, InvoiceHead) for row in rows]

    async def accounts(self, period: str, *, after: str, limit: int) -> list[str]:
        """Accounts that may need an invoice of a month, by id, from after one of them on."""
        rows = await self._rows("accounts_to_invoice", period=period, after=after, limit=limit)
        return [str(row["id"]) for row in rows]

    async def _summed(
        self, account: Row, month: Month, policy: InvoicePolicy, *, after: int
    ) -> Invoice | None:
        """The invoice of the entries after a number and before a month's end, read a page at a time."""
        account_id = str(account["id"])
        noted, noted_nano = await self._notes.since(account_id, after), 0
        sums = InvoiceSums(await self._lot_kinds(account_id))
        first: InvoiceEntry | None = None
        last: InvoiceEntry | None = None
        while True:
            place = after if last is None else last.seq
            rows = await self._rows("invoice_entries", account_id=account_id, after=place, limit=PAGE)
            for row in rows:
                entry = msgspec.convert(row, InvoiceEntry)
                if entry.at_us >= month.span.end_us:
                    break
                if entry.seq in noted:
                    noted_nano += noted[entry.seq]
                else:
                    sums.add(entry)
                first, last = first or entry, entry
            else:
                if len(rows) == PAGE:
                    await asyncio.sleep(0)
                    continue
            break
        if first is None or last is None:
            return None
        now_us = self._clock.now_us()
        return Invoice(
            *(account_id, month.period, new_id("inv", now_us)),
            policy.number_of(account_id, month.period, month.part),
            *(first.seq, last.seq, first.worth_after_nano - first.amount_nano),
            *(sums.credits_nano, sums.charges_nano, last.worth_after_nano, last.debt_after_nano, now_us),
            lines=sums.lines(),
            paid=sums.paid(),
            parties=policy.parties_with(str(account["name"])),
            part=month.part,
            noted_nano=noted_nano,
        )

    async def _lot_kinds(self, account_id: str) -> dict[str, str]:
        kinds: dict[str, str] = {}
        after = ""
        while rows := await self._rows("lot_kinds", account_id=account_id, after=after, limit=PAGE):
            kinds.update((str(row["id"]), str(row["kind"])) for row in rows)
            after = str(rows[-1]["id"])
        return kinds

    async def _rows(self, name: str, **params: object) -> list[Row]:
        try:
            return await self._store.query(name, params)
        except LedgerUnavailable:
            raise Refusal("ledger_unavailable", "The ledger cannot be read now.") from None


def month_of(period: str) -> Span:
    """The month of a text such as `2027-03`. Raises Refusal `invalid_value`."""
    try:
        first = datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        message = f"`month` is {period!r}: it has to be a month such as 2027-03."
        raise Refusal("invalid_value", message, param="month") from None
    return period_at("month", int(first.timestamp()) * _SECOND_US)


def past_month(now_us: int) -> str:
    """The month before the one in which an instant lies."""
    return month_name(period_at("month", now_us).start_us - 1)


def day_of_month(now_us: int) -> int:
    """The day of the month of an instant, in UTC."""
    return datetime.fromtimestamp(now_us // _SECOND_US, UTC).day


def invoice_of_row(row: Row) -> Invoice:
    """An invoice as a query reads it."""
    decoded = {name: msgspec.json.decode(cast("str", row[name])) for name in ("lines", "paid", "parties")}
    return msgspec.convert({**row, **decoded}, Invoice)


def month_name(at_us: int) -> str:
    """The month in which an instant lies, such as `2027-03`."""
    return datetime.fromtimestamp(at_us // _SECOND_US, UTC).strftime("%Y-%m")


def _int(value: Any) -> int:
    return int(value)
