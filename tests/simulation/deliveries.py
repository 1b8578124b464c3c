"""How commands about events are made up, and how the auditor's model follows them."""

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.deliveries import ForgetEvents, NoteDelivery, RouteEvent, TellExpiry
from proxy.ledger.events import Delivery, Event
from tests.simulation.follow_accounts import CONFLICT, NO_ACCOUNT
from tests.simulation.model import Model
from tests.simulation.world import HOUR_US, World

ENDPOINTS = ("crm", "billing", "alerts")
RECENT = 6


def route_event(world: World) -> RouteEvent:
    """One of an account's latest events to some endpoints, some of which may know it; now and then none."""
    account_id = world.account()
    event = _event(world, account_id)
    names = world.one_of(((), ENDPOINTS[:1], ENDPOINTS[1:], ENDPOINTS))
    event_id = event.id if event and not world.happens(3) else "evt_nothing"
    return RouteEvent(account_id, event_id, names, world.at_us(), again=world.happens(10))


def note_delivery(world: World) -> NoteDelivery | None:
    """An attempt at one of the deliveries of an account, perhaps after another's."""
    account_id = world.account()
    known = list(world.model.deliveries.get(account_id, {}).values())
    if not known:
        return None
    delivery, at_us = world.one_of(known[-RECENT:]), world.at_us()
    attempts = delivery.attempts + (1 if world.happens(5) else 0)
    ids = (account_id, delivery.event_id, delivery.endpoint, attempts)
    if world.happens(50):
        return NoteDelivery(*ids, "delivered", at_us, at_us, 204)
    if world.happens(20):
        return NoteDelivery(*ids, "dead", at_us, at_us, 500, "x" * 300)
    return NoteDelivery(*ids, "pending", at_us, at_us + HOUR_US, 0, "timeout")


def tell_expiry(world: World) -> TellExpiry:
    """A lot of an account, which may be used up or due; now and then none."""
    account_id = world.account()
    party = world.model.parties.get(account_id)
    lots = [piece["id"] for piece in party.history.pieces] if party else []
    return TellExpiry(account_id, world.one_of(lots) if lots else "lot_nobody", world.at_us())


def forget_events(world: World) -> ForgetEvents:
    """Some of an account's events, of which some are old."""
    account_id = world.account()
    ids = tuple(world.model.events.get(account_id, {}))[:RECENT]
    names = ENDPOINTS if world.happens(80) else ENDPOINTS[:1]
    return ForgetEvents(account_id, ids, names, world.at_us() - world.one_of((0, 2 * HOUR_US)))


def follow_route(model: Model, command: RouteEvent) -> Done | Refused:
    """Each endpoint is told once, unless it is to be told again."""
    mine = model.events.get(command.account_id, {})
    event = mine.get(command.event_id)
    if event is None:
        return NO_ACCOUNT
    deliveries = model.deliveries.setdefault(command.account_id, {})
    for name in command.endpoints:
        if command.again or (event.id, name) not in deliveries:
            deliveries[event.id, name] = Delivery(
                *(event.account_id, event.id, name, "pending", 0, command.at_us, command.at_us)
            )
    mine[event.id] = replace(event, state="routed")
    model.touch(command.account_id).times[event.at_us] = None
    return Done(model.parties[command.account_id].row())


def follow_note(model: Model, command: NoteDelivery) -> Done | Refused:
    """Attempts follow one another until one ends it."""
    deliveries = model.deliveries.get(command.account_id, {})
    delivery = deliveries.get((command.event_id, command.endpoint))
    if delivery is None:
        return NO_ACCOUNT
    if (delivery.state, delivery.attempts) != ("pending", command.attempts):
        return CONFLICT
    deliveries[command.event_id, command.endpoint] = replace(
        delivery,
        state=command.state,
        attempts=command.attempts + 1,
        at_us=command.at_us,
        next_at_us=command.next_at_us,
        status=command.status,
        reason=command.reason[:200],
    )
    return Done(model.parties[command.account_id].row())


def follow_expiry(model: Model, command: TellExpiry) -> Done | Refused:
    """Telling moves no money; which event there must be, `events` knows."""
    party = model.parties.get(command.account_id)
    return NO_ACCOUNT if party is None else Done(party.row())


def follow_forget(model: Model, command: ForgetEvents) -> Done | Refused:
    """What is old goes, unless somebody has still to be told of it."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    mine, deliveries = model.events.get(command.account_id, {}), model.deliveries.get(command.account_id, {})
    for id_ in command.event_ids:
        event = mine.get(id_)
        waits = [deliveries[id_, name].state for name in command.endpoints if (id_, name) in deliveries]
        if event and event.state == "routed" and event.at_us < command.before_us and "pending" not in waits:
            model.touch(command.account_id).times[event.at_us] = None
            del mine[id_]
            for key in [key for key in deliveries if key[0] == id_]:
                del deliveries[key]
    return Done(party.row())


def _event(world: World, account_id: str) -> Event | None:
    known = list(world.model.events.get(account_id, {}).values())
    return world.one_of(known[-RECENT:]) if known else None
