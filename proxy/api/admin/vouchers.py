"""The admin API's vouchers: codes that put credit in, which are shown once."""

import secrets
from typing import Annotated, Final

from aiohttp import web

from proxy.api.admin.bodies import Amount, Fields, Instant, Kind, amount_nano, future_us
from proxy.api.operations import ADMIN, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.views.vouchers import NewVoucherView, VoucherView, voucher_view
from proxy.clock import Clock
from proxy.ids import ALPHABET, digest_of, new_id
from proxy.ledger.rows import Voucher
from proxy.ledger.vouchers import MakeVoucher
from proxy.validation import wants

Prefix = Annotated[str, wants("up to 20 letters and digits", pattern=r"^[A-Za-z0-9]{0,20}$")]
Label = Annotated[str, wants("at most 200 characters of one line", pattern=r"^[^\x00-\x1f\x7f]{0,200}$")]
Uses = Annotated[int, wants("a whole number from 1 to 1000000000", ge=1, le=10**9)]
Days = Annotated[int, wants("a whole number from 1 to 36500", ge=1, le=36_500)]

GROUPS: Final = 5
GROUP_CHARACTERS: Final = 4
"""A code is of 20 characters of five random bits each: nobody guesses one of 100 bits."""


class NewVoucher(Fields, frozen=True):
    """A voucher to make. `days` is how long its credit lasts once it is redeemed; null is for ever."""

    amount: Amount
    kind: Kind = "voucher"
    uses: Uses = 1
    expires_at: Instant | None = None
    days: Days | None = None
    prefix: Prefix = ""
    label: Label = ""


CREATE_VOUCHER: Final = Operation(
    id="create_voucher",
    method="POST",
    path=f"{ADMIN}/vouchers",
    summary="Make a voucher. Its code is in this answer and never again.",
    audience="admin",
    reply=NewVoucherView,
    query=Nothing,
    body=NewVoucher,
    status=201,
)
LIST_VOUCHERS: Final = Operation(
    id="list_vouchers",
    method="GET",
    path=f"{ADMIN}/vouchers",
    summary="List vouchers without their codes, the newest first.",
    audience="admin",
    reply=Page[VoucherView],
    query=PageQuery,
    body=Nothing,
)

OPERATIONS: Final = (CREATE_VOUCHER, LIST_VOUCHERS)


class Vouchers:
    """Makes and lists vouchers."""

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(CREATE_VOUCHER, self.create_voucher), bind(LIST_VOUCHERS, self.list_vouchers)]

    async def create_voucher(self, incoming: Incoming[None, Nothing, NewVoucher]) -> NewVoucherView:
        """Make a voucher. Raises Refusal `invalid_value`."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        code = new_code(body.prefix)
        voucher = Voucher(
            digest_of_code(code),
            new_id("vch", now_us),
            body.label,
            body.kind,
            amount_nano("amount", body.amount, unit, least_nano=1),
            body.uses,
            body.days or 0,
            now_us,
            future_us("expires_at", body.expires_at, now_us),
        )
        await self._ledger.command(MakeVoucher(voucher))
        seen = voucher_view(voucher, unit)
        return NewVoucherView(
            code=code, **{name: getattr(seen, name) for name in VoucherView.__struct_fields__}
        )

    async def list_vouchers(self, incoming: Incoming[None, PageQuery, Nothing]) -> Page[VoucherView]:
        """A page of vouchers."""
        query, unit = incoming.query, incoming.settings.unit
        rows = await self._reader.vouchers(before=place_of(query, str), limit=query.limit + 1)
        return page_of(rows, query.limit, lambda row: voucher_view(row, unit), lambda row: row.id)


def new_code(prefix: str) -> str:
    """A new code, behind a prefix if there is one: `WELCOME-7k3m-...`."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_CHARACTERS)) for _ in range(GROUPS))
    return "-".join([*([prefix] if prefix else []), *groups])


def digest_of_code(code: str) -> str:
    """The digest by which a code is known, whatever case it is typed in, and with what blanks around it."""
    return digest_of(code.strip().lower())
