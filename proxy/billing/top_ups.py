"""Top-ups: opened for an offer, then credited, closed or taken back, whoever it is that says so."""

import hashlib
from typing import Final, Literal, Protocol

from proxy.billing.offers import NANO_PER_CENT, Offer, Payments
from proxy.billing.providers import Checkout, Providers
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ids import ALPHABET, new_id
from proxy.ledger.commands import Command, Done
from proxy.ledger.rows import OnShortfall
from proxy.ledger.top_up_rows import AutoTopUp, TopUp, TopUpOrigin
from proxy.ledger.top_ups import (
    ConfirmTopUp,
    FailTopUp,
    NoteTopUp,
    OpenTopUp,
    RefundTopUp,
    ReverseTopUp,
    SaveMethod,
)
from proxy.ledger.windows import DAY_US
from proxy.money import usd_string

MOST_PENDING: Final = 10
"""An account may have so many top-ups that are not paid yet."""
ID_CHARACTERS: Final = 26
CHARGE_US: Final = DAY_US - DAY_US // 24
"""For how long a charge is tried. Providers may forget after a day which ones they were asked for before."""


class Commands(Protocol):
    """The ledger as top-ups use it."""

    async def command(self, command: Command) -> Done:
        """Carry out a command. Raises Refusal if it is refused or the ledger is down."""
        ...


