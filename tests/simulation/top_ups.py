"""How commands about top-ups are made up, and how the auditor's model follows them."""

from fractions import Fraction
from math import floor
from typing import Final

from msgspec.structs import replace

from proxy.ledger.commands import Adjust, Done, Grant, Refused
from proxy.ledger.returns import RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US
from proxy.ledger.top_up_rows import TopUp, TopUpOrigin, TopUpReference
from proxy.ledger.top_ups import (
    ConfirmTopUp,
    FailTopUp,
    NoteTopUp,
    OfTopUp,
    OpenTopUp,
    RefundTopUp,
    ReverseTopUp,
)
from proxy.money import MAX_NANO
from tests.ledger.auditor import ZERO, dollars, nano
from tests.simulation import follow_accounts, follow_returns
from tests.simulation.follow_accounts import CONFLICT, INVALID, NO_ACCOUNT, earlier_result, noted
from tests.simulation.make_accounts import earlier_command_id
from tests.simulation.model import DAY_US, Model, Party
from tests.simulation.world import World

RECENT: Final = 12


def open_top_up(world: World) -> OpenTopUp:
    """Some dollars' worth, with a bonus, a fee or a discount; at times again, and now and then of nothing."""
    account_id, at_us = world.account(), world.at_us()
    known = world.model.top_ups.get(account_id)
    if known and world.happens(8):
        asked = world.one_of(list(known.values()))
        return OpenTopUp(account_id, _as_new(asked, world.one_of((0, 0, 1)), at_us))
    cents = 0 if world.happens(3) else world.up_to(9)
    fee_cents = world.one_of((0, 0, 1))
    origin: TopUpOrigin = "automatic" if world.happens(30) else "request"
    package = world.one_of(("", "starter"))
    made = TopUp(
        *(account_id, world.new_id("topup"), world.one_of(("manual", "stripe")), origin, package),
        *(
            cents + fee_cents,
            fee_cents,
            cents * world.one_of((10**6, 1_111_111)),
            world.one_of((0, 0, 123_457)),
        ),
        *(world.one_of((0, 1, 30)), at_us, world.expiry_us(at_us)),
        method=world.one_of(("", "", "card")),
    )
    party = world.model.parties.get(account_id)
    group = party.account.group if party and world.happens(94) else world.one_of((None, "beta"))
    return OpenTopUp(account_id, made, world.one_of((2, 5, 5)), group)


def note_top_up(world: World) -> NoteTopUp | None:
    """The provider's name for one of the latest; now and then that of another, or by another provider."""
    made = _one(world)
    if made is None:
        return None
    provider = "other" if world.happens(3) else made.provider
    return NoteTopUp(
        made.account_id, made.id, world.at_us(), provider, _name(world, 10), "https://pay.example"
    )


def confirm_top_up(world: World) -> ConfirmTopUp | None:
    """One of the latest is paid; now and then too little, by a payment that was told before, or again."""
    made = _one(world)
    if made is None:
        return None
    cents = made.price_cents + (world.one_of((-1, 1)) if world.happens(5) else 0)
    name = made.reference if world.happens(20) else _name(world, 20)
    lots = world.new_id("lot"), world.new_id("lot")
    id_ = "topup_nobody" if world.happens(2) else made.id
    return ConfirmTopUp(made.account_id, id_, world.at_us(), made.provider, name, cents, *lots)


def fail_top_up(world: World) -> FailTopUp | None:
    """One of the latest was not paid, or at least its provider says so."""
    made = _one(world)
    if made is None:
        return None
    state = "expired" if world.happens(40) else "failed"
    return FailTopUp(
        made.account_id, made.id, world.at_us(), "expired" if state == "expired" else "failed", "late"
    )


def refund_top_up(world: World) -> RefundTopUp | None:
    """Some of what was paid, at times more than that."""
    made = _one(world, is_paid=True)
    if made is None:
        return None
    cents = 0 if world.happens(3) else world.up_to(made.price_cents)
    earlier = earlier_command_id(world, made.account_id) if world.happens(3) else None
    command_id = earlier or world.new_id("command")
    return RefundTopUp(made.account_id, made.id, world.at_us(), command_id, cents, "sent back")


def reverse_top_up(world: World) -> ReverseTopUp | None:
    """The provider has paid some back, or lost it; at times it tells of an earlier sum once more."""
    made = _one(world, is_paid=True)
    if made is None:
        return None
    sums = (0, 0, 1, made.refunded_cents, made.price_cents)
    return ReverseTopUp(
        *(made.account_id, made.id, world.at_us(), world.one_of(sums), world.one_of(sums), "a dispute"),
        world.one_of(("owe", "owe", "forgive")),
    )


