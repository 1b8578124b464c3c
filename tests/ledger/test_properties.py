"""Whatever happens in whatever order, the ledger adds up.

A machine makes up histories; after each step an auditor that knows nothing of the rules works out what should
be on the books and compares.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.ledger.commands import (
    Adjust,
    ChangeAccount,
    ChangeKey,
    Command,
    Done,
    Extend,
    Grant,
    Granted,
    Refused,
    Result,
    Settled,
    Sweep,
)
from proxy.ledger.rows import NEVER_US, Limits
from proxy.ledger.windows import DAY_US
from tests.ledger.auditor import Auditor, dollars
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk

AMOUNTS = st.integers(1, 30)
LIVES = st.one_of(st.none(), st.integers(1, 12))
PRIORITIES = st.sampled_from([10, 50, 50, 90])
ONE = st.integers(0, 3)
SWEPT = st.booleans()
SOME_LIMIT = st.one_of(st.none(), st.integers(0, 120))
MIDNIGHT_US = NOON_US + DAY_US // 2
HARD = settings(max_examples=3 * settings().max_examples, stateful_step_count=50)
"""Money deserves more than the usual number of examples."""


in_flight = precondition(lambda self: self.auditor.open_calls())


class Histories(RuleBasedStateMachine):
    """Grants, adjustments and calls of one account, around midnight, with a clock that only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.desk.now_us = MIDNIGHT_US - 20
        self.auditor = Auditor()
        self.observed: dict[str, int] = {}
        self.last: Command | None = None
        self.ran_back = False

    def do(self, command: Command, *, swept: bool) -> Result:
        """Carry a command out, perhaps after a sweep; a refused one leaves the books as they are then."""
        if swept:
            self.desk.sweep()
            self.auditor.expire(self.desk.now_us)
        before = self.desk.store.snapshot()
        result = self.desk.do(command)
        if isinstance(result, Refused) and swept:
            assert self.desk.store.snapshot() == before
        self.last = command
        return result

    def open_call(self, one: int) -> str:
        calls = self.auditor.open_calls()
        return str(calls[one % len(calls)]["id"])

    @initialize(lots=st.lists(st.tuples(AMOUNTS, LIVES, PRIORITIES), min_size=1, max_size=3))
    def begin(self, lots: list[tuple[int, int | None, int]]) -> None:
        for amount, lives_us, priority in lots:
            self.grant(amount, lives_us, priority, swept=False)

    @rule(amount=AMOUNTS, lives_us=LIVES, priority=PRIORITIES, swept=SWEPT)
    def grant(self, amount: int, lives_us: int | None, priority: int, swept: bool) -> None:
        now_us, number = self.desk.now_us, self.desk.next_id("grant")
        until = NEVER_US if lives_us is None else now_us + lives_us
        command = Grant(
            ACCOUNT, number, f"lot_{number}", amount, now_us, priority=priority, expires_at_us=until
        )
        assert isinstance(self.do(command, swept=swept), Done)
        self.auditor.put_in(f"lot_{number}", amount, now_us, until, priority)

    @rule(amount=st.sampled_from([-60, -20, -5, -1, 1, 20]), swept=SWEPT)
    def adjust(self, amount: int, swept: bool) -> None:
        now_us, number = self.desk.now_us, self.desk.next_id("adjust")
        result = self.do(Adjust(ACCOUNT, number, f"lot_{number}", amount, "why", now_us), swept=swept)
        if amount > 0:
            self.auditor.put_in(f"lot_{number}", amount, now_us, NEVER_US, 50)
            return
        self.auditor.expire(now_us)
        assert isinstance(result, Done) == (self.auditor.available() >= dollars(-amount))
        if isinstance(result, Done):
            self.auditor.take(dollars(-amount), now_us, now_us)

    @rule(ceiling=st.integers(0, 20), floor=st.integers(0, 20), swept=SWEPT)
    def authorize(self, ceiling: int, floor: int, swept: bool) -> None:
        command = self.desk.ask(ceiling, floor_nano=min(floor, ceiling))
        result = self.do(command, swept=swept)
        self.auditor.expire(self.desk.now_us)
        room = self.auditor.room(self.desk.now_us)
        least = dollars(max(1, min(floor, ceiling)) if ceiling else 0)
        if ceiling and room < least:
            assert isinstance(result, Refused)
            assert dollars(result.available_nano or 0) == max(0, room)
            assert dollars(result.required_nano or 0) == least
            return
        assert isinstance(result, Granted)
        assert dollars(result.hold_nano) == (min(dollars(ceiling), room) if ceiling else 0)
        self.auditor.begin(command.call.id, result.hold_nano, self.desk.now_us)
        assert dollars(result.available_nano) == self.auditor.available()

    @in_flight
    @rule(one=ONE, total=st.integers(0, 80))
    def observe(self, one: int, total: int) -> None:
        call_id = self.open_call(one)
        assert self.desk.observe(call_id, total) == Done()
        self.observed[call_id] = total

    @in_flight
    @rule(one=ONE, amount=AMOUNTS, swept=SWEPT)
    def extend(self, one: int, amount: int, swept: bool) -> None:
        call_id = self.open_call(one)
        result = self.do(self.desk.extension(call_id, amount), swept=swept)
        self.auditor.expire(self.desk.now_us)
        room = self.auditor.room(self.desk.opened_us[call_id])
        assert isinstance(result, Granted) == (room >= dollars(amount))
        if isinstance(result, Granted):
            self.auditor.extend(call_id, amount)

    @in_flight
    @rule(one=ONE, total=st.integers(0, 45), swept=SWEPT)
    def settle(self, one: int, total: int, swept: bool) -> None:
        call_id = self.open_call(one)
        self.close(call_id, self.desk.settlement(call_id, total), total, swept=swept)

    @in_flight
    @rule(one=ONE, total=st.integers(0, 45), swept=SWEPT)
    def owe(self, one: int, total: int, swept: bool) -> None:
        call_id = self.open_call(one)
        command = self.desk.settlement(call_id, total, on_shortfall="owe")
        self.close(call_id, command, total, swept=swept, owes=True)

    @in_flight
    @rule(one=ONE, swept=SWEPT)
    def void(self, one: int, swept: bool) -> None:
        call_id = self.open_call(one)
        self.close(call_id, self.desk.voiding(call_id), 0, swept=swept)

    @in_flight
    @rule(one=ONE, swept=SWEPT)
    def recover(self, one: int, swept: bool) -> None:
        call_id = self.open_call(one)
        self.close(call_id, self.desk.recovery(call_id), self.observed.get(call_id, 0), swept=swept)

    def close(self, call_id: str, command: Command, total: int, *, swept: bool, owes: bool = False) -> None:
        result = self.do(command, swept=swept)
        expected = self.auditor.end(call_id, total, self.desk.now_us, owes=owes)
        assert isinstance(result, Settled)
        figures = (result.charged_nano, result.shortfall_nano, result.owed_nano)
        assert tuple(map(dollars, figures)) == expected
        assert dollars(result.available_nano) == self.auditor.available()

    @rule()
    def sweep(self) -> None:
        self.do(Sweep(ACCOUNT, self.desk.now_us), swept=False)
        self.auditor.expire(self.desk.now_us)

    @rule(credit_limit_nano=st.integers(0, 60), swept=SWEPT)
    def change(self, credit_limit_nano: int, swept: bool) -> None:
        command = ChangeAccount(ACCOUNT, self.desk.now_us, credit_limit_nano=credit_limit_nano)
        result = self.do(command, swept=swept)
        self.auditor.expire(self.desk.now_us)
        after = self.auditor.uncommitted() - self.auditor.credit + dollars(credit_limit_nano)
        assert isinstance(result, Done) == (after >= 0)
        if isinstance(result, Done):
            self.auditor.credit = dollars(credit_limit_nano)

    @rule(window=st.sampled_from(["day", "total"]), nano=SOME_LIMIT, account=st.booleans())
    def limit(self, window: str, nano: int | None, account: bool) -> None:
        fields: dict[str, Any] = {} if nano is None else {f"{window}_nano": nano}
        limits, now_us = Limits(**fields), self.desk.now_us
        scope = "account" if account else "key"
        change = ChangeAccount(ACCOUNT, now_us, limits=limits) if account else None
        self.do(change or ChangeKey(ACCOUNT, KEY, now_us, limits=limits), swept=False)
        others = {name: limit for name, limit in self.auditor.limits.items() if not name.startswith(scope)}
        self.auditor.limits = others if nano is None else {**others, f"{scope}_{window}": dollars(nano)}

    @rule(step_us=st.integers(1, 5))
    def tick(self, step_us: int) -> None:
        self.desk.now_us += step_us

    @precondition(lambda self: self.desk.now_us < MIDNIGHT_US)
    @rule(beside_us=st.sampled_from([-1, 0]))
    def strike_midnight(self, beside_us: int) -> None:
        self.desk.now_us = max(self.desk.now_us, MIDNIGHT_US + beside_us)

    @precondition(lambda self: self.last is not None and not isinstance(self.last, Extend))
    @rule()
    def repeat(self) -> None:
        """To do the same again changes nothing but for what falls due meanwhile."""
        assert self.last is not None
        self.desk.sweep()
        self.auditor.expire(self.desk.now_us)
        before = self.desk.store.snapshot()
        self.desk.do(self.last)
        assert self.desk.store.snapshot() == before

    @invariant()
    def adds_up(self) -> None:
        self.auditor.audit(self.desk.store.books, ACCOUNT)
        if not self.ran_back:
            self.auditor.audit_promises()


class HistoriesOfABadClock(Histories):
    """The same with a clock that also runs back, as clocks of several machines do against each other."""

    @rule(step_us=st.integers(1, 25))
    def run_back(self, step_us: int) -> None:
        self.desk.now_us -= step_us
        self.ran_back = True


TestHistories = Histories.TestCase
TestHistories.settings = HARD
TestHistoriesOfABadClock = HistoriesOfABadClock.TestCase
TestHistoriesOfABadClock.settings = HARD
