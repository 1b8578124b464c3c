"""The rules of telling of events: endpoints are chosen, attempts are noted, and what is old goes."""

from typing import Final

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.deliveries import ForgetEvents, NoteDelivery, RouteEvent, TellExpiry
from proxy.ledger.events import Delivery
from proxy.ledger.rows import NEVER_US
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.windows import iso
from proxy.money import usd_string

REASON_MAX: Final = 200


@carries_out(RouteEvent)
def route_event(books: Books, command: RouteEvent) -> Done | Refused:
    """Make a delivery to each endpoint that has none; to any, where the event is told of again."""
    event = books.events.get((command.account_id, command.event_id))
    if event is None:
        return _no_event(command.event_id)
    for name in command.endpoints:
        if command.again or (event.account_id, event.id, name) not in books.deliveries:
            times = (command.at_us, command.at_us)
            books.deliveries.put(Delivery(event.account_id, event.id, name, "pending", 0, *times))
    if event.state == "new":
        books.events.put(replace(event, state="routed"))
    return Done(books.accounts[event.account_id])


@carries_out(NoteDelivery)
def note_delivery(books: Books, command: NoteDelivery) -> Done | Refused:
    """Note an attempt; nothing follows a delivery that has ended."""
    delivery = books.deliveries.get((command.account_id, command.event_id, command.endpoint))
    if delivery is None:
        return _no_event(command.event_id)
    if delivery.state != "pending" or delivery.attempts != command.attempts:
        return Refused("conflict", f"{command.endpoint} was told of {command.event_id} meanwhile.")
    books.deliveries.put(
        replace(
            delivery,
            state=command.state,
            attempts=delivery.attempts + 1,
            at_us=command.at_us,
            next_at_us=command.next_at_us,
            status=command.status,
            reason=command.reason[:REASON_MAX],
        )
    )
    return Done(books.accounts[command.account_id])


@carries_out(TellExpiry)
def tell_expiry(books: Books, command: TellExpiry) -> Done | Refused:
    """Tell of what is left of a lot that has not expired yet."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    lot = books.lots.get(account.id, {}).get(command.lot_id)
    if lot is not None and lot.remaining_nano and command.at_us < lot.expires_at_us < NEVER_US:
        books.put_event(
            *(account.id, "credits.expiring", lot.id, command.at_us),
            amount=usd_string(lot.remaining_nano),
            kind=lot.kind,
            lot_id=lot.id,
            expires_at=iso(lot.expires_at_us),
        )
    return Done(account)


@carries_out(ForgetEvents)
def forget_events(books: Books, command: ForgetEvents) -> Done | Refused:
    """Delete each event that is old, is no longer new, and that no endpoint waits to be told of."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    for id_ in command.event_ids:
        event = books.events.get((account.id, id_))
        found = [books.deliveries.get((account.id, id_, name)) for name in command.endpoints]
        if event is None or event.at_us >= command.before_us:
            continue
        if event.state == "routed" and not any(each and each.state == "pending" for each in found):
            books.drop_event(event)
    return Done(account)


def _no_event(event_id: str) -> Refused:
    return Refused("not_found", f"There is no event {event_id} of this account.")
