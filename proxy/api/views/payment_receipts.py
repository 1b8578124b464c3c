"""The receipts of top-ups and fees: what was paid, and what that has bought."""

from typing import Literal

from msgspec import Struct

from proxy.api.views.invoices import SellerView
from proxy.api.views.money import Usd, When, instant
from proxy.api.views.sheets import Sheet
from proxy.billing.offers import NANO_PER_CENT
from proxy.errors import Refusal
from proxy.ledger.invoices import InvoicePolicy
from proxy.ledger.rows import Account, Entry
from proxy.ledger.top_up_rows import TopUp
from proxy.money import usd_string


class PaymentReceiptView(Struct, frozen=True, kw_only=True):
    """That `price` was paid, of which `fee` bought nothing: it bought `amount`, and `bonus` came with it."""

    object: Literal["payment_receipt"] = "payment_receipt"
    number: str
    top_up_id: str
    account_id: str
    account_name: str
    seller: SellerView
    paid_at: When
    provider: str
    reference: str | None
    currency: Literal["usd"] = "usd"
    price: Usd
    fee: Usd
    amount: Usd
    bonus: Usd
    refunded: Usd


def payment_receipt(top_up: TopUp, account: Account, policy: InvoicePolicy | None) -> PaymentReceiptView:
    """The receipt. Raises Refusal `conflict` for a top-up that has not been paid."""
    if top_up.state != "succeeded":
        raise Refusal(
            "conflict", f"The top-up {top_up.id} is {top_up.state}: there is a receipt once it is paid."
        )
    return PaymentReceiptView(
        number=f"RCPT-{top_up.id}",
        top_up_id=top_up.id,
        account_id=account.id,
        account_name=account.name,
        seller=_seller(policy),
        paid_at=instant(top_up.closed_at_us),
        provider=top_up.provider,
        reference=top_up.reference or None,
        price=usd_string(top_up.price_cents * NANO_PER_CENT),
        fee=usd_string(top_up.fee_cents * NANO_PER_CENT),
        amount=usd_string(top_up.credit_nano),
        bonus=usd_string(top_up.bonus_nano),
        refunded=usd_string(top_up.refunded_cents * NANO_PER_CENT),
    )


def payment_sheet(receipt: PaymentReceiptView) -> Sheet:
    """The paper of a receipt."""
    seller = receipt.seller
    return Sheet(
        f"Receipt {receipt.number}",
        (seller.name, *seller.address, seller.tax_id or ""),
        (
            ("Paid", receipt.paid_at),
            ("Account", f"{receipt.account_name} ({receipt.account_id})"),
            ("Paid by", " ".join(text for text in (receipt.provider, receipt.reference) if text)),
        ),
        ("Item", "Amount (USD)"),
        [("Credit", receipt.amount), ("Bonus", receipt.bonus), ("Fee", receipt.fee)],
        [("Paid", receipt.price), ("Paid back", receipt.refunded)],
    )


class FeeReceiptView(Struct, frozen=True, kw_only=True):
    """That a fee of `amount` was paid: `reason` says for what, `entry` is the number of its entry."""

    object: Literal["fee_receipt"] = "fee_receipt"
    number: str
    entry: int
    account_id: str
    account_name: str
    seller: SellerView
    paid_at: When
    currency: Literal["usd"] = "usd"
    amount: Usd
    reason: str


def fee_receipt(entry: Entry, account: Account, policy: InvoicePolicy | None) -> FeeReceiptView:
    """The receipt of a fee."""
    return FeeReceiptView(
        number=f"RCPT-{account.id}-{entry.seq}",
        entry=entry.seq,
        account_id=account.id,
        account_name=account.name,
        seller=_seller(policy),
        paid_at=instant(entry.at_us),
        amount=usd_string(-entry.amount_nano),
        reason=entry.note,
    )


def fee_sheet(receipt: FeeReceiptView) -> Sheet:
    """The paper of the receipt of a fee."""
    seller = receipt.seller
    return Sheet(
        f"Receipt {receipt.number}",
        (seller.name, *seller.address, seller.tax_id or ""),
        (("Paid", receipt.paid_at), ("Account", f"{receipt.account_name} ({receipt.account_id})")),
        ("Item", "Amount (USD)"),
        [(f"Plan: {receipt.reason}", receipt.amount)],
        [("Paid", receipt.amount)],
    )


def _seller(policy: InvoicePolicy | None) -> SellerView:
    seller = policy or InvoicePolicy()
    return SellerView(name=seller.seller, address=list(seller.address), tax_id=seller.tax_id or None)