class TopUps:
    """Carries out what happens to top-ups. Methods raise Refusal as the ledger does."""

    def __init__(self, *, ledger: Commands, clock: Clock, providers: Providers) -> None:
        self._ledger = ledger
        self._clock = clock
        self._providers = providers

    async def open(
        self,
        account_id: str,
        key: str,
        offer: Offer,
        payments: Payments,
        *,
        origin: TopUpOrigin = "request",
        saves_method: bool = False,
    ) -> tuple[TopUp, bool]:
        """Open a top-up, once for a key of the caller's; also whether it was opened before."""
        top_up = offer.top_up(
            account_id, id_of(account_id, key), payments=payments, at_us=self._clock.now_us(), origin=origin
        )
        done = await self._ledger.command(OpenTopUp(account_id, top_up, MOST_PENDING, offer.group))
        return await self._begun(_top_up(done), payments, saves_method=saves_method), done.replayed

    async def reopen(
        self, top_up: TopUp, payments: Payments | None, *, saves_method: bool = False
    ) -> tuple[TopUp, bool]:
        """A top-up that was opened before, whatever is sold by now."""
        if payments is not None and payments.provider == top_up.provider:
            top_up = await self._begun(top_up, payments, saves_method=saves_method)
        return top_up, True

    def charges(self, payments: Payments) -> bool:
        """Whether the provider charges automatic top-ups, and nobody pays them by hand."""
        return self._providers.of(payments).saves_methods

    async def charge(self, top_up: TopUp, auto: AutoTopUp, payments: Payments) -> TopUp:
        """Have an automatic top-up charged. One that is declined is closed; the provider's notice credits it.

        Nothing happens twice: the provider knows the charge by the top-up's id. It is closed as well where it
        was switched off meanwhile, or could not be charged for long.
        """
        provider = self._providers.of(payments)
        if provider.saves_methods and (why := _against(top_up, auto, self._clock.now_us())):
            return await self.close(top_up, "failed", why)
        charged = await provider.charge(top_up, auto.customer, auto.method)
        if charged.declined:
            return await self.close(top_up, "failed", f"The payment was declined: {charged.declined}.")
        return await self._note(top_up, Checkout(charged.reference)) if charged.reference else top_up

    async def save_method(self, account_id: str, customer: str, method: str) -> None:
        """Save the means by which automatic top-ups are paid."""
        await self._ledger.command(SaveMethod(account_id, self._clock.now_us(), customer, method))

    async def confirm(self, top_up: TopUp, reference: str, paid_cents: int) -> tuple[TopUp, bool]:
        """Credit a top-up that was paid; also whether it had been credited before."""
        now_us = self._clock.now_us()
        # What was bought is drawn before what came with it.
        lots = sorted((new_id("lot", now_us), new_id("lot", now_us)))
        done = await self._ledger.command(
            ConfirmTopUp(top_up.account_id, top_up.id, now_us, top_up.provider, reference, paid_cents, *lots)
        )
        return _top_up(done), done.replayed

    async def fail(self, top_up: TopUp, reason: str) -> TopUp:
        """Close a top-up that was not paid."""
        return await self.close(top_up, "failed", reason)

    async def close(self, top_up: TopUp, state: Literal["failed", "expired"], reason: str) -> TopUp:
        """Close a top-up, as its provider says."""
        command = FailTopUp(top_up.account_id, top_up.id, self._clock.now_us(), state, reason)
        return _top_up(await self._ledger.command(command))

    async def refund(
        self, top_up: TopUp, key: str, amount_nano: int, reason: str, payments: Payments | None
    ) -> tuple[TopUp, bool]:
        """Take back what so much of the price has bought, once for a key; also whether it was before.

        The provider pays it back then. If it cannot, the same key tries again for less than a day: after that
        the provider no longer knows it, and would pay twice.
        """
        now_us, cents = self._clock.now_us(), cents_of(amount_nano)
        done = await self._ledger.command(
            RefundTopUp(top_up.account_id, top_up.id, now_us, key, cents, reason)
        )
        taken_us = done.entry.at_us if done.entry is not None else now_us
        is_known = now_us < taken_us + CHARGE_US
        if payments is not None and payments.provider == top_up.provider and is_known:
            await self._providers.of(payments).pay_back(top_up, cents, key)
        return _top_up(done), done.replayed

    async def reverse(
        self, top_up: TopUp, refunded_cents: int, disputed_cents: int, reason: str, on_used: OnShortfall
    ) -> TopUp:
        """Take back the credit of what the provider has paid back or lost in all."""
        ids = (top_up.account_id, top_up.id, self._clock.now_us())
        command = ReverseTopUp(*ids, refunded_cents, disputed_cents, reason, on_used)
        return _top_up(await self._ledger.command(command))

    async def _begun(self, top_up: TopUp, payments: Payments, *, saves_method: bool) -> TopUp:
        if top_up.state != "pending" or top_up.reference or top_up.origin != "request":
            return top_up
        # After a crash in between, whoever opens it again gets what the provider has made for it.
        checkout = await self._providers.of(payments).begin(
            top_up, saves_method=saves_method, means=payments.means_of(top_up.method)
        )
        return await self._note(top_up, checkout) if checkout.reference else top_up

    async def _note(self, top_up: TopUp, checkout: Checkout) -> TopUp:
        ids = (top_up.account_id, top_up.id, self._clock.now_us(), top_up.provider)
        return _top_up(await self._ledger.command(NoteTopUp(*ids, checkout.reference, checkout.url)))


def id_of(account_id: str, key: str) -> str:
    """The id of the top-up that an account has asked for under a key, which nobody else's leads to."""
    digest = hashlib.sha256(f"{account_id}\n{key}".encode()).digest()
    return "topup_" + "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:ID_CHARACTERS])


def _against(top_up: TopUp, auto: AutoTopUp, now_us: int) -> str:
    """Why the saved means must not be charged for an automatic top-up; empty where they may be."""
    if auto.state != "on":
        return "It was switched off."
    if not auto.method:
        return "No means of payment was saved."
    return "" if now_us < top_up.created_at_us + CHARGE_US else "It could not be charged in time."


def cents_of(amount_nano: int) -> int:
    """An amount of money that is paid, in whole cents. Raises Refusal `invalid_value` for any other."""
    cents, rest = divmod(amount_nano, NANO_PER_CENT)
    if rest:
        message = f"Money is paid in whole cents, unlike {usd_string(amount_nano)} USD."
        raise Refusal("invalid_value", message, param="amount")
    return cents


def _top_up(done: Done) -> TopUp:
    assert done.top_up is not None
    return done.top_up
