"""The world a history is made up in: its chance, its clocks, what is sold, and who is around.

Everything comes from one `random.Random`, and from the auditor's model, which says what there is by now.
Nothing here looks at the machine's clock.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from proxy.ledger.commands import Authorize, Command
from proxy.ledger.end_user_rows import EndUserLimits, EndUserTerms
from proxy.ledger.rows import NEVER_US, NO_LIMIT, UNLIMITED, Call, Hold, Limits
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, price
from proxy.pricing.rates import Rate
from proxy.pricing.runs import in_run
from tests.simulation.counters import SAVER, STAIRS
from tests.simulation.model import DAY_US, Model

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
START_US: Final = 20_088 * DAY_US - 3 * HOUR_US
"""Three hours before the last day of 2024: a day, a month and a year end within 27 hours, then a week."""
SHORTEST_LIFE_US: Final = 1
"""So that some lots fall due in the batch that they came with."""

RUN_SHARE: Final = "0.15"
"""What is added to what the calls of a run cost, of which hardly any is a whole number."""

Price = Callable[[RateCard, Mapping[str, int]], Charge]
_One = TypeVar("_One")


class Extent(msgspec.Struct, frozen=True):
    """How much is simulated: for how many hours, among how many accounts, by how many processes at most."""

    hours: int = 168
    accounts: int = 200
    processes: int = 3


def _rate(meter: str, price_nano: str, per: int) -> Rate:
    return Rate(meter, Fraction(price_nano), per)


# Hardly any charge is a whole number of nano-dollars by these prices, and many lie half-way between two.
CARDS: Final[dict[str, RateCard]] = {
    "small": RateCard(
        "small",
        ("small",),
        (
            _rate("input_tokens", "33333333.5", 1_000_000),
            _rate("cached_input_tokens", "8333333", 1_000_000),
            _rate("output_tokens", "111111111", 1_000_000),
        ),
    ),
    "half": RateCard("half", ("half",), (_rate("output_tokens", "12.5", 1),)),
    "drawing": RateCard("drawing", ("drawing",), (_rate("requests", "40000.5", 1),)),
    "stairs": STAIRS,
    "saver": SAVER,
    "volume": RateCard("volume", ("volume",), (_rate("gib_hours", "54794.5", 1_000_000),)),
    "free": RateCard("free", ("free",), (_rate("input_tokens", "0", 1), _rate("output_tokens", "0", 1))),
}


def card_of(call: Call) -> RateCard:
    """The card of a call, in its run if it is of one."""
    card = CARDS[call.model]
    return in_run(card, call.run_id, RUN_SHARE) if call.run_id else card


class World:
    """Chance, time and whereabouts. `price` prices usage; `process` is the one that acts now."""

    def __init__(self, seed: int, extent: Extent, model: Model, *, price: Price = price) -> None:
        self.chance = Random(seed)
        self.extent = extent
        self.model = model
        self.price = price
        self.now_us = START_US
        self.end_us = START_US + extent.hours * HOUR_US
        self.skews_us: dict[int, int] = {}
        self.owners: dict[int, str] = {}
        self.process = 0
        self.accounts: list[str] = []
        self.defaults = UNLIMITED
        self.batch: list[Command] = []
        self.recent: list[Command] = []
        self._made = 0

    def at_us(self) -> int:
        """The instant of a command by the clock of the process that acts. Time passes a little."""
        self.now_us += self.one_of((0, 0, 1, 17, 900, 40_000))
        return self.now_us + self.skews_us.get(self.process, 0)

    def new_id(self, kind: str) -> str:
        """A name that nothing else has; later ones sort behind."""
        self._made += 1
        return f"{kind}_{self._made:07}"

    def happens(self, percent: int) -> bool:
        return self.chance.randrange(100) < percent

    def one_of(self, choices: Sequence[_One]) -> _One:
        return choices[self.chance.randrange(len(choices))]

    def up_to(self, most: int) -> int:
        """A number from 1 to `most`, small ones as likely as all of one more digit."""
        digits = self.chance.randrange(len(str(most)))
        return self.chance.randint(1, max(1, most // 10**digits))

    def account(self) -> str:
        """An account, a few of them far more often than most; now and then one that does not exist."""
        if self.happens(1):
            return "acct_nobody"
        count = len(self.accounts)
        return self.accounts[min(self.chance.randrange(count) for _ in range(3))]

    def key_of(self, account_id: str) -> str:
        """A key of an account; now and then one of another's, or none."""
        if self.happens(1):
            return self.one_of((*self.model.keys, "key_nobody")) if self.happens(50) else "key_nobody"
        party = self.model.parties.get(account_id)
        return self.one_of(party.keys) if party and party.keys else "key_nobody"

    def hold_in_flight(self) -> Hold | None:
        """A call in flight, mostly of the process that acts; jobs are everybody's."""
        mine = self.owners.get(self.process)
        flight = list(self.model.flight.values())
        if not self.happens(5):
            flight = [hold for hold in flight if hold.owner == mine or hold.deadline_us is not None]
        return self.one_of(flight) if flight else None

    def some_hold(self) -> Hold | None:
        """A call in flight as a rule; one that has just been asked for in this batch, or that has ended."""
        if self.happens(15):
            asked = [command for command in self.batch if isinstance(command, Authorize)]
            if asked:
                last = self.one_of(asked)
                call = last.call
                return Hold(call.id, call.account_id, call.key_id, 0, 0, "open", last.at_us, "", call)
        if self.happens(4):
            ended = [command for command in self.recent if isinstance(command, Authorize)]
            found = self.model.holds.get(self.one_of(ended).call.id) if ended else None
            return found or self.hold_in_flight()
        return self.hold_in_flight()

    def limits(self, *, kind: str) -> Limits:
        """Limits of an account or key; often none."""
        roll = self.chance.randrange(10)
        if roll < 4:
            return UNLIMITED
        nano = self.up_to(40_000_000) if roll < 8 else None
        window = self.one_of(("day_nano", "week_nano", "month_nano", "total_nano"))
        spending = {window: nano} if nano is not None else {}
        rates: dict[str, int] = {}
        if self.happens(40):
            rates["rpm"] = self.one_of((0, 1, 3, 20, 600))
        if self.happens(40):
            rates["tpm"] = self.one_of((0, 50, 2_000, 40_000))
        if self.happens(30):
            rates["concurrency"] = self.one_of((0, 1, 2, 4)) if kind == "key" else self.one_of((1, 3, 8))
        terms = self.user_terms() if self.happens(35) else None
        return replace(Limits(end_users=terms), **spending, **rates)

    def user_terms(self) -> EndUserTerms:
        """Terms of end users; few say that a call has to name one, or how many new ones it may."""
        limits = self.user_limits() if self.happens(80) else EndUserLimits()
        required = self.one_of((True, False)) if self.happens(15) else None
        return EndUserTerms(limits, required, self.one_of((0, 1, 3)) if self.happens(25) else None)

    def user_limits(self) -> EndUserLimits:
        """Limits of end users: one or two."""
        nano = self.one_of((NO_LIMIT, self.up_to(10_000_000), self.up_to(10_000_000)))
        found: dict[str, int] = {self.one_of(("day_nano", "week_nano", "month_nano")): nano}
        if self.happens(30):
            found["rpm"] = self.one_of((0, 1, 5, 60))
        if self.happens(30):
            found["tpm"] = self.one_of((50, 3_000, NO_LIMIT))
        if self.happens(25):
            found["concurrency"] = self.one_of((0, 1, 2))
        return EndUserLimits(**found)

    def expiry_us(self, at_us: int) -> int:
        """When what is made now expires: never, or in seconds, hours or days, or as a day ends."""
        roll = self.chance.randrange(10)
        if roll < 3:
            return NEVER_US
        if roll < 4:
            return ((at_us + SHORTEST_LIFE_US) // DAY_US + 1) * DAY_US
        lives_us = self.one_of((SECOND_US // 10, 60 * SECOND_US, 12 * HOUR_US, 9 * DAY_US))
        return at_us + max(SHORTEST_LIFE_US, self.up_to(lives_us))
