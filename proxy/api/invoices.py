"""Invoices: an account reads its own, the admin reads and makes those of all."""

from typing import Annotated, Final, Literal

from aiohttp import web
from msgspec import Struct

from proxy.api.csv_export import Csv
from proxy.api.operations import ADMIN, BILLING, Binder, Document, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.papers import Format, format_of, paper
from proxy.api.views.invoice_sheets import invoice_sheet
from proxy.api.views.invoices import (
    InvoiceSummary,
    InvoiceView,
    file_name,
    invoice_summary,
    invoice_table,
    invoice_view,
)
from proxy.billing.invoices import Invoices, month_of
from proxy.errors import Refusal
from proxy.ledger.invoice_rows import Invoice
from proxy.ledger.rows import Key
from proxy.money import Unit
from proxy.validation import wants

AT_ONCE: Final = 20
"""For how many accounts one request makes invoices."""

Month = Annotated[str, wants("a month such as 2027-03", pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
AccountId = Annotated[str, wants("the id of an account", max_length=100)]


class InvoiceQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """In which form an invoice is asked for; without it, as `Accept` says."""

    format: Format | None = None


class AccountInvoicesQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of invoices."""

    account_id: str | None = None


class NewInvoices(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The month to make invoices of: for one account, or for the next of all that come after another."""

    month: Month
    account_id: AccountId | None = None
    after: AccountId = ""


class InvoicesMade(Struct, frozen=True, kw_only=True):
    """The invoices that were made; that of one account also if it was there. `next_after` goes on."""

    object: Literal["list"] = "list"
    data: list[InvoiceSummary]
    next_after: str | None


_LIST: Final = "List invoices without their lines, the newest first."
_SHOW: Final = "One invoice as it was issued: as JSON, CSV, HTML or PDF, by `format` or `Accept`."
INVOICES: Final = Operation(
    id="billing_invoices",
    method="GET",
    path=f"{BILLING}/invoices",
    summary=_LIST,
    audience="account",
    reply=Page[InvoiceSummary],
    query=PageQuery,
    body=Nothing,
)
INVOICE: Final = Operation(
    id="billing_invoice",
    method="GET",
    path=f"{BILLING}/invoices/{{invoice_id}}",
    summary=_SHOW,
    audience="account",
    reply=InvoiceView,
    query=InvoiceQuery,
    body=Nothing,
    table=True,
)
LIST_INVOICES: Final = Operation(
    id="list_invoices",
    method="GET",
    path=f"{ADMIN}/invoices",
    summary=_LIST,
    audience="admin",
    reply=Page[InvoiceSummary],
    query=AccountInvoicesQuery,
    body=Nothing,
)
SHOW_INVOICE: Final = Operation(
    id="show_invoice",
    method="GET",
    path=f"{ADMIN}/invoices/{{invoice_id}}",
    summary=_SHOW,
    audience="admin",
    reply=InvoiceView,
    query=InvoiceQuery,
    body=Nothing,
    table=True,
)
MAKE_INVOICES: Final = Operation(
    id="make_invoices",
    method="POST",
    path=f"{ADMIN}/invoices",
    summary="Make the invoices of a month that has ended, where they are not there yet.",
    audience="admin",
    reply=InvoicesMade,
    query=Nothing,
    body=NewInvoices,
)

OF_ACCOUNTS: Final = (INVOICES, INVOICE)
OF_ADMIN: Final = (LIST_INVOICES, SHOW_INVOICE, MAKE_INVOICES)


class OwnInvoices:
    """Shows an account its invoices."""

    def __init__(self, invoices: Invoices) -> None:
        self._invoices = invoices

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(INVOICES, self.page), bind(INVOICE, self.show)]

    async def page(self, incoming: Incoming[Key, PageQuery, Nothing]) -> Page[InvoiceSummary]:
        """A page of the account's invoices."""
        account_id = incoming.caller.account_id
        return await _page(self._invoices, incoming.query, account_id, incoming.settings.unit)

    async def show(self, incoming: Incoming[Key, InvoiceQuery, Nothing]) -> InvoiceView | Csv | Document:
        """One invoice. Raises Refusal `not_found`, also for another account's, which must not show."""
        id_ = incoming.path["invoice_id"]
        invoice = await self._invoices.by_id(id_)
        if invoice.account_id != incoming.caller.account_id:
            raise Refusal("not_found", f"There is no invoice {id_}.")
        return await _shown(invoice, incoming.query, incoming.accept, incoming.settings.unit)


class AllInvoices:
    """Makes and shows the invoices of all accounts."""

    def __init__(self, invoices: Invoices) -> None:
        self._invoices = invoices

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(LIST_INVOICES, self.page),
            bind(SHOW_INVOICE, self.show),
            bind(MAKE_INVOICES, self.make),
        ]

    async def page(self, incoming: Incoming[None, AccountInvoicesQuery, Nothing]) -> Page[InvoiceSummary]:
        """A page of invoices."""
        account_id = incoming.query.account_id or ""
        return await _page(self._invoices, incoming.query, account_id, incoming.settings.unit)

    async def show(self, incoming: Incoming[None, InvoiceQuery, Nothing]) -> InvoiceView | Csv | Document:
        """One invoice. Raises Refusal `not_found`."""
        invoice = await self._invoices.by_id(incoming.path["invoice_id"])
        return await _shown(invoice, incoming.query, incoming.accept, incoming.settings.unit)

    async def make(self, incoming: Incoming[None, Nothing, NewInvoices]) -> InvoicesMade:
        """Make invoices. Raises Refusal as `Invoices.make`."""
        body = incoming.body
        month_of(body.month)
        accounts = [body.account_id] if body.account_id else []
        if not accounts:
            accounts = await self._invoices.accounts(body.month, after=body.after, limit=AT_ONCE)
        made = [await self._invoices.make(account_id, body.month) for account_id in accounts]
        is_all = body.account_id is not None or len(accounts) < AT_ONCE
        unit = incoming.settings.unit
        return InvoicesMade(
            data=[invoice_summary(invoice, unit) for invoice in made if invoice is not None],
            next_after=None if is_all else accounts[-1],
        )


async def _page(invoices: Invoices, query: PageQuery, account_id: str, unit: Unit) -> Page[InvoiceSummary]:
    before = place_of(query, str)
    rows = await invoices.page(account_id=account_id, before=before, limit=query.limit + 1)
    return page_of(rows, query.limit, lambda row: invoice_summary(row, unit), lambda row: row.id)


async def _shown(
    invoice: Invoice, query: InvoiceQuery, accept: str, unit: Unit
) -> InvoiceView | Csv | Document:
    form = format_of(query.format, accept)
    if form == "csv":
        return invoice_table(invoice)
    name = file_name(invoice)
    return await paper(
        *(form, name, lambda: invoice_view(invoice, unit), lambda: invoice_sheet(invoice)),
        rows=len(invoice.lines),
    )
