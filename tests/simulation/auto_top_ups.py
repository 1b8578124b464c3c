"""How commands about automatic top-ups are made up, and how the auditor's model follows them."""

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.top_up_rows import AutoTopUp
from proxy.ledger.top_ups import SaveMethod, SetAutoTopUp
from tests.simulation.follow_accounts import INVALID, NO_ACCOUNT
from tests.simulation.model import Model
from tests.simulation.world import World


def set_auto(world: World) -> SetAutoTopUp:
    """On or off, for an amount or up to a target; now and then what is impossible."""
    account_id, at_us, threshold_nano = world.account(), world.at_us(), world.up_to(10**6)
    if world.happens(30):
        return SetAutoTopUp(account_id, at_us, "off")
    target_nano = threshold_nano + world.one_of((0, 1, 10**7)) if world.happens(50) else 0
    amount_nano = 0 if target_nano and world.happens(90) else world.one_of((0, 10**7))
    figures = (threshold_nano, amount_nano, target_nano, world.one_of((0, 10**8)), 0)
    return SetAutoTopUp(account_id, at_us, "on", *figures)


def save_method(world: World) -> SaveMethod:
    """The latest means of payment of an account."""
    return SaveMethod(world.account(), world.at_us(), world.new_id("cus"), world.new_id("pm"))


def follow_set(model: Model, command: SetAutoTopUp) -> Done | Refused:
    """What is set replaces what was, but for the means of payment."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    is_target = command.target_nano > command.threshold_nano and not command.amount_nano
    is_amount = command.amount_nano > 0 and not command.target_nano
    if command.state == "on" and not (is_target or is_amount):
        return INVALID
    before = model.autos.get(command.account_id, AutoTopUp(command.account_id))
    auto = model.autos[command.account_id] = AutoTopUp(
        command.account_id,
        command.state,
        command.threshold_nano,
        command.amount_nano,
        command.target_nano,
        command.daily_nano,
        command.monthly_nano,
        before.customer,
        before.method,
        command.at_us,
    )
    return Done(party.row(), auto_top_up=auto)


def follow_save(model: Model, command: SaveMethod) -> Done | Refused:
    """The latest means of payment replaces the one before."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    before = model.autos.get(command.account_id, AutoTopUp(command.account_id))
    auto = model.autos[command.account_id] = replace(
        before, customer=command.customer, method=command.method, changed_at_us=command.at_us
    )
    return Done(party.row(), auto_top_up=auto)
