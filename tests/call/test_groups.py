"""Groups of accounts: what a call of one is priced and bounded by, from the moment that it is in it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest

from proxy.call.policy import Catalog
from proxy.call.quotes import Quote, Quotes
from proxy.errors import Refusal
from proxy.ledger.commands import Authorize, ChangeAccount, ChangeKey, Command, Result
from proxy.ledger.groups import Group, Groups
from proxy.ledger.rows import Caller, Limits
from proxy.ledger.store import Row
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step
from tests.call.fakes import NOW_US, RATES, WHOLE, Asked, Sent, Stage, Upstreams
from tests.ledger.memory import MemoryStore

VIP = Group("vip", Limits(day_nano=500_000, rpm=7), multiplier="0.8")
NARROW = Group("narrow", models=("n-*",))
STEP = Step("times", "0.8", "group vip")


class Noting(MemoryStore):
    """Notes what it is asked, and may change the account before each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.authorized: list[Authorize] = []
        self.reads = 0
        self.moves: list[str] = []

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        self.authorized += [command for command in commands if isinstance(command, Authorize)]
        if self.moves and any(isinstance(command, Authorize) for command in commands):
            self.commit([ChangeAccount("acct_1", NOW_US, group=self.moves.pop(0))])
        return await super().apply(commands)

    async def caller_by_digest(self, digest: str) -> Caller | None:
        self.reads += 1
        return await super().caller_by_digest(digest)

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        self.reads += 1
        return await super().query(name, params)


class House:
    """A stage with groups. `unknown` has the names of groups that nobody knows."""

    def __init__(
        self, *groups: Group, defaults: Limits | None = None, cards: Sequence[RateCard] = ()
    ) -> None:
        self.store = Noting()
        self.stage = Stage(Upstreams(WHOLE), store=self.store)
        self.unknown: list[str] = []
        self.stage.admission._on_unknown_group = self.unknown.append
        self.serve(*groups, defaults=defaults, cards=cards)

    def serve(self, *groups: Group, defaults: Limits | None = None, cards: Sequence[RateCard] = ()) -> None:
        """As a reload does."""
        before = self.stage.relay.catalog
        book = PriceBook(
            cards or [RateCard("card", ("*",), RATES, 100)],
            multipliers={group.name: group.multiplier for group in groups},
        )
        named = Groups(defaults or Limits(), {group.name: group for group in groups})
        self.stage.relay.catalog = Catalog(before.routes, book, named, before.policy)

    def move(self, group: str) -> None:
        self.store.commit([ChangeAccount("acct_1", NOW_US, group=group)])

    async def quote(self) -> Quote:
        """What the call would cost."""
        stage = self.stage
        quotes = Quotes(admission=stage.admission, catalog=lambda: stage.relay.catalog, counts=stage.counts)
        return await quotes.of(Asked(False))

    async def call(self, number: int = 1, **more: object) -> str:
        """The code of the refusal, or `served`."""
        try:
            await self.stage.relay.relay(Asked(False, f"req_{number}", **more), Sent())
        except Refusal as refusal:
            return refusal.code
        return "served"


async def test_every_rate_is_multiplied_in_hold_and_charge() -> None:
    """And in a quote. The receipt says so on each line, and in the price id."""
    plain, grouped = House(VIP), House(VIP)
    grouped.move("vip")
    totals = []
    for house in (plain, grouped):
        quote = await house.quote()
        assert await house.call() == "served"
        await house.stage.rest()
        (row,) = house.stage.rows()
        totals.append((row.charge.total_nano, row.hold_nano, quote.hold_nano, quote.floor.charge.total_nano))
        in_group = house is grouped
        assert {line.steps for line in row.charge.lines} == {(STEP,) if in_group else ()}
        assert row.charge.price_id.startswith("card+group=vip@" if in_group else "card@")
        assert {line.steps for line in quote.ceiling.charge.lines} == {(STEP,) if in_group else ()}
    assert [theirs * 5 for theirs in totals[1]] == [mine * 4 for mine in totals[0]]


@pytest.mark.parametrize(("before", "after"), [("", "vip"), ("vip", ""), ("vip", "gold")])
async def test_a_change_of_the_group_takes_effect_with_the_next_call(before: str, after: str) -> None:
    """Although the key is remembered with the group before; the ledger is asked once more then."""
    house = House(VIP, Group("gold", multiplier="0.5"))
    house.move(before)
    assert await house.call(1) == "served"
    house.move(after)
    assert [await house.call(2), await house.call(3)] == ["served"] * 2
    await house.stage.rest()
    asked = [(command.call.id, command.group) for command in house.store.authorized]
    assert asked == [("req_1", before), ("req_2", before), ("req_2", after), ("req_3", after)]
    times = {"": Fraction(1), "vip": Fraction(4, 5), "gold": Fraction(1, 2)}
    first, *later = (Fraction(row.charge.total_nano) for row in house.stage.rows())
    assert later == [first / times[before] * times[after]] * 2


