"""Redeeming vouchers: the billing API's one operation that puts money in."""

from typing import Annotated, Final

from aiohttp import web
from msgspec import Struct

from proxy.api.admin.vouchers import digest_of_code
from proxy.api.operations import BILLING, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.patience import Patience
from proxy.api.views.books import entry_view
from proxy.api.views.money import display, expiry
from proxy.api.views.vouchers import RedemptionView
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import Grant
from proxy.ledger.rows import NEVER_US, Claim, Key, Voucher
from proxy.ledger.vouchers import ClaimVoucher
from proxy.ledger.windows import DAY_US
from proxy.money import usd_string
from proxy.validation import wants

GRANT_PREFIX: Final = "voucher:"
"""What the ids of the commands begin with that grant what vouchers put in."""
GUESSES: Final = 10
"""How many codes that there are not an account may try within a minute, at each process."""

Code = Annotated[str, wants("a voucher's code", min_length=1, max_length=100)]


class Redeem(Struct, frozen=True, forbid_unknown_fields=True):
    """The code of the voucher to redeem."""

    code: Code


REDEEM: Final = Operation(
    id="billing_redeem_voucher",
    method="POST",
    path=f"{BILLING}/vouchers/redeem",
    summary="Redeem a voucher's code: its credit is there at once. An account redeems each voucher once.",
    audience="account",
    reply=RedemptionView,
    query=Nothing,
    body=Redeem,
    status=201,
)

OPERATIONS: Final = (REDEEM,)


class Redemptions:
    """Redeems vouchers: a claim first, then the grant that follows from it.

    After a crash in between the account redeems the code again, and gets what it has claimed. A refusal tells
    apart what is wrong with a voucher: who knows its code has been given it.
    """

    def __init__(self, *, ledger: Commands, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._guesses = Patience(GUESSES, "Too many codes that there are not.")

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(REDEEM, self.redeem)]

    async def redeem(self, incoming: Incoming[Key, Nothing, Redeem]) -> RedemptionView:
        """Redeem a code. Raises Refusal `voucher_unknown` and its kin, and `rate_limit_exceeded`."""
        account_id, unit, now_us = incoming.caller.account_id, incoming.settings.unit, self._clock.now_us()
        voucher, claim = await self._claimed(account_id, incoming.body.code, now_us)
        command = grant_of(voucher, claim, new_id("lot", now_us), now_us)
        done = await self._ledger.command(command)
        if done.replayed:
            raise Refusal("voucher_redeemed", "This account has redeemed the voucher before.")
        assert done.account is not None
        assert done.entry is not None
        return RedemptionView(
            voucher_id=voucher.id,
            kind=voucher.kind,
            amount=usd_string(voucher.amount_nano),
            expires_at=expiry(command.expires_at_us),
            available=usd_string(done.account.available_nano),
            entry=entry_view(done.entry, unit),
            display=display(unit, amount=voucher.amount_nano, available=done.account.available_nano),
        )

    async def _claimed(self, account_id: str, code: str, now_us: int) -> tuple[Voucher, Claim]:
        self._guesses.expect(account_id, now_us)
        try:
            done = await self._ledger.command(ClaimVoucher(digest_of_code(code), account_id, now_us))
        except Refusal as refusal:
            if refusal.code == "voucher_unknown":
                self._guesses.note(account_id, now_us)
            raise
        assert done.voucher is not None
        assert done.claim is not None
        return done.voucher, done.claim


def grant_of(voucher: Voucher, claim: Claim, lot_id: str, at_us: int) -> Grant:
    """The command that grants what was claimed: the same one whenever it is given."""
    expires_at_us = claim.at_us + voucher.days * DAY_US if voucher.days else NEVER_US
    return Grant(
        *(claim.account_id, GRANT_PREFIX + voucher.id, lot_id, voucher.amount_nano, at_us),
        kind=voucher.kind,
        expires_at_us=expires_at_us,
        note=voucher.label,
    )
