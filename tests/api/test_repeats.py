"""What was carried out is answered as it was then, whatever the clock and the present state would say now.

The rule holds for everything that takes a caller's own id: each operation with an idempotency key has a row
in the table, and so have events and vouchers, which are known by what they name.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from proxy.api.openapi import OPERATIONS
from proxy.ledger.commands import ChangeAccount
from proxy.ledger.end_user_rows import EndUserTerms
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Limits
from proxy.ledger.windows import DAY_US, iso
from proxy.money import Unit
from proxy.pricing.book import PriceBook
from tests.api import test_events as events
from tests.api.apis import NOON_US, Answer, ApiConfig, Apis, serving
from tests.api.test_top_ups import PAYMENTS
from tests.billing import test_levels as levels
from tests.billing import test_sessions as sessions

POLICY: Final = replace(
    events.POLICY,
    plans={
        **events.POLICY.plans,
        **levels.config().events.plans,
        **sessions.config().events.plans,
    },
)
BOOK: Final = PriceBook([events.CARD, sessions.CARD, levels.card(levels.NANO)])
THEN: Final = ApiConfig(payments=PAYMENTS, events=POLICY, book=BOOK, refund_days=14)
STRICT: Final = Groups(Limits(day_nano=1, end_users=EndUserTerms(is_required=True)), {"vip": Group("vip")})
LATER: Final = ApiConfig(groups=STRICT, refund_days=1, unit=Unit("credits", 7))
"""Nothing is sold any more, no events are taken, and what is not told in dollars is told in credits."""
KEY: Final = {"Idempotency-Key": "once"}


class Case:
    """An account with what a command is about. `ask` gives the command, the same one each time."""

    def __init__(self, apis: Apis, account_id: str, key_id: str, secret: str) -> None:
        self.apis, self.account_id, self.key_id, self.secret = apis, account_id, key_id, secret
        self.lot_id = self.call_id = self.top_up_id = ""

    async def post(self, path: str, **body: object) -> Answer:
        return await self.apis.admin("POST", path, body, headers=KEY)

    async def of_account(self, path: str, **body: object) -> Answer:
        return await self.post(f"/accounts/{self.account_id}/{path}", **body)

    async def own(self, path: str, **body: object) -> Answer:
        return await self.apis.ask("POST", path, key=self.secret, body=body, headers=KEY)

    async def event(self, type_: str, **properties: object) -> Answer:
        told = {"id": "e1", "type": type_, "account": self.account_id, "timestamp": iso(NOON_US)}
        return await events.send(self.apis, {**told, "properties": properties})


Ask = Callable[[Case], Awaitable[Answer]]
SOON: Final = iso(NOON_US + DAY_US)
OF_KEYS: Final[dict[str, Ask]] = {
    "grant": lambda one: one.of_account("grants", amount="1", expires_at=SOON),
    "adjust": lambda one: one.of_account("adjustments", amount="-1", reason="an error"),
    "void_lot": lambda one: one.of_account(f"lots/{one.lot_id}/void", reason="an error"),
    "refund_lot": lambda one: one.of_account(f"lots/{one.lot_id}/refunds", amount="1", reason="sent back"),
    "refund_call": lambda one: one.post(f"/receipts/{one.call_id}/refunds", amount="1", reason="slow"),
    "open_top_up": lambda one: one.of_account("top_ups", package="fifty"),
    "billing_open_top_up": lambda one: one.own("/v1/billing/top_ups", amount="20"),
    "refund_top_up": lambda one: one.of_account(
        f"top_ups/{one.top_up_id}/refunds", amount="50", reason="sent back"
    ),
}
OF_EVENTS: Final[dict[str, Ask]] = {
    "an event": lambda one: one.event("scan", pages=3),
    "a level": lambda one: one.event("volume", volume="v1", gib=1),
    "a session": lambda one: one.event("browser", session="b1", state="open", key=one.key_id),
}


async def case_of(apis: Apis) -> Case:
    """An account with a lot, a call that was charged, and a top-up that was paid."""
    account_id = await apis.account()
    one = Case(apis, account_id, *await apis.key(account_id))
    await apis.grant(account_id, "9", kind="purchase")
    (lot,) = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
    one.lot_id = lot["id"]
    one.call_id = await apis.call(account_id, one.key_id, 2_000_000_000)
    opened = await apis.admin("POST", f"/accounts/{account_id}/top_ups", {"package": "hundred"})
    one.top_up_id = opened.body["id"]
    await apis.admin("POST", f"/accounts/{account_id}/top_ups/{one.top_up_id}/confirm", {})
    return one


async def turn_against(one: Case) -> None:
    """A year later nothing is configured any more, and the account is suspended, and has nothing left."""
    one.apis.clock.at_us += 365 * DAY_US
    account = await one.apis.admin("GET", f"/accounts/{one.account_id}")
    left = {"amount": f"-{account.body['available']}", "reason": "all of it"}
    assert (await one.apis.admin("POST", f"/accounts/{one.account_id}/adjustments", left)).status == 201
    one.apis.settings = LATER
    await one.apis.ledger.command(
        ChangeAccount(one.account_id, one.apis.clock.at_us, status="suspended", group="vip")
    )


def test_each_operation_with_a_key_is_in_the_table() -> None:
    assert {one.id for one in OPERATIONS if one.idempotent} == OF_KEYS.keys()


@pytest.mark.parametrize("name", sorted(OF_KEYS))
async def test_a_repeat_is_answered_as_the_first_time(name: str, tmp_path: Path) -> None:
    """And moves nothing. With another body the key is taken, then as now."""
    async with serving(tmp_path, THEN) as apis:
        one = await case_of(apis)
        first = await OF_KEYS[name](one)
        assert first.status == 201, first
        await turn_against(one)
        before = await apis.admin("GET", f"/accounts/{one.account_id}")
        again = await OF_KEYS[name](one)
        assert (again.status, again.headers.get("idempotent-replay")) == (201, "true"), again
        names = ("id", "seq", "kind", "amount", "ref", "balance_after", "credit", "state")
        assert [again.body.get(each) for each in names] == [first.body.get(each) for each in names]
        assert (await apis.admin("GET", f"/accounts/{one.account_id}")).body == before.body


@pytest.mark.parametrize("name", sorted(OF_EVENTS))
async def test_an_event_that_is_sent_again_is_a_duplicate(name: str, tmp_path: Path) -> None:
    """However old it is by now, and whether or not such events are still taken, or have a price."""
    async with serving(tmp_path, THEN) as apis:
        one = await case_of(apis)
        (first,) = (await OF_EVENTS[name](one)).data
        assert first["status"] == "charged", first
        one.apis.clock.at_us += 365 * DAY_US
        types = POLICY.plans if name == "a session" else {}
        await apis.ledger.command(ChangeAccount(one.account_id, apis.clock.at_us, status="suspended"))
        for settings in (THEN, ApiConfig(events=replace(POLICY, plans=types))):
            apis.settings = settings
            (again,) = (await OF_EVENTS[name](one)).data
            assert (again["status"], again["receipt_id"]) == ("duplicate", first["receipt_id"]), again


async def test_a_voucher_is_known_by_its_account_when_it_has_expired(tmp_path: Path) -> None:
    async with serving(tmp_path, THEN) as apis:
        one = await case_of(apis)
        made = await apis.admin("POST", "/vouchers", {"amount": "1", "expires_at": SOON})
        code = {"code": made.body["data"][0]["code"] if "data" in made.body else made.body["code"]}
        redeem: dict[str, Any] = {"key": one.secret, "body": code}
        assert (await apis.ask("POST", "/v1/billing/vouchers/redeem", **redeem)).status == 201
        answers = [await apis.ask("POST", "/v1/billing/vouchers/redeem", **redeem)]
        apis.clock.at_us += 365 * DAY_US
        answers.append(await apis.ask("POST", "/v1/billing/vouchers/redeem", **redeem))
        assert [each.error["code"] for each in answers] == ["voucher_redeemed"] * 2
