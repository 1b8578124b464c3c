"""How commands of a call's life are made up."""

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, Detach, Extend, Forget, Observe, Recover, Reroute, Settle, Void
from proxy.ledger.quotas import Quota
from proxy.ledger.rows import NEVER_US, UNLIMITED, Call, Hold, Object, Observed, OnShortfall, Outcome
from proxy.ledger.sessions import SESSION, Session, seen_of
from proxy.metering.usage import Basis
from proxy.pricing.charge import NO_CHARGE, worst_nano
from tests.simulation.end_users import NAMES
from tests.simulation.world import HOUR_US, SECOND_US, World, card_of

ENDINGS = ("complete", "complete", "complete", "client_left", "upstream_failed")


def authorize(world: World) -> Authorize:
    """A call by a key: all or nothing, or a part of its ceiling at least; now and then one that is free.

    Now and then it is priced for another group than the account's.
    """
    account_id = world.account()
    key_id, at_us = world.key_of(account_id), world.at_us()
    models = ("small", "small", "half", "drawing", "stairs", "stairs", "stairs", "saver", "saver", "free")
    model = world.one_of(models)
    ceiling = {"input_tokens": world.up_to(9_000), "output_tokens": world.up_to(9_000), "requests": 1}
    stream = world.happens(60)
    call = Call(world.new_id("call"), account_id, key_id, "chat", model, "main", f"{model}-1", stream, at_us)
    if world.happens(25):
        call = replace(call, run_id=world.one_of(("trip", "visit")))
    if world.happens(60):
        name = world.one_of(NAMES) if world.happens(85) else world.new_id("user")
        call = replace(call, end_user=name, counts_user=bool(name) and world.happens(90))
    ceiling_nano = worst_nano(card_of(call), ceiling)
    floor_nano = ceiling_nano if world.happens(50) else world.chance.randint(0, ceiling_nano)
    tokens = ceiling["input_tokens"] + ceiling["output_tokens"]
    defaults = world.defaults if world.happens(95) else UNLIMITED
    party = world.model.parties.get(account_id)
    group = party.account.group if party and world.happens(98) else "beta"
    quota = Quota(world.one_of(("best", "good")), world.one_of((0, 2, 40))) if world.happens(15) else None
    return Authorize(call, ceiling_nano, floor_nano, tokens, at_us, "", defaults, group, quota)


def observe(world: World) -> Observe | None:
    """What a call has used so far; now and then of one that is nobody's."""
    hold = world.some_hold()
    if hold is None:
        return None
    usage = _usage(world, hold)
    hold_id = "call_nobody" if world.happens(2) else hold.id
    return Observe(hold_id, hold.account_id, Observed(usage, world.price(card_of(hold.call), usage)))


def extend(world: World) -> Extend | None:
    """More for a call that outgrows its hold."""
    hold = world.some_hold()
    if hold is None:
        return None
    amount_nano = world.one_of((0, -7)) if world.happens(3) else world.up_to(1_000_000)
    return Extend(hold.call, hold.created_at_us, world.at_us(), amount_nano, world.defaults)


def reroute(world: World) -> Reroute | None:
    """A call that goes to another upstream; now and then another call under its id."""
    hold = world.some_hold()
    if hold is None:
        return None
    upstream = world.one_of(("second", "third"))
    call = replace(hold.call, upstream=upstream, upstream_model=f"{hold.call.model}-of-{upstream}")
    return Reroute(replace(call, stream=not call.stream) if world.happens(3) else call)


def detach(world: World) -> Detach | None:
    """A call that becomes a job, for seconds or hours; now and then until a time that has passed."""
    hold = world.some_hold()
    if hold is None:
        return None
    at_us = world.at_us()
    lives_us = world.one_of((SECOND_US, 60 * SECOND_US, 2 * HOUR_US, 9 * HOUR_US))
    deadline_us = at_us - world.one_of((0, 1)) if world.happens(3) else at_us + world.up_to(lives_us)
    observed = None
    if world.happens(50):
        usage = _usage(world, hold)
        observed = Observed(usage, world.price(card_of(hold.call), usage))
    began_us, objects = _began_us(world, hold), _objects(world, hold, at_us, percent=60)
    return Detach(hold.call, began_us, at_us, deadline_us, observed, objects)


def settle(world: World) -> Settle | None:
    """The end of a call, for less than its hold as a rule, for more now and then, or for nothing.

    At times it is the oldest of all, so that some end on another day than that on which they began.
    """
    oldest = next(iter(world.model.flight.values()), None)
    hold = oldest if oldest is not None and world.happens(10) else world.some_hold()
    if hold is None:
        return None
    at_us = world.at_us()
    usage = _usage(world, hold)
    charge = NO_CHARGE if world.happens(4) else world.price(card_of(hold.call), usage)
    ending = world.one_of(ENDINGS)
    basis: Basis = "reported" if ending == "complete" and world.happens(80) else "counted"
    basis = "per_call" if hold.call.model == "drawing" else basis
    first_byte_at_us = at_us - world.up_to(1_000_000) if world.happens(90) else None
    anomalies = world.chance.randrange(3) if world.happens(5) else 0
    status = 499 if ending == "client_left" else 200
    outcome = Outcome(
        ending,
        status,
        basis,
        usage if charge.lines or not world.happens(50) else {},
        at_us,
        first_byte_at_us,
        anomalies,
    )
    began_us, objects = _began_us(world, hold), _objects(world, hold, at_us)
    objects += _session(world, hold, at_us)
    return Settle(hold.call, began_us, at_us, outcome, charge, _on_shortfall(at_us), objects)


