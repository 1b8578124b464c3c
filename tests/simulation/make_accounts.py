"""How commands about accounts, keys and credit are made up."""

from typing import Any

from msgspec.structs import replace

from proxy.ledger.commands import Adjust, ChangeAccount, ChangeKey, CreateKey, Grant, OpenAccount, Sweep
from proxy.ledger.rows import NEVER_US, NO_LIMIT, NO_RULES, NO_THRESHOLD, AlertRules, Limits
from proxy.money import MAX_NANO
from tests.simulation.world import World

MOST_KEYS = 5
PRIORITIES = (10, 50, 50, 50, 90)
GROUPS = ("", "", "vip", "beta")
RULES = (NO_RULES, AlertRules(NO_THRESHOLD), AlertRules(700_000, (10, 99)), AlertRules(limit_percents=()))


def open_account(world: World) -> OpenAccount:
    """A new account while there are to be more, else one there is already."""
    at_us = world.at_us()
    if world.accounts and (len(world.accounts) >= world.extent.accounts or world.happens(5)):
        return OpenAccount(world.account(), "Again", at_us)
    account_id = world.new_id("acct")
    world.accounts.append(account_id)
    limits, group = world.limits(kind="account"), GROUPS[len(world.accounts) % len(GROUPS)]
    return OpenAccount(account_id, account_id, at_us, _credit_limit(world), limits, group)


def change_account(world: World) -> ChangeAccount:
    """One thing about an account: limits, the credit limit, its status, or what else it has."""
    command = ChangeAccount(world.account(), world.at_us())
    roll = world.chance.randrange(10)
    if roll < 3:
        return replace(command, limits=world.limits(kind="account"))
    if roll < 4:
        return replace(command, own_day_nano=world.one_of((NO_LIMIT, world.up_to(40_000_000))))
    if roll < 7:
        return replace(command, credit_limit_nano=_credit_limit(world))
    if roll < 9:
        return replace(command, status="suspended" if world.happens(20) else "active")
    changes: list[dict[str, Any]] = [{"alerts": world.one_of(RULES)}, {"group": world.one_of(GROUPS)}]
    return replace(command, **world.one_of([*changes, {"name": world.new_id("name")}]))


def create_key(world: World) -> CreateKey | None:
    """A further key of an account that has not too many; now and then under the id of one that it has.

    That an id is another account's key's is seen by the schema only, as it is of a digest.
    """
    account_id, at_us = world.account(), world.at_us()
    party = world.model.parties.get(account_id)
    if party and len(party.keys) >= MOST_KEYS:
        return None
    taken = party.keys if party and world.happens(3) else ()
    key_id = world.one_of(taken) if taken else world.new_id("key")
    expires_at_us = world.expiry_us(at_us) if world.happens(10) else NEVER_US
    models = world.one_of(((), (), (), (), ("small",), ("s*", "free")))
    return CreateKey(
        account_id,
        key_id,
        "A key",
        f"digest of {key_id}",
        key_id[-4:],
        at_us,
        expires_at_us=expires_at_us,
        models=models,
        limits=world.limits(kind="key"),
        billing=world.one_of(("", "", "manage", "read")),
    )


def change_key(world: World) -> ChangeKey:
    """One thing about a key: limits, status, expiry, models, billing or name."""
    account_id = world.account()
    command = ChangeKey(account_id, world.key_of(account_id), world.at_us())
    roll = world.chance.randrange(10)
    if roll < 4:
        return replace(command, limits=world.limits(kind="key"))
    if roll < 6:
        return replace(command, status="disabled" if world.happens(20) else "active")
    if roll < 8:
        expires_at_us = world.expiry_us(command.at_us) if world.happens(25) else NEVER_US
        return replace(command, expires_at_us=expires_at_us)
    if roll < 9:
        return replace(command, models=world.one_of(((), (), ("small", "half"), ("d*",))))
    if world.happens(50):
        return replace(command, billing=world.one_of(("", "manage", "read")))
    return replace(command, name=world.new_id("name"))


def grant(world: World) -> Grant:
    """Credit, mostly worth some dozens of calls, with or without an end; now and then what is impossible."""
    account_id, at_us = world.account(), world.at_us()
    command = Grant(
        account_id,
        world.new_id("grant"),
        world.new_id("lot"),
        world.up_to(60_000_000),
        at_us,
        priority=world.one_of(PRIORITIES),
        expires_at_us=world.expiry_us(at_us),
        kind=world.one_of(("purchase", "grant", "bonus")),
        note=world.one_of(("", "welcome")),
    )
    roll = world.chance.randrange(100)
    if roll < 2:
        return replace(command, amount_nano=world.one_of((0, -5, MAX_NANO)))
    if roll < 4:
        return replace(command, expires_at_us=at_us - world.one_of((0, 1, 5_000)))
    return (
        replace(command, command_id=earlier_command_id(world, account_id) or command.command_id)
        if roll < 8
        else command
    )


def adjust(world: World) -> Adjust:
    """A correction up or down; now and then of nothing, or of far more than there is."""
    account_id, at_us = world.account(), world.at_us()
    amount_nano = world.up_to(10_000_000) * world.one_of((1, -1, -1))
    if world.happens(5):
        amount_nano = world.one_of((0, -(10**15)))
    command_id = (earlier_command_id(world, account_id) if world.happens(5) else None) or world.new_id(
        "adjust"
    )
    return Adjust(account_id, command_id, world.new_id("lot"), amount_nano, "a correction", at_us)


def sweep(world: World) -> Sweep:
    """What is due at an account."""
    return Sweep(world.account(), world.at_us())


def newcomer(world: World) -> list[OpenAccount | CreateKey | Grant]:
    """An account as most begin: with a key or two and some credit."""
    account_id = world.new_id("acct")
    world.accounts.append(account_id)
    limits = world.limits(kind="account") if world.happens(40) else Limits()
    credit_nano = _credit_limit(world) if world.happens(20) else 0
    commands: list[OpenAccount | CreateKey | Grant] = [
        OpenAccount(
            account_id,
            account_id,
            world.at_us(),
            credit_nano,
            limits,
            GROUPS[len(world.accounts) % len(GROUPS)],
        )
    ]
    for _ in range(world.one_of((1, 1, 2))):
        key_id = world.new_id("key")
        limits = world.limits(kind="key") if world.happens(25) else Limits()
        commands.append(
            CreateKey(account_id, key_id, "", f"digest of {key_id}", "", world.at_us(), limits=limits)
        )
    at_us = world.at_us()
    ids = world.new_id("grant"), world.new_id("lot")
    expires_at_us = world.expiry_us(at_us)
    commands.append(Grant(account_id, *ids, world.up_to(60_000_000), at_us, expires_at_us=expires_at_us))
    return commands


def _credit_limit(world: World) -> int:
    if world.happens(2):
        return world.one_of((-1, MAX_NANO + 1, MAX_NANO))
    return 0 if world.happens(40) else world.up_to(20_000_000)


def earlier_command_id(world: World, account_id: str) -> str | None:
    """The id of a command that the account was given before."""
    party = world.model.parties.get(account_id)
    return world.one_of(list(party.done)) if party and party.done else None
