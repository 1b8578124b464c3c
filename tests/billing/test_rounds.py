"""Rounds: one process of all does what is due for accounts, and lets none wait for another."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.billing.rounds import PAGE, DueRounds
from proxy.call.renewals import Renewals
from proxy.ledger.commands import ChangeAccount, Command, OpenAccount
from proxy.ledger.dues import Dues, Fee, Renew, Renewal
from proxy.ledger.groups import Group, Groups
from proxy.ledger.ledger import Ledger
from proxy.ledger.results import Result
from proxy.ledger.rows import Account
from proxy.ledger.store import LedgerUnavailable
from proxy.ledger.windows import DAY_US
from proxy.tasks import Tasks
from tests.ledger.desk import NOON_US
from tests.ledger.memory import MemoryStore

DAILY = Group("daily", dues=Dues(Renewal(100)))


class Hands:
    """A clock whose hands are set."""

    def __init__(self) -> None:
        self.at_us = NOON_US

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us


class Books(MemoryStore):
    """Breaks on what one account is given, and may have no lease or be away."""

    def __init__(self) -> None:
        super().__init__("")
        self.breaks_on = ""
        self.leads = True
        self.is_away = False
        self.renewed = 0

    def commit(self, commands: Sequence[Command]) -> list[Result]:
        if self.is_away:
            raise LedgerUnavailable("the disk is full")
        renewals = [command for command in commands if isinstance(command, Renew)]
        self.renewed += len(renewals)
        if any(command.account_id == self.breaks_on for command in renewals):
            raise AssertionError("these books do not add up")
        return super().commit(commands)

    async def take_lease(self, name: str, seconds: float) -> bool:
        return self.leads


class House:
    """A ledger with accounts, and the rounds."""

    def __init__(self, *groups: Group) -> None:
        self.store, self.clock, self.faults = Books(), Hands(), list[str]()
        self.tasks = Tasks(lambda _, __: None)
        self.ledger = Ledger(self.store, self.tasks)
        self.groups = Groups(groups={group.name: group for group in groups})
        self.renewals = Renewals(ledger=self.ledger, clock=self.clock)
        self.rounds = DueRounds(
            store=self.store,
            renewals=self.renewals,
            clock=self.clock,
            groups=lambda: self.groups,
            on_fault=lambda name, _: self.faults.append(name),
        )

    def open(self, count: int, group: str = "daily") -> None:
        made = [OpenAccount(f"acct_{number:04}", "Ann", NOON_US, 50, group=group) for number in range(count)]
        self.store.commit(made)

    def account(self, number: int = 0) -> Account:
        return self.store.books.accounts[f"acct_{number:04}"]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House(DAILY, Group("plain"))
    made.ledger.start()
    yield made
    made.store.is_away = False
    await made.ledger.close()
    await made.tasks.drain(0)


async def test_everybody_is_renewed_in_pages_and_then_left_alone(house: House) -> None:
    house.open(2 * PAGE + 1)
    await house.rounds.round()
    assert {account.balance_nano for account in house.store.books.accounts.values()} == {100}
    await house.rounds.round()
    assert house.store.renewed == 2 * PAGE + 1
    house.clock.at_us += DAY_US
    await house.rounds.round()
    assert house.store.renewed == 2 * (2 * PAGE + 1)


async def test_an_account_whose_books_do_not_add_up_keeps_no_other_waiting(house: House) -> None:
    house.open(PAGE + 2)
    house.store.breaks_on = "acct_0000"
    await house.rounds.round()
    assert [house.account(number).balance_nano for number in (0, 1, PAGE, PAGE + 1)] == [0, 100, 100, 100]


async def test_without_the_lease_or_without_such_groups_nothing_is_done(house: House) -> None:
    house.open(1)
    house.store.leads = False
    await house.rounds.round()
    house.store.leads = True
    house.groups = Groups(groups={"plain": Group("plain")})
    await house.rounds.round()
    assert not house.store.renewed


async def test_an_account_of_a_group_that_gives_nothing_is_looked_at_once(house: House) -> None:
    house.open(1, "plain")
    for _ in range(3):
        house.clock.at_us += DAY_US
        await house.rounds.round()
    assert house.store.renewed == 1


async def test_who_falls_gets_what_the_group_below_gives(house: House) -> None:
    plan = Group("plan", dues=Dues(fee=Fee(60, falls_to="daily")))
    house.groups = Groups(groups={"plan": plan, "daily": DAILY})
    house.open(1, "plan")
    await house.rounds.round()
    assert (house.account().group, house.account().balance_nano) == ("daily", 100)


async def test_an_account_is_remembered_until_something_is_due_or_the_configuration_changes(
    house: House,
) -> None:
    house.open(1)
    dues = house.groups.of("daily").dues
    assert not house.renewals.is_settled("acct_0000", dues)
    assert await house.renewals.settle("acct_0000", "daily", house.groups) == "daily"
    assert house.renewals.is_settled("acct_0000", dues)
    assert not house.renewals.is_settled("acct_0000", Dues(Renewal(900)))
    house.clock.at_us += DAY_US
    assert not house.renewals.is_settled("acct_0000", dues)


async def test_who_was_moved_meanwhile_is_settled_where_it_is(house: House) -> None:
    house.open(1, "plain")
    house.store.commit([ChangeAccount("acct_0000", NOON_US, group="daily")])
    assert await house.renewals.settle("acct_0000", "plain", house.groups) == "daily"
    assert house.account().balance_nano == 100


async def test_rounds_go_on_after_an_outage(house: House) -> None:
    house.open(1)
    pauses = 0

    async def sleep(_: float) -> None:
        nonlocal pauses
        pauses += 1
        house.store.is_away = pauses == 1
        if pauses > 2:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    rounds = DueRounds(
        store=house.store,
        renewals=house.renewals,
        clock=house.clock,
        groups=lambda: house.groups,
        on_fault=lambda name, _: house.faults.append(name),
        sleep=sleep,
    )
    task = house.tasks.spawn(rounds.run(), name="dues")
    async with asyncio.timeout(5):
        while house.account().balance_nano != 100:
            await asyncio.sleep(0.01)
    task.cancel()
    assert house.faults == []
