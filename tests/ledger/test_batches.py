"""A batch is its commands one after another: how commands are cut into batches decides nothing."""

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ledger.commands import Command, CreateKey, Grant, Granted, Observe, OpenAccount, Result, Sweep
from proxy.ledger.rows import NEVER_US, Limits, Observed
from tests.ledger.desk import ACCOUNT, KEY, NOON_US, Desk, charge_of
from tests.ledger.memory import MemoryStore

STEPS = st.tuples(
    st.sampled_from(
        [
            "grant",
            "ask",
            "ask",
            "extend",
            "observe",
            "settle",
            "settle",
            "void",
            "recover",
            "sweep",
            "detach",
            "reroute",
        ]
    ),
    st.integers(1, 30),
    st.integers(0, 4),
)


def command_of(desk: Desk, kind: str, amount: int, numbers: "count[int]") -> Command | None:
    """A command of this kind about the oldest or newest call in flight, or None where there is none."""
    if kind == "grant":
        number, until = next(numbers), desk.now_us + amount if amount % 3 else NEVER_US
        return Grant(ACCOUNT, f"g{number}", f"lot{number}", amount, desk.now_us, expires_at_us=until)
    if kind == "ask":
        return desk.ask(amount, floor_nano=amount // 2, tokens=amount)
    if kind == "sweep":
        return Sweep(ACCOUNT, desk.now_us)
    in_flight = [hold.id for hold in desk.store.books.holds.values() if hold.state == "open"]
    return OF_A_CALL[kind](desk, in_flight[-(amount % 2)], amount) if in_flight else None


OF_A_CALL: dict[str, Callable[[Desk, str, int], Command]] = {
    "extend": lambda desk, call_id, amount: desk.extension(call_id, amount),
    "observe": lambda _, call_id, amount: Observe(call_id, ACCOUNT, Observed({}, charge_of(amount))),
    "settle": lambda desk, call_id, amount: desk.settlement(call_id, amount, {"output_tokens": amount}),
    "void": lambda desk, call_id, _: desk.voiding(call_id),
    "detach": lambda desk, call_id, amount: desk.detachment(call_id, amount),
    "reroute": lambda desk, call_id, amount: desk.rerouting(call_id, f"upstream {amount % 3}"),
    "recover": lambda desk, call_id, _: desk.recovery(call_id),
}


@given(
    steps=st.lists(STEPS, min_size=10, max_size=50),
    sizes=st.lists(st.integers(1, 12), min_size=50, max_size=50),
)
@settings(max_examples=150)
def test_a_batch_is_its_commands_one_after_another(
    steps: list[tuple[str, int, int]], sizes: list[int]
) -> None:
    """Also when a lot is granted, drawn and falls due within one batch, with calls from before in flight."""
    limits = Limits(day_nano=150, tpm=40, concurrency=4)
    desk = Desk(limits=limits)
    numbers = count()
    commands: list[Command] = []
    alone: list[Result] = []
    for kind, amount, pause_us in steps:
        desk.now_us += pause_us
        command = command_of(desk, kind, amount, numbers)
        if command is not None:
            commands.append(command)
            alone.append(desk.do(command))
    together: list[Result] = []
    store = MemoryStore()
    opening = CreateKey(ACCOUNT, KEY, "A key", "digest", "hint", NOON_US)
    store.commit([OpenAccount(ACCOUNT, "An account", NOON_US, limits=limits), opening])
    for size in sizes:
        batch, commands = commands[:size], commands[size:]
        together += store.commit(batch)
    assert together == alone
    assert store.snapshot() == desk.store.snapshot()
    assert all(not isinstance(result, Granted) or result.available_nano >= 0 for result in together)
