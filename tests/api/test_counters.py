"""What an account has used of its tiers, as it and the admin see it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from proxy.ledger.commands import Settle
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Limits, Outcome
from proxy.ledger.windows import DAY_US
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Tier, Tiers
from tests.api.apis import ApiConfig, Apis, serving

MONTH = Tiers("words", "month", (Tier(100, "7"), Tier(250, "5"), Tier(0, "2")))
EVER = Tiers("vip/images", "total", (Tier(10, "100"), Tier(0, "60")), is_volume=True)
CARD = RateCard("words", ("demo",), (Rate("output_tokens", Fraction(7), 1, (), MONTH),))
VIP = RateCard("vip", ("*",), (Rate("images", Fraction(100), 1, (), EVER),), groups=("vip",))
BOOK = PriceBook([CARD, VIP], multipliers={"vip": "0.5"})
GROUPS = Groups(Limits(), {"vip": Group("vip", multiplier="0.5")})


async def used(apis: Apis, account_id: str, key_id: str, quantity: int, card: RateCard = CARD) -> None:
    """A call that has used so much."""
    call = await apis.hold(account_id, key_id, 5_000)
    meter, at_us = card.rates[0].meter, apis.clock.at_us
    outcome = Outcome("complete", 200, "reported", {meter: quantity}, at_us)
    await apis.ledger.settle(Settle(call, at_us, at_us, outcome, price(card, {meter: quantity})))


async def test_an_account_sees_what_it_has_used_of_each_tier(tmp_path: Path) -> None:
    """In the period of now; the admin sees the same of any account, and nobody sees another's."""
    async with serving(tmp_path, ApiConfig(book=BOOK)) as apis:
        account_id, other_id = await apis.account(), await apis.account()
        key_id, secret = await apis.key(account_id)
        _, other = await apis.key(other_id)
        await apis.grant(account_id, "1.00")
        await used(apis, account_id, key_id, 120)
        await used(apis, account_id, key_id, 60)
        mine = await apis.ask("GET", "/v1/billing/counters", key=secret)
        view: dict[str, Any] = {
            "object": "counter",
            "name": "words",
            "period": "month",
            "starts_at": "2024-10-01T00:00:00Z",
            "resets_at": "2024-11-01T00:00:00Z",
            "used": 180,
            "rates": [
                {
                    "rate_card": "words",
                    "meter": "output_tokens",
                    "volume": False,
                    "tiers": [
                        {"upto": 100, "price": "0.000000007", "per": 1, "used": 100},
                        {"upto": 250, "price": "0.000000005", "per": 1, "used": 80},
                        {"upto": None, "price": "0.000000002", "per": 1, "used": 0},
                    ],
                }
            ],
        }
        assert mine.body == {"object": "list", "data": [view]}
        assert (await apis.admin("GET", f"/accounts/{account_id}/counters")).body == mine.body
        theirs = await apis.ask("GET", "/v1/billing/counters", key=other)
        assert [row["used"] for row in theirs.data] == [0]
        apis.clock.at_us += 31 * DAY_US
        later = await apis.ask("GET", "/v1/billing/counters", key=secret)
        assert [(row["used"], row["starts_at"]) for row in later.data] == [(0, "2024-11-01T00:00:00Z")]
        missing = await apis.admin("GET", "/accounts/acct_nobody/counters")
        assert (missing.status, missing.error["code"]) == (404, "not_found")


async def test_a_group_sees_the_tiers_of_its_own_cards_at_its_own_prices(tmp_path: Path) -> None:
    """And what was counted by a card that there is no more."""
    async with serving(tmp_path, ApiConfig(book=BOOK, groups=GROUPS)) as apis:
        account_id = await apis.account(group="vip")
        await apis.grant(account_id, "1.00")
        counters = (await apis.admin("GET", f"/accounts/{account_id}/counters")).data
        assert [row["name"] for row in counters] == ["vip/images", "words"]
        prices = [tier["price"] for tier in counters[0]["rates"][0]["tiers"]]
        assert prices == ["0.00000005", "0.00000003"]
        assert (counters[0]["resets_at"], counters[0]["rates"][0]["volume"]) == (None, True)
        apis.settings = ApiConfig(book=PriceBook([VIP]), groups=GROUPS)
        left = (await apis.admin("GET", f"/accounts/{account_id}/counters")).data
        assert [row["name"] for row in left] == ["vip/images"]


async def test_what_rolls_over_is_shown_as_it_is_in_the_period_of_now(tmp_path: Path) -> None:
    """With what earlier ones have left, whether or not any of it was used by now."""
    rolling = Tiers("words", "month", (Tier(100, "0"), Tier(0, "7")), rolls=50)
    card = RateCard("words", ("demo",), (Rate("output_tokens", Fraction(7), 1, (), rolling),))
    async with serving(tmp_path, ApiConfig(book=PriceBook([card]))) as apis:
        account_id = await apis.account()
        key_id, secret = await apis.key(account_id)
        await apis.grant(account_id, "1.00")
        await used(apis, account_id, key_id, 70, card)
        await used(apis, account_id, key_id, 10, card)
        apis.clock.at_us += 31 * DAY_US
        for more, expected in ((0, (0, 120)), (115, (115, 120))):
            if more:
                await used(apis, account_id, key_id, more, card)
            (row,) = (await apis.ask("GET", "/v1/billing/counters", key=secret)).data
            free = row["rates"][0]["tiers"][0]
            assert (row["used"], free["upto"]) == expected
            assert (row["starts_at"], row["resets_at"]) == ("2024-11-01T00:00:00Z", "2024-12-01T00:00:00Z")
            assert free["used"] == more
