"""How the auditor's model follows the life of a call, from authorize to its receipt."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec.structs import asdict, replace

from proxy.ledger.commands import (
    Authorize,
    Close,
    Detach,
    Done,
    Extend,
    Forget,
    Granted,
    Observe,
    OfHold,
    RateStatus,
    Recover,
    Refused,
    Regrouped,
    Reroute,
    Settle,
    Settled,
    Void,
)
from proxy.ledger.rows import Call, Hold, HoldState, Key, Limits, Object, Observed, Outcome, Receipt
from proxy.pricing.charge import NO_CHARGE, Charge
from tests.ledger.auditor import ACCOUNT, ZERO, Bound, dollars, nano, window_end_us
from tests.simulation import end_users, quotas
from tests.simulation.counters import counted, let_go
from tests.simulation.gauges import Ask, asked_of, at_most
from tests.simulation.model import Model, Party, in_force, spending_limits

ASK_AGAIN_US = 1_000_000
CONFLICT = Refused("conflict", "")
NOT_FOUND = Refused("not_found", "")
ACCOUNT_CODES = {
    "day": "daily_limit_exceeded",
    "week": "weekly_limit_exceeded",
    "month": "monthly_limit_exceeded",
    "total": "total_limit_exceeded",
}


def authorize(model: Model, command: Authorize) -> Granted | Regrouped | Refused:
    """A call of an active key and account holds what it needs, of funds and limits that have it, once.

    Not one at the prices of another group.
    """
    call, at_us = command.call, command.at_us
    party, key = model.parties.get(call.account_id), model.keys.get(call.key_id)
    if party is None or key is None or key.account_id != call.account_id:
        return Refused("invalid_api_key", "")
    limits = in_force(party.account.limits, command.defaults)
    guest = end_users.guest_of(model, command, limits, key)
    asked = asked_of(key, limits, end_users.tokens_of(guest, command.tokens))
    if guest is not None and guest.fellow is not None:
        tokens = at_most(end_users.tokens_of(guest, command.tokens), limits.tpm)
        end_users.ask(guest, call, tokens)
    made = model.holds.get(call.id)
    if made is not None:
        if made.state != "open" or made.account_id != call.account_id:
            return CONFLICT
        held_nano = nano(party.history.flight[call.id]["held"])
        return Granted(held_nano, nano(party.history.available()), _told(model, asked, guest, at_us))
    barred = _barred(party, key, command, guest)
    if barred is not None:
        return barred
    party.history.expire(at_us)
    amount_nano, refused = _held_for(party, key, limits, command, guest)
    refused = refused or _too_fast(model, asked, at_us) or _too_many(party, key, limits)
    refused = refused or end_users.turned_away(model, guest, call, at_us)
    refused = refused or quotas.used_up(party, command)
    if refused:
        return replace(refused, rate_statuses=_told(model, asked, guest, at_us))
    quotas.count(model, party, command)
    party.history.begin(call.id, amount_nano, at_us, key.id)
    model.gauges.fill(asked, at_us)
    tokens = max((ask.amount for ask in asked if ask.kind == "tokens"), default=0)
    begun = Hold(call.id, call.account_id, key.id, amount_nano, tokens, "open", at_us, command.owner, call)
    if command.quota is not None:
        begun = replace(begun, observed=Observed({}, NO_CHARGE, quota=command.quota.name))
    model.put_hold(replace(begun, tokens=max(tokens, end_users.let_in(model, guest, begun, at_us))))
    return Granted(amount_nano, nano(party.history.available()), _told(model, asked, guest, at_us))


def observe(model: Model, command: Observe) -> Done | Refused:
    """What a call in flight has used replaces what was noted of it before."""
    hold = model.holds.get(command.hold_id)
    if hold is None or hold.account_id != command.account_id:
        return NOT_FOUND
    if hold.state != "open":
        return CONFLICT
    model.put_hold(replace(hold, observed=_with_quota(model, command.observed, hold.id)))
    return Done()


def extend(model: Model, command: Extend) -> Granted | Refused:
    """A call in flight holds more, all of it, if funds and the limits of now allow it in its own windows."""
    hold = _hold_of(model, command)
    if isinstance(hold, Refused):
        return hold
    if hold.state != "open":
        return CONFLICT
    if command.amount_nano <= 0:
        return Refused("invalid_value", "")
    party, key = model.parties[hold.account_id], model.keys[hold.key_id]
    party.history.expire(command.at_us)
    limits = in_force(party.account.limits, command.defaults)
    more = end_users.bounds_of(model, hold, limits, key)
    short = _shortage(party, key, limits, hold.created_at_us, command.amount_nano, more)
    if short:
        return short
    party.history.extend(hold.id, command.amount_nano)
    end_users.extend(model, hold, command.amount_nano, command.at_us)
    held_nano = nano(party.history.flight[hold.id]["held"])
    model.put_hold(replace(hold, amount_nano=held_nano))
    return Granted(held_nano, nano(party.history.available()))


def reroute(model: Model, command: Reroute) -> Done | Refused:
    """A call in flight goes elsewhere, and is the same call."""
    call = command.call
    hold = model.holds.get(call.id)
    if hold is None:
        return NOT_FOUND
    mine, other = ({**asdict(each), "upstream": "", "upstream_model": ""} for each in (hold.call, call))
    if hold.state != "open" or mine != other:
        return CONFLICT
    model.put_hold(replace(hold, call=call))
    return Done()


def detach(model: Model, command: Detach) -> Done | Refused:
    """A call in flight outlives its process until a time that is to come, with objects of its own alone."""
    hold = _hold_of(model, command)
    if isinstance(hold, Refused):
        return hold
    if hold.state != "open":
        return CONFLICT
    if not command.at_us < command.deadline_us:
        return Refused("invalid_value", "")
    known = model.objects.get(command.call.account_id, {})
    if any(known[row.id].call_id != row.call_id for row in command.objects if row.id in known):
        return CONFLICT
    if any(row.account_id != command.call.account_id for row in command.objects):
        return CONFLICT
    observed = _with_quota(model, command.observed or hold.observed, hold.id)
    model.put_hold(replace(hold, deadline_us=command.deadline_us, observed=observed))
    _note(model, command.call, command.objects, command.at_us)
    return Done()


def _with_quota(model: Model, observed: Observed | None, hold_id: str) -> Observed | None:
    """What was observed, with the quota of the call, which nothing else changes."""
    name = model.quotas.get(hold_id)
    return replace(observed, quota=name) if observed and name else observed


def settle(model: Model, command: Settle) -> Settled | Refused:
    """A call is charged once, up to what it holds and what is free beside it; the rest is let go or owed."""
    result = _close(model, command, command.call, "settled", command.outcome, command.charge)
    if isinstance(result, Settled):
        _note(model, command.call, command.objects, command.at_us)
    return result


def void(model: Model, command: Void) -> Settled | Refused:
    """A call is closed once, without a charge."""
    result = _close(model, command, command.call, "voided", command.outcome, NO_CHARGE)
    if isinstance(result, Settled):
        _note(model, command.call, command.objects, command.at_us)
        if not result.replayed:
            quotas.uncount(model, command, command.quota)
    return result


def _note(model: Model, call: Call, objects: tuple[Object, ...], at_us: int) -> None:
    """A call adds what it made; of what it saw again, only what was said last and the end can change."""
    mine = model.objects.setdefault(call.account_id, {})
    for row in objects:
        if row.account_id != call.account_id:
            continue
        old = mine.get(row.id)
        if old is None and row.call_id == call.id:
            mine[row.id] = row
        elif old is not None and old.call_id == row.call_id and at_us < old.expires_at_us:
            ends_us = min(old.expires_at_us, row.expires_at_us)
            # A session that has ended has ended.
            seen = old.seen if old.kind == "session" else row.seen
            mine[row.id] = Object(**{**asdict(old), "seen": seen, "expires_at_us": ends_us})


def forget(model: Model, command: Forget) -> Done:
    """What has ended or is old goes, but for what a call in flight has made."""
    mine = model.objects.get(command.account_id, {})
    model.touch(command.account_id)
    for id_, call_id in command.objects:
        row = mine.get(id_)
        if row is None or row.call_id != call_id or call_id in model.flight:
            continue
        if not (command.expired_us < row.expires_at_us and command.made_us <= row.created_at_us):
            del mine[id_]
    return Done()


def recover(model: Model, command: Recover) -> Settled | Refused:
    """A call that nobody answers for is charged once what was observed of it, and never before a deadline."""
    hold = _hold_of(model, command)
    if isinstance(hold, Refused):
        return hold
    if hold.state == "open" and hold.deadline_us is not None and hold.deadline_us > command.at_us:
        return CONFLICT
    seen = hold.observed
    if hold.state == "open" and command.tiers != (seen.charge.tiers if seen else ()):
        return CONFLICT
    outcome = Outcome("crashed", 0, "recovered", seen.usage if seen else {}, command.at_us)
    result = _close(model, command, hold.call, "expired", outcome, seen.charge if seen else NO_CHARGE)
    if isinstance(result, Settled) and not result.replayed and command.quota and not outcome.usage:
        quotas.uncount(model, command, command.quota)
    return result


def _barred(
    party: Party, key: Key, command: Authorize, guest: end_users.Guest | None
) -> Refused | Regrouped | None:
    """What refuses a call whatever it costs, or has it made anew."""
    model = command.call.model
    reasons = {
        "api_key_disabled": key.status != "active",
        "api_key_expired": key.expires_at_us <= command.at_us,
        "model_not_allowed": bool(key.models) and not any(fnmatchcase(model, glob) for glob in key.models),
        "account_suspended": party.account.status != "active",
    }
    code = next((code for code, applies in reasons.items() if applies), None)
    if code is not None:
        return Refused(code, "")
    if command.group != party.account.group:
        return Regrouped(party.account.group)
    return guest.no if guest is not None else None


def _told(
    model: Model, asked: list[Ask], guest: end_users.Guest | None, at_us: int
) -> tuple[RateStatus, ...]:
    """Of each kind the limit with the least remaining; of the same, not that of the end user."""
    found = {each.kind: each for each in model.gauges.rate_statuses(asked, at_us)}
    if guest is not None and guest.fellow is not None:
        for each in guest.fellow.gauges.rate_statuses(guest.asked, at_us):
            if each.kind not in found or each.remaining < found[each.kind].remaining:
                found[each.kind] = each
    return tuple(found.values())


def _held_for(
    party: Party, key: Key, limits: Limits, command: Authorize, guest: end_users.Guest | None
) -> tuple[int, Refused | None]:
    if command.ceiling_nano <= 0:
        return 0, None
    least_nano = max(1, min(command.floor_nano, command.ceiling_nano))
    more = list(guest.bounds(command.at_us)) if guest is not None else []
    short = _shortage(party, key, limits, command.at_us, least_nano, more)
    if short:
        return 0, short
    rooms = [party.history.room(command.at_us, key.id), *(bound.room for bound in more)]
    return nano(min(dollars(command.ceiling_nano), *rooms)), None


def _shortage(
    party: Party, key: Key, limits: Limits, at_us: int, least_nano: int, more: Iterable[Bound] = ()
) -> Refused | None:
    """The refusal of a call that needs more than there is room for, which names what is to blame."""
    history, least = party.history, dollars(least_nano)
    history.limits = spending_limits(ACCOUNT, limits) | spending_limits(key.id, key.limits)
    short = [bound for bound in (*history.bounds(at_us, key.id), *more) if bound.room < least]
    if not short:
        return None
    for_good = [bound for bound in short if bound.room + bound.held < least]
    blamed = min(for_good or short, key=lambda bound: bound.room)
    return Refused(
        _code(blamed) if for_good else "in_flight_budget_exhausted",
        "",
        limit_source=blamed.source,
        limit_nano=None if blamed.limit is None else nano(blamed.limit),
        spent_nano=None if blamed.spent is None else nano(blamed.spent),
        held_nano=nano(blamed.held),
        required_nano=least_nano,
        available_nano=max(0, nano(min(bound.room for bound in short))),
        resets_at_us=_resets_at_us(blamed, at_us),
        retry_after_us=None if for_good else ASK_AGAIN_US,
    )


def _code(blamed: Bound) -> str:
    scope, _, window = blamed.source.rpartition("_")
    if not scope:
        return "request_exceeds_balance" if blamed.room + blamed.held > ZERO else "credit_balance_exhausted"
    return "key_limit_exceeded" if scope == "key" else ACCOUNT_CODES[window]


def _resets_at_us(blamed: Bound, at_us: int) -> int | None:
    scope, _, window = blamed.source.rpartition("_")
    return window_end_us(window, at_us) if scope else None


def _too_fast(model: Model, asked: list[Ask], at_us: int) -> Refused | None:
    model.gauges.follow(asked, at_us)
    for ask in asked:
        over, wait_us = model.gauges.over(ask, at_us)
        if over > 0:
            return Refused("rate_limit_exceeded", "", limit_source=ask.source, retry_after_us=wait_us)
    return None


def _too_many(party: Party, key: Key, limits: Limits) -> Refused | None:
    flight = party.history.open_calls()
    of_key = [call for call in flight if call["key"] == key.id]
    for scope, calls, most in (
        ("key", of_key, key.limits.concurrency),
        ("account", flight, limits.concurrency),
    ):
        if most is not None and len(calls) >= most:
            return Refused(
                "concurrency_limit_exceeded",
                "",
                limit_source=f"{scope}_concurrency",
                retry_after_us=ASK_AGAIN_US,
            )
    return None


def _hold_of(model: Model, command: OfHold) -> Hold | Refused:
    call = command.call
    hold = model.holds.get(call.id)
    if hold is None:
        return NOT_FOUND
    same = (hold.account_id, hold.key_id, hold.created_at_us)
    if same != (call.account_id, call.key_id, command.authorized_at_us):
        return CONFLICT
    counts = hold.call.counts_user
    return CONFLICT if counts and (True, hold.call.end_user) != (call.counts_user, call.end_user) else hold


def _close(
    model: Model, command: Close, call: Call, state: HoldState, outcome: Outcome, charge: Charge
) -> Settled | Refused:
    hold = _hold_of(model, command)
    if isinstance(hold, Refused):
        return hold
    party = model.parties[hold.account_id]
    history = party.history
    if hold.state != "open":
        return Settled(0, 0, nano(history.balance()), nano(history.available()), replayed=True)
    owes = not isinstance(command, Void) and getattr(command, "on_shortfall", None) == "owe"
    told = counted(model.uses, hold.account_id, hold.created_at_us, charge) if charge.tiers else None
    charge = told or charge
    paid, short, owed = history.end(hold.id, charge.total_nano, command.at_us, owes=owes)
    if short:
        let_go(model.uses, hold.account_id, charge, nano(short))
    used = outcome.usage.get("input_tokens", 0) + outcome.usage.get("output_tokens", 0)
    used = 0 if isinstance(command, Void) else used
    end_users.close(model, hold, nano(paid), used, command.at_us)
    if hold.tokens:
        model.gauges.correct(hold.account_id, hold.tokens, used)
        key = model.keys[hold.key_id]
        model.gauges.correct(key.id, at_most(hold.tokens, key.limits.tpm), used)
    model.put_hold(replace(hold, state=state, observed=None))
    row = Receipt(call, outcome, charge, nano(paid), nano(short), hold.amount_nano, nano(owed))
    model.put_receipt(row, hold.created_at_us)
    left = nano(history.balance()), nano(history.available())
    return Settled(nano(paid), nano(short), *left, owed_nano=nano(owed), charge=told)
