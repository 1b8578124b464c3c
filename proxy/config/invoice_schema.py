"""The schema of invoices: who issues them, and when."""

from typing import Annotated

from msgspec import Meta, field

from proxy.config.values import Money, Schema, Text, doc


class SellerSchema(Schema, frozen=True, kw_only=True):
    """Who issues invoices."""

    name: Annotated[Text, doc("The name of the company.")]
    address: Annotated[list[Text], doc("Its address, a line each.")] = field(default_factory=list)
    tax_id: Annotated[str, doc("Its tax number, such as one for VAT.")] = ""


class InvoicesSchema(Schema, frozen=True, kw_only=True):
    """Monthly invoices; without it none are made."""

    seller: SellerSchema
    number: Annotated[Text, doc("How they are numbered; {year}, {month} and {account} stand for these.")] = (
        "INV-{year}{month}-{account}"
    )
    day: Annotated[
        Annotated[int, Meta(ge=1, le=28)],
        doc("The day of the month on which those of the month before are made, at 00:00 UTC."),
    ] = 1
    credit_note_number: Annotated[
        Text,
        doc("How credit notes are numbered: {account}, and {serial}, which counts those of the account."),
    ] = "CN-{account}-{serial}"
    threshold: Annotated[
        Money | None,
        doc("The usage that is on no invoice at which accounts with a credit limit get one early."),
    ] = None
