"""Credit notes: an account reads its own, the admin those of all."""

from typing import Final

from aiohttp import web

from proxy.api.csv_export import Csv
from proxy.api.invoices import AccountInvoicesQuery, InvoiceQuery
from proxy.api.operations import ADMIN, BILLING, Binder, Document, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.papers import format_of, paper
from proxy.api.views.credit_notes import (
    CreditNoteView,
    credit_note_sheet,
    credit_note_table,
    credit_note_view,
)
from proxy.billing.credit_notes import CreditNotes
from proxy.errors import Refusal
from proxy.ledger.invoice_rows import CreditNote
from proxy.ledger.rows import Key
from proxy.money import Unit

_LIST: Final = "List credit notes, the newest first."
_SHOW: Final = "One credit note as it was issued: as JSON, CSV, HTML or PDF, by `format` or `Accept`."
NOTES: Final = Operation(
    id="billing_credit_notes",
    method="GET",
    path=f"{BILLING}/credit_notes",
    summary=_LIST,
    audience="account",
    reply=Page[CreditNoteView],
    query=PageQuery,
    body=Nothing,
)
NOTE: Final = Operation(
    id="billing_credit_note",
    method="GET",
    path=f"{BILLING}/credit_notes/{{credit_note_id}}",
    summary=_SHOW,
    audience="account",
    reply=CreditNoteView,
    query=InvoiceQuery,
    body=Nothing,
    table=True,
)
LIST_NOTES: Final = Operation(
    id="list_credit_notes",
    method="GET",
    path=f"{ADMIN}/credit_notes",
    summary=_LIST,
    audience="admin",
    reply=Page[CreditNoteView],
    query=AccountInvoicesQuery,
    body=Nothing,
)
SHOW_NOTE: Final = Operation(
    id="show_credit_note",
    method="GET",
    path=f"{ADMIN}/credit_notes/{{credit_note_id}}",
    summary=_SHOW,
    audience="admin",
    reply=CreditNoteView,
    query=InvoiceQuery,
    body=Nothing,
    table=True,
)

OF_ACCOUNTS: Final = (NOTES, NOTE)
OF_ADMIN: Final = (LIST_NOTES, SHOW_NOTE)


class OwnCreditNotes:
    """Shows an account its credit notes."""

    def __init__(self, notes: CreditNotes) -> None:
        self._notes = notes

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(NOTES, self.page), bind(NOTE, self.show)]

    async def page(self, incoming: Incoming[Key, PageQuery, Nothing]) -> Page[CreditNoteView]:
        """A page of the account's credit notes."""
        account_id, unit = incoming.caller.account_id, incoming.settings.unit
        return await _page(self._notes, incoming.query, account_id, unit)

    async def show(self, incoming: Incoming[Key, InvoiceQuery, Nothing]) -> CreditNoteView | Csv | Document:
        """One credit note. Raises Refusal `not_found`, also for another account's, which must not show."""
        id_ = incoming.path["credit_note_id"]
        note = await self._notes.by_id(id_)
        if note.account_id != incoming.caller.account_id:
            raise Refusal("not_found", f"There is no credit note {id_}.")
        return await _shown(note, incoming.query, incoming.accept, incoming.settings.unit)


class AllCreditNotes:
    """Shows the credit notes of all accounts."""

    def __init__(self, notes: CreditNotes) -> None:
        self._notes = notes

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(LIST_NOTES, self.page), bind(SHOW_NOTE, self.show)]

    async def page(self, incoming: Incoming[None, AccountInvoicesQuery, Nothing]) -> Page[CreditNoteView]:
        """A page of credit notes."""
        account_id, unit = incoming.query.account_id or "", incoming.settings.unit
        return await _page(self._notes, incoming.query, account_id, unit)

    async def show(self, incoming: Incoming[None, InvoiceQuery, Nothing]) -> CreditNoteView | Csv | Document:
        """One credit note. Raises Refusal `not_found`."""
        note = await self._notes.by_id(incoming.path["credit_note_id"])
        return await _shown(note, incoming.query, incoming.accept, incoming.settings.unit)


async def _page(notes: CreditNotes, query: PageQuery, account_id: str, unit: Unit) -> Page[CreditNoteView]:
    before = place_of(query, str)
    rows = await notes.page(account_id=account_id, before=before, limit=query.limit + 1)
    return page_of(rows, query.limit, lambda row: credit_note_view(row, unit), lambda row: row.id)


async def _shown(
    note: CreditNote, query: InvoiceQuery, accept: str, unit: Unit
) -> CreditNoteView | Csv | Document:
    form = format_of(query.format, accept)
    if form == "csv":
        return credit_note_table(note)
    name = f"credit-note-{note.serial}"
    return await paper(form, name, lambda: credit_note_view(note, unit), lambda: credit_note_sheet(note))
