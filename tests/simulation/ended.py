"""How windows that have ended are forgotten, and how the auditor's model follows that."""

from proxy.ledger.commands import Done, Refused
from proxy.ledger.ended import ForgetWindows
from tests.simulation.follow_accounts import NO_ACCOUNT
from tests.simulation.model import DAY_US, Model
from tests.simulation.world import World


def forget_windows(world: World) -> ForgetWindows:
    """Windows of an account of a day that is over or is not, of counters and of what it has spent."""
    account_id, at_us = world.account(), world.at_us()
    day = at_us // DAY_US - world.one_of((0, 1, 7, 30))
    names = sorted({name for mine, name, *_ in world.model.uses if mine == account_id})
    buckets, counters = ((account_id, "day", day),), tuple((name, "day", day) for name in names)
    return ForgetWindows(account_id, at_us, buckets, counters)  # type: ignore[arg-type]


def follow_forget(model: Model, command: ForgetWindows) -> Done | Refused:
    """Nothing of the few days of a simulation is old enough to go."""
    party = model.parties.get(command.account_id)
    return NO_ACCOUNT if party is None else Done(party.row())