def follow_open(model: Model, command: OpenTopUp) -> Done | Refused:
    """One under each id, for something; few are pending, those aside that are due."""
    party, asked = model.parties.get(command.account_id), command.top_up
    if party is None:
        return NO_ACCOUNT
    known = model.top_ups.setdefault(command.account_id, {})
    if asked.id in known:
        earlier = known[asked.id]
        same = (earlier.package, earlier.method, earlier.provider, earlier.origin) == (
            asked.package,
            asked.method,
            asked.provider,
            asked.origin,
        )
        if same and (asked.package or earlier.credit_nano == asked.credit_nano):
            return Done(party.row(), top_up=earlier, replayed=True)
        return Refused("idempotency_conflict", "")
    if asked.credit_nano <= 0:
        return INVALID
    pending = [each for each in known.values() if each.state == "pending"]
    alive = [each for each in pending if asked.created_at_us < each.expires_at_us]
    twice = asked.origin == "automatic" and "automatic" in [each.origin for each in alive]
    alike = [each for each in alive if each.origin == asked.origin]
    elsewhere = command.group is not None and command.group != party.account.group
    if elsewhere or twice or len(alike) >= command.most_pending:
        return CONFLICT
    for each in pending:
        if each not in alive:
            known[each.id] = replace(
                each, state="expired", reason="It was not paid in time.", closed_at_us=asked.created_at_us
            )
    known[asked.id] = asked
    return Done(party.row(), top_up=asked)


def follow_note(model: Model, command: NoteTopUp) -> Done | Refused:
    """A pending one gets the name, if that is no other's."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, made = found
    if (made.reference, made.url) == (command.reference, command.url):
        return Done(party.row(), top_up=made, replayed=True)
    if made.state != "pending" or not _named(model, made, command.provider, command.reference):
        return CONFLICT
    return Done(party.row(), top_up=_put(model, made, reference=command.reference, url=command.url))


def follow_confirm(model: Model, command: ConfirmTopUp) -> Done | Refused:
    """Credit and bonus are put in once, for the price that was asked, by a payment that paid nothing else."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, made = found
    if made.state == "succeeded":
        same = "" in (command.reference, made.reference) or command.reference == made.reference
        return Done(party.row(), top_up=made, replayed=True) if same else CONFLICT
    if command.price_cents != made.price_cents:
        return CONFLICT
    if party.history.balance() + dollars(made.credit_nano + made.bonus_nano) > dollars(MAX_NANO):
        return INVALID
    if not _named(model, made, command.provider, command.reference):
        return CONFLICT
    ends_us = command.at_us + made.days * DAY_US if made.days else NEVER_US
    parts = [("", command.lot_id, made.credit_nano, "purchase")]
    if made.bonus_nano:
        parts.append((" bonus", command.bonus_lot_id, made.bonus_nano, "bonus"))
    for ending, lot_id, amount_nano, kind in parts:
        id_ = f"top-up {made.id}{ending}"
        given = Grant(made.account_id, id_, lot_id, amount_nano, command.at_us, kind, expires_at_us=ends_us)
        assert isinstance(follow_accounts.grant(model, given), Done)
    changes = {"lot_id": command.lot_id, "bonus_lot_id": command.bonus_lot_id if made.bonus_nano else ""}
    made = _put(model, made, **changes, reference=command.reference or made.reference)
    return Done(party.row(), top_up=_close(model, made, "succeeded", "", command.at_us))


def follow_fail(model: Model, command: FailTopUp) -> Done | Refused:
    """What is pending is closed, and nothing else."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, made = found
    if made.state == command.state:
        return Done(party.row(), top_up=made, replayed=True)
    if made.state != "pending":
        return CONFLICT
    return Done(party.row(), top_up=_close(model, made, command.state, command.reason, command.at_us))


def follow_refund(model: Model, command: RefundTopUp) -> Done | Refused:
    """The share of the credit goes, and what is left of the bonus."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, made = found
    if made.state != "succeeded":
        return CONFLICT
    given = (made.account_id, command.command_id, made.lot_id, command.reason, command.at_us)
    taking = RefundLot(*given, _share(made, command.cents))
    earlier = earlier_result(party, taking)
    if earlier:
        return earlier if isinstance(earlier, Refused) else replace(earlier, top_up=made)
    if command.cents > made.price_cents - made.fee_cents - made.refunded_cents - made.disputed_cents:
        return CONFLICT
    taken = follow_returns.refund_lot(model, taking)
    if isinstance(taken, Refused):
        return taken
    _void_bonus(model, party, made, command.command_id, command.reason, command.at_us)
    made = _put(
        model,
        made,
        refunded_cents=made.refunded_cents + command.cents,
        returned_nano=made.returned_nano + taking.amount_nano,
    )
    return Done(party.row(), top_up=made, entry=taken.entry)


