"""How the auditor's model follows quotas and holdings, and how holdings are made up."""

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, Close, Done, Refused
from proxy.ledger.quotas import SetHoldings
from proxy.ledger.rows import Membership
from tests.simulation.follow_accounts import CONFLICT, NO_ACCOUNT
from tests.simulation.model import DAY_US, Model, Party
from tests.simulation.world import HOUR_US, World

LADDER = ("", "vip")


def used_up(party: Party, command: Authorize) -> Refused | None:
    """A quota has so many calls for each day of the calendar, and no more."""
    if command.quota is None:
        return None
    day, used = _today(party, command.at_us)
    if used.get(command.quota.name, 0) < command.quota.limit:
        return None
    source = f"quota_{command.quota.name}"
    return Refused("quota_exceeded", "", limit_source=source, resets_at_us=(day + 1) * DAY_US)


def count(model: Model, party: Party, command: Authorize) -> None:
    """A call that is let through is one of its day."""
    if command.quota is None:
        return
    day, used = _today(party, command.at_us)
    name = command.quota.name
    _keep(party, day, used | {name: used.get(name, 0) + 1}, command.at_us)
    model.quotas[command.call.id] = name


def uncount(model: Model, command: Close, name: str | None) -> None:
    """A call that came to nothing is none of its day, while that is the last one."""
    party = model.parties[command.call.account_id]
    member = party.member
    name = model.quotas.get(command.call.id, "") if name is None else name
    if not name or member is None or member.quota_day * DAY_US > command.authorized_at_us:
        return
    if command.authorized_at_us >= (member.quota_day + 1) * DAY_US:
        return
    used = dict(member.used)
    if used.get(name):
        _keep(party, member.quota_day, used | {name: used[name] - 1}, command.at_us)


def set_holdings(world: World) -> SetHoldings:
    """What an account holds, as of now or earlier; the more it is, the better its group."""
    account_id, at_us = world.account(), world.at_us()
    held = world.up_to(20_000_000)
    as_of_us = at_us - world.one_of((0, 0, HOUR_US, 9 * HOUR_US))
    return SetHoldings(account_id, held, as_of_us, LADDER[held > 1_000], LADDER, at_us)


def follow_holdings(model: Model, command: SetHoldings) -> Done | Refused:
    """What is said of a later time counts, and it moves nobody whom holdings do not concern."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    before = party.account.group
    member = party.member or Membership(party.account.id, before, command.at_us)
    if member.held_at_us > command.as_of_us:
        return Done(party.row(), replayed=True, membership=member)
    if before not in ("", *command.groups):
        return CONFLICT
    member = replace(member, held=command.held, held_at_us=command.as_of_us)
    if before != command.group:
        member = replace(member, group=command.group, since_us=command.at_us, due_us=0, unpaid_us=0)
        party.account = replace(party.account, group=command.group)
    party.member = member
    return Done(party.row(), membership=member)


def _today(party: Party, at_us: int) -> tuple[int, dict[str, int]]:
    """The day that a call counts to, and what has been used on it."""
    day = at_us // DAY_US
    if party.member is None or party.member.quota_day < day:
        return day, {}
    return party.member.quota_day, dict(party.member.used)


def _keep(party: Party, day: int, used: dict[str, int], at_us: int) -> None:
    member = party.member or Membership(party.account.id, party.account.group, at_us)
    party.member = replace(member, quota_day=day, used=tuple(sorted(used.items())))
