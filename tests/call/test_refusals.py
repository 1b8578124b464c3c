"""What a call is told that does not get its hold: whether waiting helps, and the least that it needs.

1,000 nano-USD a token in and 2,000 out; a call that names no bound may use 100 tokens of output.
"""

import json
from itertools import product
from typing import Final, NamedTuple

import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.errors import Refusal
from proxy.ledger.commands import Authorize, ChangeAccount, ChangeKey, Granted
from proxy.ledger.rows import Call, Limits
from tests.acceptance.harness import nano
from tests.call.fakes import NOW_US, WHOLE, Asked, Sent, Stage, Upstreams

BALANCE: Final = "balance"
SCOPES: Final = ("account", "key")
BOUNDS: Final = [
    BALANCE,
    *(f"{each}_{window}" for each in SCOPES for window in ("day", "week", "month", "total")),
]
PLENTY_NANO: Final = 10**12
LONG: Final = "word " * 2_000
"""Text that has five times as many bytes as tokens."""
CLAMP: Final = Policy()
REFUSE: Final = Policy(when_short="refuse")


class Saying(Asked):
    """A request with this text."""

    def __init__(self, text: str, **more: object) -> None:
        super().__init__(False, "req_2", **more)
        self._text = text

    async def body(self) -> bytes:
        return json.dumps({**self._fields, "messages": [{"role": "user", "content": self._text}]}).encode()


class Case(NamedTuple):
    """A bound that leaves so much while nothing is in flight, and a call."""

    bound: str
    room_nano: int
    policy: Policy
    text: str
    more: dict[str, int]

    async def refusal(self, *, held_nano: int = 0) -> Refusal | None:
        """What the call is told while another one holds so much of the room; None when it passes."""
        funds_nano = self.room_nano if self.bound == BALANCE else PLENTY_NANO
        stage = Stage(Upstreams(WHOLE), self.policy, funds_nano=funds_nano)
        scope, _, window = self.bound.partition("_")
        if window:
            limits = replace(Limits(), **{f"{window}_nano": self.room_nano})
            of_account = ChangeAccount("acct_1", NOW_US, limits=limits)
            of_key = ChangeKey("acct_1", "key_1", NOW_US, limits=limits)
            stage.store.commit([of_account if scope == "account" else of_key])
        if held_nano:
            call = Call(
                "req_1", "acct_1", "key_1", "chat", "m", "up", "m", stream=False, started_at_us=NOW_US
            )
            (held,) = stage.store.commit(
                [Authorize(call, held_nano, held_nano, 0, NOW_US, stage.store.owner)]
            )
            assert isinstance(held, Granted)
        try:
            await stage.relay.relay(Saying(self.text, **self.more), Sent())
        except Refusal as refusal:
            return refusal
        else:
            return None
        finally:
            await stage.rest()


def cases(bound: str) -> list[Case]:
    """Calls of every kind, with room for none, for some output, for an exact count, and for all."""
    rooms = (1, 30_000, 70_000, 2_100_000, 11_000_000)
    mores: tuple[dict[str, int], ...] = ({}, {"max_tokens": 4}, {"max_tokens": 1_000})
    return [Case(bound, *rest) for rest in product(rooms, (CLAMP, REFUSE), ("Hi", LONG), mores)]


@pytest.mark.parametrize("part", [1, 2], ids=["all is held", "half is held"])
@pytest.mark.parametrize("bound", BOUNDS)
async def test_what_would_pass_with_nothing_in_flight_is_told_to_wait(bound: str, part: int) -> None:
    """Those calls and no others get `in_flight_budget_exhausted`, and when to come again."""
    told = set()
    for case in cases(bound):
        refusal = await case.refusal(held_nano=-(-case.room_nano // part))
        if refusal is None:
            continue
        waits = await case.refusal() is None
        assert (refusal.code == "in_flight_budget_exhausted") == waits, (case, refusal.message)
        assert ("Retry-After" in refusal.headers) == waits
        assert refusal.kind.retry is waits
        told.add((case.policy.when_short, case.text, waits))
    assert len(told) == 8


@pytest.mark.parametrize("bound", BOUNDS)
async def test_what_a_refusal_says_is_required_lets_the_call_pass(bound: str) -> None:
    """It is what the call has to hold at least: clamped where the policy clamps."""
    for case in cases(bound):
        for held_nano in (0, case.room_nano):
            refusal = await case.refusal(held_nano=held_nano)
            if refusal is not None:
                required_nano = nano(str(refusal.details["required"]))
                assert required_nano > case.room_nano - held_nano
                assert await case._replace(room_nano=required_nano).refusal() is None, (case, required_nano)


@pytest.mark.parametrize("bound", BOUNDS)
async def test_money_that_is_held_is_not_told_as_spent(bound: str) -> None:
    """A call that is too large for the whole of it is told so, and not that nothing is left."""
    refusal = await Case(bound, 30_000, REFUSE, "Hi", {"max_tokens": 1_000}).refusal(held_nano=30_000)
    assert refusal is not None
    assert refusal.code != "credit_balance_exhausted"
    assert "used up" not in refusal.message
    assert "is reached" not in refusal.message
    assert "0.00003 USD are held" in refusal.message