def follow_reverse(model: Model, command: ReverseTopUp) -> Done | Refused:
    """What is unused goes, and the rest is owed or let go; sums never fall."""
    found = _found(model, command)
    if isinstance(found, Refused):
        return found
    party, made = found
    if made.state != "succeeded":
        return CONFLICT
    sums = {
        "refunded_cents": max(made.refunded_cents, command.refunded_cents),
        "disputed_cents": max(made.disputed_cents, command.disputed_cents),
    }
    total = sum(sums.values())
    if total == made.refunded_cents + made.disputed_cents:
        return Done(party.row(), top_up=made, replayed=True)
    id_, history, at_us = f"top-up {made.id} reversed by {total}", party.history, command.at_us
    wanted_nano = max(0, _share(made, total) - made.returned_nano)
    history.expire(at_us)
    taken_nano = min(wanted_nano, nano(_spare(party, made.lot_id, at_us)))
    if taken_nano:
        taking = RefundLot(made.account_id, id_, made.lot_id, command.reason, at_us, taken_nano)
        assert isinstance(follow_returns.refund_lot(model, taking), Done)
    _void_bonus(model, party, made, id_, command.reason, at_us)
    owed_nano = wanted_nano - taken_nano if command.on_used == "owe" else 0
    if owed_nano:
        owing = Adjust(made.account_id, f"{id_} beyond credit", "", -owed_nano, command.reason, at_us)
        history.owed += dollars(owed_nano)
        history.post("adjust", -dollars(owed_nano), owing.command_id, at_us, [])
        noted(model, party, owing)
    sums |= {"returned_nano": made.returned_nano + wanted_nano, "owed_nano": made.owed_nano + owed_nano}
    return Done(party.row(), top_up=_put(model, made, **sums))


def _as_new(asked: TopUp, more_nano: int, at_us: int) -> TopUp:
    """The same again, or nearly."""
    return TopUp(
        *(asked.account_id, asked.id, asked.provider, asked.origin, asked.package, asked.price_cents),
        *(asked.fee_cents, asked.credit_nano + more_nano, asked.bonus_nano, asked.days, at_us, NEVER_US),
        method=asked.method,
    )


def _one(world: World, *, is_paid: bool = False) -> TopUp | None:
    """One of the latest of an account, paid or not."""
    known = list(world.model.top_ups.get(world.account(), {}).values())[-RECENT:]
    if is_paid and not world.happens(3):
        known = [each for each in known if each.state == "succeeded"]
    return world.one_of(known) if known else None


def _name(world: World, percent: int) -> str:
    """A provider's name for something that was paid; at times one that it has used before, or none."""
    known = list(world.model.references)[-RECENT:]
    if known and world.happens(percent):
        return world.one_of(known)[1]
    return "" if world.happens(10) else world.new_id("pay")


def _found(model: Model, command: OfTopUp) -> tuple[Party, TopUp] | Refused:
    party = model.parties.get(command.account_id)
    made = model.top_ups.get(command.account_id, {}).get(command.top_up_id)
    return NO_ACCOUNT if party is None or made is None else (party, made)


def _named(model: Model, made: TopUp, provider: str, name: str) -> bool:
    """Note what the provider calls it, if it can be called so."""
    if provider != made.provider:
        return False
    mine = TopUpReference(provider, name, made.account_id, made.id)
    return not name or model.references.setdefault((provider, name), mine) == mine


def _put(model: Model, made: TopUp, **changes: int | str) -> TopUp:
    made = replace(made, **changes)
    model.top_ups[made.account_id][made.id] = made
    return made


def _close(model: Model, made: TopUp, state: str, reason: str, at_us: int) -> TopUp:
    return _put(model, made, state=state, reason=reason, closed_at_us=at_us)


def _share(made: TopUp, cents: int) -> int:
    """The credit that so many cents have bought, in whole nano-dollars that are not too many."""
    bought = made.price_cents - made.fee_cents
    return floor(Fraction(made.credit_nano * min(cents, bought), bought))


def _spare(party: Party, lot_id: str, at_us: int) -> Fraction:
    left = [piece["left"] for piece in party.history.pieces if piece["id"] == lot_id]
    return party.history.spare(lot_id, at_us) if any(left) else ZERO


def _void_bonus(model: Model, party: Party, made: TopUp, command_id: str, reason: str, at_us: int) -> None:
    if _spare(party, made.bonus_lot_id, at_us):
        taking = VoidLot(made.account_id, f"{command_id} with bonus", made.bonus_lot_id, reason, at_us)
        assert isinstance(follow_returns.void_lot(model, taking), Done)
