"""How usage that was never authorized is made up, and how the auditor's model follows it."""

from msgspec.structs import replace

from proxy.ledger.commands import Recorded, Refused, Regrouped, Settled
from proxy.ledger.records import EVENT, Record
from proxy.ledger.rows import Call, Hold, Object, Outcome, Receipt
from tests.ledger.auditor import ACCOUNT, nano
from tests.simulation import end_users
from tests.simulation.counters import counted, let_go
from tests.simulation.follow_accounts import CONFLICT, INVALID, NO_ACCOUNT
from tests.simulation.model import DAY_US, Model, Party, in_force
from tests.simulation.world import CARDS, World

OF_AN_ACCOUNT = 60
"""How many of a hundred are of an account as a whole, and of no key."""
LATE = 30
"""How many of a hundred are told of late, by days at times."""


def record(world: World) -> Record:
    """What was used elsewhere, at times days ago; now and then under an id that there is, or of tomorrow."""
    account_id, at_us = world.account(), world.at_us()
    key_id = "" if world.happens(OF_AN_ACCOUNT) else world.key_of(account_id)
    used_at_us = at_us - world.up_to(3 * DAY_US) if world.happens(LATE) else at_us
    used_at_us += 2 * DAY_US if world.happens(2) else 0
    model = world.one_of(("small", "drawing", "stairs", "saver", "free"))
    usage = {"requests": 1, "input_tokens": world.up_to(9_000), "output_tokens": world.up_to(9_000)}
    usage = {"requests": 1} if model == "drawing" else usage
    made = Call(world.new_id("event"), account_id, key_id, "events", model, "", "", False, used_at_us)
    if world.happens(40):
        name = world.one_of(end_users.NAMES)
        made = replace(made, end_user=name, counts_user=bool(name) and world.happens(80))
    known = list(world.model.holds)[-50:]
    if known and world.happens(2):
        made = replace(made, id=world.one_of(known))
    name, digest = f"event {made.id}", f"digest of {made.id}"
    told = [row for row in world.model.objects.get(account_id, {}).values() if row.kind == EVENT]
    if told and world.happens(5):
        name = world.one_of(told).id
        digest = f"digest of {name.removeprefix('event ')}" if world.happens(70) else digest
    party = world.model.parties.get(account_id)
    return Record(
        *(made, name, digest, used_at_us, at_us),
        *(Outcome("complete", 200, "reported", usage, at_us), world.price(CARDS[model], usage)),
        on_shortfall="owe" if world.happens(30) else "forgive",
        group=party.account.group if party and world.happens(98) else "beta",
        defaults=world.defaults,
    )


def follow_record(model: Model, command: Record) -> Recorded | Regrouped | Refused:
    """It is charged once, from what there is now; the rest is owed or let go, and nothing refuses it."""
    call = command.call
    party = model.parties.get(call.account_id)
    if party is None:
        return NO_ACCOUNT
    history = party.history
    known = model.objects.get(call.account_id, {}).get(command.name)
    seen = f'{{"digest":"{command.digest}"}}'
    if known is not None and (known.kind, known.seen) != ("event", seen):
        return Refused("idempotency_conflict", "")
    if known is not None:
        before = Settled(0, 0, nano(history.balance()), nano(history.available()), replayed=True)
        return Recorded(known.call_id, before)
    refused = CONFLICT if call.id in model.holds else _impossible(party, command)
    if refused:
        return refused
    limits = in_force(party.account.limits, command.defaults)
    counts = end_users.counts_recorded(model, call, limits)
    if counts and not call.counts_user:
        return Regrouped(command.group, counts_user=True)
    scopes = (ACCOUNT, call.key_id) if call.key_id else (ACCOUNT,)
    charge = counted(model.uses, call.account_id, command.used_at_us, command.charge)
    paid, short, owed = history.record(
        *(call.id, charge.total_nano, command.used_at_us, command.at_us, scopes),
        owes=command.on_shortfall == "owe",
    )
    if short:
        let_go(model.uses, call.account_id, charge, nano(short))
    model.put_hold(
        Hold(call.id, party.account.id, call.key_id, 0, 0, "settled", command.used_at_us, "", call)
    )
    row = Receipt(call, command.outcome, charge, nano(paid), nano(short), 0, nano(owed))
    model.put_receipt(row, command.used_at_us)
    model.objects.setdefault(party.account.id, {})[command.name] = Object(
        *(party.account.id, command.name, "event", "", call.key_id, call.id, call.model),
        *(command.used_at_us, seen),
    )
    if counts:
        end_users.spend(model, call, limits, command.used_at_us, command.at_us, nano(paid))
    left = nano(history.balance()), nano(history.available())
    told = charge if command.charge.tiers else None
    settled = Settled(nano(paid), nano(short), *left, owed_nano=nano(owed), charge=told)
    return Recorded(call.id, settled)


def _impossible(party: Party, command: Record) -> Regrouped | Refused | None:
    if command.call.key_id and command.call.key_id not in party.keys:
        return Refused("invalid_api_key", "")
    if command.used_at_us > command.at_us:
        return INVALID
    return None if command.group == party.account.group else Regrouped(party.account.group)
