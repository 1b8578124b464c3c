"""Makes invoices: what the entries of an account came to since the one before, up to the end of a month.

An invoice takes all entries that are there when it is made, up to the first one after its month: what is
settled later goes into the next one, whatever time it says, so that each entry is on one invoice.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

import msgspec

from proxy.billing.invoice_lines import InvoiceEntry, InvoiceSums
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Command, Done
from proxy.ledger.invoice_rows import Invoice, InvoiceHead, Parties
from proxy.ledger.invoices import InvoicePolicy, IssueInvoice
from proxy.ledger.periods import Span, period_at
from proxy.ledger.store import LedgerUnavailable, Row, Store

PAGE: Final = 500
"""How many entries, or lots, one read takes. The commands of calls come in between."""
_SECOND_US: Final = 1_000_000


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
        # Whatever ran when: an account's first invoice is of all that was before it, too.
        after = _int(newest[0]["last_seq"]) if newest else 0
        if after >= _int(rows[0]["entries"]):
            return None
        name = str(rows[0]["name"])
        invoice = await self._summed(account_id, name, period, policy, after=after, end_us=span.end_us)
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
        self, account_id: str, name: str, period: str, policy: InvoicePolicy, *, after: int, end_us: int
    ) -> Invoice | None:
        """The invoice of the entries after a number and before an instant, read a page at a time."""
        sums = InvoiceSums(await self._lot_kinds(account_id))
        first: InvoiceEntry | None = None
        last: InvoiceEntry | None = None
        while True:
            place = after if last is None else last.seq
            rows = await self._rows("invoice_entries", account_id=account_id, after=place, limit=PAGE)
            for row in rows:
                entry = msgspec.convert(row, InvoiceEntry)
                if entry.at_us >= end_us:
                    break
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
            *(account_id, period, new_id("inv", now_us), policy.number_of(account_id, period)),
            *(first.seq, last.seq, first.worth_after_nano - first.amount_nano),
            *(sums.credits_nano, sums.charges_nano, last.worth_after_nano, last.debt_after_nano, now_us),
            lines=sums.lines(),
            paid=sums.paid(),
            parties=Parties(name, policy.seller, policy.address, policy.tax_id),
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
    return _month_name(period_at("month", now_us).start_us - 1)


def day_of_month(now_us: int) -> int:
    """The day of the month of an instant, in UTC."""
    return datetime.fromtimestamp(now_us // _SECOND_US, UTC).day


def invoice_of_row(row: Row) -> Invoice:
    """An invoice as a query reads it."""
    decoded = {name: msgspec.json.decode(cast("str", row[name])) for name in ("lines", "paid", "parties")}
    return msgspec.convert({**row, **decoded}, Invoice)


def _month_name(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // _SECOND_US, UTC).strftime("%Y-%m")


def _int(value: Any) -> int:
    return int(value)