async def test_accounts_without_a_group_cost_nothing_more() -> None:
    """One read of the key for many calls, and one command to the ledger for each."""
    house = House(VIP)
    for number in range(3):
        assert await house.call(number) == "served"
    await house.stage.rest()
    assert (house.store.reads, len(house.store.authorized)) == (1, 3)


async def test_a_group_that_is_changed_again_meanwhile_is_refused_once() -> None:
    """The ledger is asked twice at most; nothing is held, and the client may try again."""
    house = House(VIP, Group("gold", multiplier="0.5"))
    house.store.moves = ["vip", "gold"]
    assert await house.call(1) == "conflict"
    assert [command.group for command in house.store.authorized] == ["", "vip"]
    assert not house.store.books.holds
    assert await house.call(2) == "served"
    await house.stage.rest()


async def test_a_group_bounds_the_models_of_its_keys_and_keys_narrow_that() -> None:
    house = House(NARROW)
    house.move("narrow")
    models = ("m", "n-1", "n-2")
    assert [await house.call(n, model=model) for n, model in enumerate(models)] == [
        "model_not_allowed",
        "served",
        "served",
    ]
    house.store.commit([ChangeKey("acct_1", "key_1", NOW_US, models=("*-2", "m"))])
    assert [await house.call(n + 3, model=model) for n, model in enumerate(models)] == [
        "model_not_allowed",
        "model_not_allowed",
        "served",
    ]
    await house.stage.rest()


@pytest.mark.parametrize("cards", [(), (RateCard("vip", ("*",), RATES, 100, groups=("vip",)),)])
async def test_nobody_is_refused_for_a_group_that_was_left(cards: Sequence[RateCard]) -> None:
    """Not for its models, nor for want of a price; and who has come into one is refused at once."""
    house = House(VIP, NARROW, cards=cards)
    house.move("narrow")
    refused = "model_not_priced" if cards else "model_not_allowed"
    assert await house.call(1) == refused
    house.move("vip")
    assert await house.call(2) == "served"
    house.move("narrow")
    assert await house.call(3) == refused
    await house.stage.rest()
    assert len(house.stage.rows()) == 1


async def test_limits_are_the_accounts_then_the_groups_then_everybodys() -> None:
    house = House(
        Group("vip", Limits(rpm=7).over(Limits(rpm=3, tpm=9_000))), defaults=Limits(rpm=3, tpm=9_000)
    )
    sent = []
    for number, changes in enumerate(({}, {"group": "vip"}, {"limits": Limits(rpm=5)})):
        house.store.commit([ChangeAccount("acct_1", NOW_US, **changes)])  # type: ignore[arg-type]
        sent.append(reply := Sent())
        await house.stage.relay.relay(Asked(False, f"req_{number}"), reply)
    await house.stage.rest()
    assert [reply.headers["x-ratelimit-limit-requests"] for reply in sent] == ["3", "7", "5"]
    assert {reply.headers["x-ratelimit-limit-tokens"] for reply in sent} == {"9000"}


async def test_a_spending_limit_of_the_group_refuses_as_the_accounts_own() -> None:
    house = House(Group("vip", Limits(day_nano=1)))
    house.move("vip")
    assert await house.call(1) == "daily_limit_exceeded"
    await house.stage.rest()


async def test_a_group_that_the_configuration_has_no_more_is_as_none() -> None:
    """Until it is there again; and whoever watches is told."""
    house = House(VIP)
    house.move("vip")
    assert await house.call(1) == "served"
    house.serve(defaults=Limits(rpm=3))
    assert await house.call(2) == "served"
    house.serve(VIP)
    assert await house.call(3) == "served"
    await house.stage.rest()
    first, second, third = (row.charge.total_nano for row in house.stage.rows())
    assert first == third == second * 4 // 5
    assert house.unknown == ["vip"]
    assert [command.defaults.rpm for command in house.store.authorized] == [7, 3, 7]
    assert len(house.store.authorized) == 3


async def test_a_card_without_a_rate_for_a_group_is_another_groups() -> None:
    """The first card of the file that is for the group prices its calls."""
    cards = [
        RateCard(
            "dear", ("*",), tuple(Rate(r.meter, r.price * 3, r.per) for r in RATES), 100, groups=("gold",)
        ),
        RateCard("card", ("*",), RATES, 100),
    ]
    house = House(VIP, Group("gold"), cards=cards)
    for number, group in enumerate(("", "vip", "gold")):
        house.move(group)
        assert await house.call(number) == "served"
    await house.stage.rest()
    ids = [row.charge.price_id.partition("@")[0] for row in house.stage.rows()]
    assert ids == ["card", "card+group=vip", "dear"]
