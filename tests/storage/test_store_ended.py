"""What every storage engine does about windows that ended long ago, and about the round that finds them."""

from fractions import Fraction

from msgspec.structs import replace

from proxy.jobs.windows import PAGE, WindowRetention
from proxy.ledger.commands import Command, OpenAccount
from proxy.ledger.ended import KEPT_DAYS, ForgetWindows
from proxy.ledger.ledger import Ledger
from proxy.ledger.records import Record
from proxy.ledger.store import Store
from proxy.ledger.windows import DAY_US
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.tiers import Tier, Tiers
from proxy.tasks import Tasks
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, KEY, NOON_US, call, done, opening, record
from tests.storage.whole import database_of, differences

TODAY = NOON_US // DAY_US
TIERS = Tiers("images", "day", (Tier(10, "7"), Tier(0, "5")))
CARD = RateCard("card", (), (Rate("output_tokens", Fraction(7), 1, (), TIERS),))


class Now:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.day = TODAY

    def now_us(self) -> int:
        return self.day * DAY_US

    def monotonic_us(self) -> int:
        return self.day * DAY_US


def used(day: int, *, account_id: str = ACCOUNT, key_id: str = KEY) -> Record:
    """Usage of a day, priced by a tier of that day."""
    made = call(f"call_{account_id}_{day}", account_id=account_id, key_id=key_id, at_us=day * DAY_US)
    return replace(record(made, 0), charge=price(CARD, {"output_tokens": 20}))


def days(engine: Engine, table: str, account_id: str = ACCOUNT) -> list[int]:
    """The first days of an account's windows of a day that are left, in the order of time."""
    rows = [row for row in engine.dump()[table] if row[0] == account_id and "day" in row]
    return sorted({row[3] for row in rows})


async def test_ended_windows_are_deleted_and_those_that_calls_are_in_go_on(
    engine: Engine, open_store: OpenStore
) -> None:
    """Whichever process does it: one that has read them finds them gone, and counts on in the others."""
    first, second = await open_store(), await open_store()
    later = TODAY + KEPT_DAYS
    await first.apply([*opening(10**6), *(used(day) for day in (TODAY, TODAY + 1, later, later + 2))])
    buckets = [(scope, "day", day) for scope in (ACCOUNT, KEY) for day in (TODAY, TODAY + 1, later)]
    counters = tuple(("images", "day", day) for day in (TODAY, TODAY + 1, later, later + 2))
    forget = ForgetWindows(ACCOUNT, later * DAY_US, tuple(buckets), counters)  # type: ignore[arg-type]
    await done(second, forget)
    assert days(engine, "buckets") == [TODAY + 1, later]
    assert days(engine, "counters") == [TODAY + 1, later, later + 2]
    late = replace(used(later), call=call("late", at_us=later * DAY_US), name="late")
    await first.apply([late, replace(forget, at_us=(later + 9) * DAY_US)])
    assert days(engine, "counters") == [later, later + 2]
    assert [row[4] for row in engine.dump()["counters"]] == [40, 20]
    assert differences(database_of(engine)) == []


async def test_a_round_deletes_what_is_due_however_much_an_idle_account_keeps(
    engine: Engine, store: Store
) -> None:
    """What stays of an account that spends no more hides nothing of others, and the work has bounds."""
    idle, faults = PAGE + 20, list[BaseException]()
    busy = "acct_2"
    commands: list[Command] = [*opening(10**6), OpenAccount(busy, "Busy", NOON_US)]
    commands += (used(TODAY + day, key_id="") for day in range(idle))
    commands += (used(TODAY + day, account_id=busy, key_id="") for day in (0, 5, 2 * idle + KEPT_DAYS))
    await store.apply(commands)
    tasks = Tasks(lambda _, fault: faults.append(fault))
    ledger, clock = Ledger(store, tasks), Now()
    ledger.start()
    rounds = WindowRetention(
        store=store, ledger=ledger, clock=clock, on_fault=lambda _, fault: faults.append(fault)
    )
    await rounds.round()
    assert len(days(engine, "counters", busy)) == 3
    clock.day = TODAY + 2 * idle + KEPT_DAYS
    for _ in range(2):
        await rounds.round()
        assert days(engine, "counters", busy) == [clock.day]
        assert len(days(engine, "counters")) == idle
    assert not any(start < clock.day - KEPT_DAYS for start in days(engine, "buckets", busy))
    assert differences(database_of(engine)) == []
    await ledger.close()
    assert not faults
