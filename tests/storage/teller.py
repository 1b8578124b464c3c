"""Commands of storage tests in a few words, and the store that carries them out one by one."""

from typing import TypeVar

from msgspec.structs import replace

from proxy.ledger.commands import (
    Authorize,
    Command,
    CreateKey,
    Detach,
    Done,
    Grant,
    Granted,
    OpenAccount,
    Recover,
    Reroute,
    Result,
    Settle,
    Settled,
    Void,
)
from proxy.ledger.records import Record
from proxy.ledger.rows import NEVER_US, UNLIMITED, Call, Limits, Object, Outcome
from proxy.ledger.store import Store
from proxy.ledger.top_up_rows import TopUp, TopUpOrigin
from proxy.ledger.windows import DAY_US
from proxy.metering.usage import Inference
from proxy.pricing.charge import Charge, Line

NOON_US = 20_000 * DAY_US + DAY_US // 2
ACCOUNT, KEY = "acct_1", "key_1"
USAGE = {"requests": 1, "input_tokens": 100, "cached_input_tokens": 40, "output_tokens": 20}

_Kind = TypeVar("_Kind", bound=Result)


def opening(
    funds_nano: int, *, account_id: str = ACCOUNT, key_id: str = KEY, limits: Limits = UNLIMITED
) -> list[Command]:
    """An account with a key and a lot; ids of the lot and the command follow from the account's."""
    return [
        OpenAccount(account_id, "Ada", NOON_US, limits=limits),
        CreateKey(account_id, key_id, "laptop", f"digest of {key_id}", "abcd", NOON_US),
        grant(funds_nano, account_id=account_id),
    ]


def grant(
    funds_nano: int, *, account_id: str = ACCOUNT, command_id: str = "grant_1", expires_at_us: int = NEVER_US
) -> Grant:
    lot_id = f"lot_of_{account_id}_{command_id}"
    return Grant(account_id, command_id, lot_id, funds_nano, NOON_US, expires_at_us=expires_at_us)


def top_up(
    id_: str = "topup_1",
    cents: int = 5_000,
    *,
    account_id: str = ACCOUNT,
    bonus_percent: int = 5,
    days: int = 0,
    origin: TopUpOrigin = "request",
    expires_at_us: int = NEVER_US,
) -> TopUp:
    """A top-up through `manual` that buys as much as it costs, and a bonus."""
    nano = cents * 10_000_000
    figures = (cents, 0, nano, nano * bonus_percent // 100, days)
    return TopUp(account_id, id_, "manual", origin, "", *figures, NOON_US, expires_at_us)


def call(
    call_id: str, *, account_id: str = ACCOUNT, key_id: str = KEY, model: str = "small", at_us: int = NOON_US
) -> Call:
    return Call(call_id, account_id, key_id, "chat", model, "main", f"{model}-2024", True, at_us)


def authorize(made: Call, nano: int, *, owner: str, tokens: int = 0) -> Authorize:
    """All or nothing."""
    return Authorize(made, nano, nano, tokens, made.started_at_us, owner)


def charge(nano: int) -> Charge:
    return Charge(nano, (Line("output_tokens", 20, "1.5", 1, nano),) if nano else (), "small@1")


def settle(made: Call, nano: int) -> Settle:
    at_us = made.started_at_us
    inferred: dict[str, Inference] = {"output_tokens": "total"}
    outcome = Outcome("complete", 200, "reported", USAGE, at_us + 900, at_us + 300, 1, inferred=inferred)
    return Settle(made, at_us, at_us + 900, outcome, charge(nano))


def record(made: Call, nano: int, *, at_us: int | None = None) -> Record:
    """Usage at the time of `made`, told of then or later."""
    told_us = made.started_at_us if at_us is None else at_us
    outcome = Outcome("complete", 200, "reported", USAGE, told_us)
    return Record(
        made, f"event {made.id}", f"digest of {made.id}", made.started_at_us, told_us, outcome, charge(nano)
    )


def void(made: Call) -> Void:
    at_us = made.started_at_us
    return Void(made, at_us, at_us + 5, Outcome("unreachable", 502, "void", {}, at_us + 5))


def recover(made: Call, *, at_us: int | None = None) -> Recover:
    return Recover(made, made.started_at_us, made.started_at_us + 60_000_000 if at_us is None else at_us)


def detach(made: Call, deadline_us: int) -> Detach:
    return Detach(made, made.started_at_us, made.started_at_us, deadline_us)


def made_by(made: Call, id_: str = "object_1", *, seen: str = '{"status":"queued"}') -> Object:
    """What a call has made."""
    at_us = made.started_at_us
    return Object(made.account_id, id_, "video", "main", made.key_id, made.id, made.model, at_us, seen)


def reroute(made: Call, upstream: str) -> Reroute:
    return Reroute(replace(made, upstream=upstream, upstream_model=f"{made.model} of {upstream}"))


async def expect(store: Store, kind: type[_Kind], command: Command) -> _Kind:
    """Carry out one command, whose result must be of a kind."""
    (result,) = await store.apply([command])
    assert isinstance(result, kind), result
    return result


async def granted(store: Store, made: Call, nano: int) -> Granted:
    return await expect(store, Granted, authorize(made, nano, owner=store.owner))


async def settled(store: Store, made: Call, nano: int) -> Settled:
    return await expect(store, Settled, settle(made, nano))


async def done(store: Store, command: Command) -> Done:
    return await expect(store, Done, command)


async def account(store: Store, account_id: str = ACCOUNT) -> dict[str, object]:
    (row,) = await store.query("account_by_id", {"account_id": account_id})
    return row
