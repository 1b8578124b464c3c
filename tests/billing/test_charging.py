"""Automatic top-ups that could not be charged at once: when they still may be, and when nobody may be."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from proxy.billing.offers import Payments, StripeAccess
from proxy.billing.providers import Providers, provider_for
from proxy.billing.top_ups import CHARGE_US, TopUps
from proxy.clock import SystemClock
from proxy.errors import Refusal
from proxy.ledger.ledger import Ledger
from proxy.ledger.top_up_rows import AutoTopUp, TopUp
from proxy.tasks import Tasks
from tests.billing.fake_stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe
from tests.ledger.desk import ACCOUNT, NOON_US, Desk

USD = 10**9
SAVED = AutoTopUp(ACCOUNT, "on", 5 * USD, 20 * USD, customer="cus_1", method="pm_1")


class House:
    """A desk's ledger, and Stripe as it charges what is saved."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.stripe = FakeStripe()
        access = StripeAccess(
            SECRET_KEY, WEBHOOK_SECRET, "https://shop/", "https://shop/", "", self.stripe.url
        )
        self.payments = Payments("stripe", stripe=access)
        self.providers = Providers(provider_for)
        self.clock = SystemClock(wall_ns=lambda: self.desk.now_us * 1_000, monotonic_ns=lambda: 0)
        self.ledger = Ledger(self.desk.store, Tasks(lambda *_: None))
        self.top_ups = TopUps(ledger=self.ledger, clock=self.clock, providers=self.providers)

    async def opened(self) -> TopUp:
        """One that is pending, and that Stripe was not asked for."""
        offer = self.payments.amount(20 * USD)
        return (await self.top_ups.open(ACCOUNT, "k", offer, self.payments, origin="automatic"))[0]

    async def charged(self, top_up: TopUp, auto: AutoTopUp) -> TopUp:
        return await self.top_ups.charge(top_up, auto, self.payments)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    house.ledger.start()
    yield house
    await house.ledger.close()
    await house.providers.close()
    house.stripe.stop()


async def test_a_charge_is_tried_again_for_less_than_a_day(house: House) -> None:
    """A provider forgets after a day what it was asked for: who is asked then might be charged twice."""
    top_up = await house.opened()
    house.stripe.down = 9
    with pytest.raises(Refusal):
        await house.charged(top_up, SAVED)
    house.stripe.down = 0
    house.desk.now_us = NOON_US + CHARGE_US
    assert (await house.charged(top_up, SAVED)).state == "failed"
    assert house.stripe.charges == []


async def test_a_charge_that_is_tried_again_in_time_is_made(house: House) -> None:
    top_up = await house.opened()
    house.desk.now_us = NOON_US + CHARGE_US - 1
    charged = await house.charged(top_up, SAVED)
    assert (charged.state, [each["id"] for each in house.stripe.charges]) == ("pending", [charged.reference])


async def test_who_has_switched_it_off_meanwhile_is_not_charged(house: House) -> None:
    top_up = await house.opened()
    assert (await house.charged(top_up, replace(SAVED, state="off"))).state == "failed"
    assert house.stripe.charges == []


async def test_a_refund_is_asked_for_again_only_as_long_as_a_repeat_is_known(house: House) -> None:
    """A day later the same key would have Stripe pay back twice."""
    offer = house.payments.amount(20 * USD)
    top_up, _ = await house.top_ups.open(ACCOUNT, "k2", offer, house.payments)
    session = house.stripe.paid(top_up.id)
    paid, _ = await house.top_ups.confirm(top_up, session["payment_intent"], 2_000)
    for _ in range(2):
        await house.top_ups.refund(paid, "r1", 5 * USD, "sent back", house.payments)
    asked = len(house.stripe.requests)
    house.desk.now_us += CHARGE_US
    _, replayed = await house.top_ups.refund(paid, "r1", 5 * USD, "sent back", house.payments)
    assert (replayed, len(house.stripe.requests), len(house.stripe.refunds)) == (True, asked, 1)
