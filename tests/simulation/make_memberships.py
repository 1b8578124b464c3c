"""How commands about fees, renewals and plans are made up."""

from typing import Final

from msgspec.structs import replace

from proxy.ledger.dues import NO_DUES, ChangePlan, Dues, Fee, Renew, Renewal, TakeFee
from proxy.ledger.rows import NEVER_US
from tests.simulation.make_accounts import GROUPS, earlier_command_id
from tests.simulation.model import DAY_US
from tests.simulation.world import HOUR_US, World

OFFERS: Final[dict[str, tuple[Dues, ...]]] = {
    "": (NO_DUES, Dues(is_prorated=False), Dues(ends=(("vip", ("renewal", "grant")),))),
    "vip": (
        Dues(
            *(
                Renewal(2_000_000, lasts_us=3 * DAY_US, most_nano=3_000_000),
                Fee(9_000_001, included_nano=3_000_001),
            ),
            minimum_nano=300_000_000,
        ),
        Dues(Renewal(2_000_000), Fee(9_000_001, included_nano=3_000_001), is_prorated=False),
        Dues(Renewal(70_000, lasts_us=3 * DAY_US, priority=10, back_fill=2), Fee(5, grace_us=5 * HOUR_US)),
        Dues(
            fee=Fee(40_000_001, included_nano=9_001, months=12, included_lasts=3, included_most_nano=20_000)
        ),
    ),
    "beta": (
        Dues(Renewal(1_000, every="month", lasts_us=NEVER_US), Fee(7_000_003, anchor="calendar")),
        Dues(
            Renewal(500_000, kind="daily", most_nano=700_000),
            Fee(90_000_007, "calendar", 500_001, months=12, included_lasts=2, included_most_nano=800_000),
            ends=(("vip", ("renewal",)),),
        ),
        Dues(None, Fee(7_000_003, "calendar", 500_001, 20, 0, "vip"), is_prorated=False),
        Dues(Renewal(500_000, kind="daily"), minimum_nano=900_000_000),
    ),
}
"""What the groups have given and asked at one time or another: a configuration may change."""


def take_fee(world: World) -> TakeFee:
    """A fee, at times more than there is."""
    account_id, at_us = world.account(), world.at_us()
    amount_nano = 0 if world.happens(5) else world.up_to(40_000_000)
    command_id = earlier_command_id(world, account_id) if world.happens(5) else None
    return TakeFee(account_id, command_id or world.new_id("fee"), amount_nano, "set up", at_us)


def renew(world: World) -> Renew:
    """What is due in the group of an account; now and then in another one."""
    account_id, at_us = world.account(), world.at_us()
    party = world.model.parties.get(account_id)
    group = party.account.group if party and not world.happens(5) else world.one_of(GROUPS)
    return Renew(account_id, _command_id(world, account_id), group, _dues(world, group), at_us)


def change_plan(world: World) -> ChangePlan:
    """A move from the group of an account to one that there is; now and then from another one."""
    account_id, at_us = world.account(), world.at_us()
    party = world.model.parties.get(account_id)
    left = party.account.group if party and not world.happens(5) else world.one_of(GROUPS)
    group = world.one_of(GROUPS)
    id_ = _command_id(world, account_id)
    return ChangePlan(account_id, id_, group, _dues(world, group), at_us, left)


def _dues(world: World, group: str) -> Dues:
    offers = OFFERS[group]
    dues = offers[0] if world.happens(70) else world.one_of(offers)
    return replace(dues, is_prorated=False) if world.happens(5) else dues


def _command_id(world: World, account_id: str) -> str:
    earlier = earlier_command_id(world, account_id) if world.happens(3) else None
    return earlier or world.new_id("dues")
