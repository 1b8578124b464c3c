"""Payments as providers tell of them: each is credited, closed or taken back, however often it is told of."""

from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from proxy.billing.notices import Lost, Meaning, Paid, Unpaid
from proxy.billing.offers import Payments
from proxy.billing.top_ups import TopUps
from proxy.errors import Refusal
from proxy.ledger.store import LedgerUnavailable, Row, Store
from proxy.ledger.top_up_rows import TopUp

CURRENCY: Final = "usd"


class Notices:
    """Does what notices mean. What is told twice, late or in any order comes to the same.

    A payment that is not what was asked for credits nothing: `log` says so, as only the operator can mend it.
    """

    def __init__(self, *, top_ups: TopUps, store: Store, payments: Callable[[], Payments | None]) -> None:
        self._top_ups = top_ups
        self._store = store
        self._payments = payments
        self._log = structlog.get_logger("farebox.payments")

    async def take(self, provider: str, meaning: Meaning) -> bool:
        """Do what a notice means, and tell whether it meant anything here.

        Raises Refusal `ledger_unavailable`, and `conflict` for what has to be told again later.
        """
        match meaning:
            case Paid():
                return await self._paid(provider, meaning)
            case Unpaid():
                return await self._unpaid(provider, meaning)
            case Lost():
                return await self._lost(provider, meaning)
        return False

    async def _paid(self, provider: str, paid: Paid) -> bool:
        top_up = await self._by_id(provider, paid.account_id, paid.top_up_id)
        if top_up is None:
            return False
        if (paid.currency, paid.amount) != (CURRENCY, top_up.price_cents):
            self._mismatch(top_up, paid.payment, f"{paid.amount} {paid.currency}")
            return True
        if paid.method:
            await self._top_ups.save_method(top_up.account_id, paid.customer, paid.method)
        try:
            await self._top_ups.confirm(top_up, paid.payment, paid.amount)
        except Refusal as refusal:
            if refusal.code != "conflict":
                raise
            self._mismatch(top_up, paid.payment, refusal.message)
        return True

    async def _unpaid(self, provider: str, unpaid: Unpaid) -> bool:
        top_up = await self._by_id(provider, unpaid.account_id, unpaid.top_up_id)
        if top_up is None:
            return False
        try:
            await self._top_ups.close(top_up, unpaid.state, unpaid.reason)
        except Refusal as refusal:
            if refusal.code != "conflict":
                raise  # What was closed or paid before stays so.
        return True

    async def _lost(self, provider: str, lost: Lost) -> bool:
        payments = self._payments()
        top_up = await self._by_reference(provider, lost.payment)
        if top_up is None and lost.top_up is not None:
            top_up = await self._by_id(provider, *lost.top_up)
        if top_up is None or payments is None:
            return False
        if lost.currency != CURRENCY:
            self._mismatch(top_up, lost.payment, f"a loss in {lost.currency}")
            return True
        # One that is not credited yet refuses, and the provider tells of it again.
        reversed_ = await self._top_ups.reverse(
            top_up, lost.refunded, lost.disputed, lost.reason, payments.on_lost
        )
        self._log.warning(
            "payment lost",
            account=top_up.account_id,
            top_up=top_up.id,
            refunded_cents=reversed_.refunded_cents,
            disputed_cents=reversed_.disputed_cents,
            owed_nano=reversed_.owed_nano,
        )
        return True

    def _mismatch(self, top_up: TopUp, payment: str, why: str) -> None:
        self._log.error(
            "payment does not match", account=top_up.account_id, top_up=top_up.id, payment=payment, reason=why
        )

    async def _by_id(self, provider: str, account_id: str, top_up_id: str) -> TopUp | None:
        found = await self._found("top_up_by_id", account_id=account_id, top_up_id=top_up_id)
        return found if found is not None and found.provider == provider else None

    async def _by_reference(self, provider: str, reference: str) -> TopUp | None:
        return await self._found("top_up_by_reference", provider=provider, reference=reference)

    async def _found(self, name: str, **params: str) -> TopUp | None:
        try:
            rows: list[Row] = await self._store.query(name, params)
        except LedgerUnavailable:
            raise Refusal("ledger_unavailable", "The ledger cannot be read now.") from None
        return msgspec.convert(rows[0], TopUp) if rows else None