def void(world: World) -> Void | None:
    """The end of a call that never was forwarded, or that its upstream refused."""
    hold = world.some_hold()
    if hold is None:
        return None
    at_us = world.at_us()
    outcome = Outcome(world.one_of(("unreachable", "client_left")), 502, "void", {}, at_us)
    quota = None if world.happens(20) else world.model.quotas.get(hold.id, "")
    return Void(hold.call, _began_us(world, hold), at_us, outcome, _objects(world, hold, at_us), quota)


def recover(world: World) -> Recover | None:
    """A call that is taken for one whose process is gone; often a job, which may have time left.

    Now and then by somebody who has read its hold before that knew of tiers.
    """
    jobs = [hold for hold in world.model.flight.values() if hold.deadline_us is not None]
    hold = world.one_of(jobs) if jobs and world.happens(50) else world.some_hold()
    if hold is None:
        return None
    began_us, at_us = _began_us(world, hold), world.at_us()
    tiers = hold.observed.charge.tiers if hold.observed and not world.happens(5) else ()
    quota = hold.observed.quota if hold.observed else ""
    return Recover(hold.call, began_us, at_us, _on_shortfall(at_us), tiers, quota)


def forget(world: World) -> Forget | None:
    """Objects of an account that may be due, of jobs as well; now and then under the call of another.

    Few jobs run at a time, and those that do are looked for; all that there is may be old.
    """
    account_id, at_us, model = world.account(), world.at_us(), world.model
    jobs = [row for rows in model.objects.values() for row in rows.values() if row.call_id in model.flight]
    if jobs and world.happens(50):
        account_id = world.one_of(jobs).account_id
    known = list(world.model.objects.get(account_id, {}).values())
    if not known:
        return None
    running = [row for row in known if row.call_id in world.model.flight]
    known = running if running and world.happens(50) else known
    some = world.chance.sample(known, min(len(known), 3))
    named = tuple((row.id, "call_nobody" if world.happens(5) else row.call_id) for row in some)
    expired_us, made_us = at_us - world.up_to(HOUR_US), at_us - world.up_to(HOUR_US)
    if running and world.happens(30):
        made_us = at_us
    return Forget(account_id, (*named, ("object_nobody", "call_nobody")), expired_us, made_us)


def _objects(world: World, hold: Hold, at_us: int, *, percent: int = 12) -> tuple[Object, ...]:
    """What a call made or saw: upstreams give ids twice, and answers come late; now and then not its own."""
    if not world.happens(percent):
        return ()
    account_id = world.account() if world.happens(5) else hold.account_id
    id_ = f"object_{world.chance.randrange(40):02}"
    known = world.model.objects.get(account_id, {}).get(id_)
    ends_us = at_us if world.happens(20) else NEVER_US
    seen = f'{{"progress":{world.chance.randrange(100)}}}'
    if known is not None and world.happens(70):
        return (replace(known, seen=seen, expires_at_us=ends_us),)
    call = hold.call
    return (Object(account_id, id_, "video", "main", call.key_id, call.id, call.model, at_us, seen, ends_us),)


def _session(world: World, hold: Hold, at_us: int) -> tuple[Object, ...]:
    """A session that has ended with the call, now and then."""
    if not world.happens(5):
        return ()
    call = hold.call
    times = (at_us - 9, at_us - 5, at_us + 5, at_us + 9, 7, at_us)
    session = Session(f"session of {call.id}", "digest", *times, reason=world.one_of(("closed", "idle")))
    ids = (call.account_id, session.name, SESSION, "", call.key_id, call.id, call.model)
    return (Object(*ids, at_us, seen_of(session)),)


def _on_shortfall(at_us: int) -> OnShortfall:
    """What the operator has chosen by now. Who owes makes few calls, so that most are forgiven."""
    return "owe" if at_us % 10 < 2 else "forgive"


def _usage(world: World, hold: Hold) -> dict[str, int]:
    """Usage that costs about as much as is held: up to twice as much, mostly less."""
    if hold.call.model == "drawing":
        return {"requests": 1}
    input_tokens = world.up_to(9_000)
    usage = {"requests": 1, "input_tokens": input_tokens, "output_tokens": world.up_to(9_000)}
    if world.happens(40):
        usage["cached_input_tokens"] = world.chance.randint(0, input_tokens)
    return usage


def _began_us(world: World, hold: Hold) -> int:
    """When a hold was made; now and then wrong."""
    return hold.created_at_us + (1 if world.happens(1) else 0)
