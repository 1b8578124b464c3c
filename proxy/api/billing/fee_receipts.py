"""The receipts of fees: what a plan took for a month."""

from typing import Final

from aiohttp import web

from proxy.api.operations import BILLING, Binder, Document, Incoming, Nothing, Operation
from proxy.api.paging import LAST_NUMBER
from proxy.api.papers import PaperQuery, format_of, paper
from proxy.api.reader import Reader
from proxy.api.views.payment_receipts import FeeReceiptView, fee_receipt, fee_sheet
from proxy.errors import Refusal
from proxy.ledger.rows import Entry, Key

RECEIPT: Final = Operation(
    id="billing_fee_receipt",
    method="GET",
    path=f"{BILLING}/entries/{{seq}}/receipt",
    summary="The receipt of a fee, by the number of its entry: as JSON, HTML or PDF.",
    audience="account",
    reply=FeeReceiptView,
    query=PaperQuery,
    body=Nothing,
)

OPERATIONS: Final = (RECEIPT,)


class FeeReceipts:
    """Shows an account the receipts of its fees."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(RECEIPT, self.receipt)]

    async def receipt(self, incoming: Incoming[Key, PaperQuery, Nothing]) -> FeeReceiptView | Document:
        """The receipt of a fee. Raises Refusal `not_found` for an entry that there is not, or is no fee."""
        account = await self._reader.account(incoming.caller.account_id)
        entry = await self._fee(account.id, incoming.path["seq"])
        view = fee_receipt(entry, account, incoming.settings.invoices)
        form = format_of(incoming.query.format, incoming.accept)
        return await paper(form, f"receipt-{entry.seq}", lambda: view, lambda: fee_sheet(view))

    async def _fee(self, account_id: str, text: str) -> Entry:
        # A number of more digits is that of no entry, and no engine takes it.
        seq = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(LAST_NUMBER)) - 1 else 0
        found = await self._reader.entries(account_id, before=seq + 1, limit=1) if seq else []
        if not found or found[0].seq != seq or found[0].kind != "fee":
            raise Refusal("not_found", f"There is no fee {text[:40]}.")
        return found[0]
