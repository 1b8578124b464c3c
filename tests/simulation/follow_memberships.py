"""How the auditor's model follows fees, renewals and plans."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from msgspec.structs import replace

from proxy.ledger.commands import Done, Grant, Refused
from proxy.ledger.dues import ChangePlan, Fee, OfMembership, Renew, TakeFee
from proxy.ledger.returns import VoidLot
from proxy.ledger.rows import NEVER_US, Membership
from tests.ledger.auditor import ACCOUNT, ZERO, Dollars, dollars, nano, order, window_name
from tests.simulation.follow_accounts import CONFLICT, INVALID, NO_ACCOUNT, earlier_result, grant, noted
from tests.simulation.follow_returns import void_lot
from tests.simulation.model import DAY_US, Model, Party

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
TEN_MINUTES_US = 600_000_000


class Month(NamedTuple):
    """A month, by where it begins and where the next one does."""

    begins_us: int
    ends_us: int


class Price(NamedTuple):
    """What is to be paid now, for which time, what that time is worth, and the credit that comes with it."""

    now: Dollars
    paid: Month | None
    worth: Dollars
    included: Dollars
    anchor_us: int


def take_fee(model: Model, command: TakeFee) -> Done | Refused:
    """A fee is taken in whole, once for each id, from what no call was promised."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    earlier = earlier_result(party, command)
    if earlier:
        return earlier
    if command.amount_nano <= 0:
        return INVALID
    history, wanted = party.history, dollars(command.amount_nano)
    history.expire(command.at_us)
    payable = history.available() - _going(party, command.at_us, "plan")
    if payable < wanted:
        return _too_dear(wanted, payable)
    # What a plan has included is laid aside meanwhile: no fee is paid of it.
    aside = _pieces_of(party, "plan")
    history.pieces = [piece for piece in history.pieces if piece not in aside]
    draws = history.take(wanted, command.at_us, command.at_us)
    history.pieces += aside
    history.post("fee", -wanted, command.command_id, command.at_us, draws)
    return noted(model, party, command)


def renew(model: Model, command: Renew) -> Done | Refused:
    """What is due is given and taken; who cannot pay until the grace is over falls to another group."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    before = party.member
    if before is None or party.account.group != command.group:
        return Done(party.row(), membership=before)
    party.history.expire(command.at_us)
    member = _with_a_sane_clock(before, command.at_us)
    price = _price(party, member, command)
    if price is not None and _affords(party, member, command, price):
        member = _pay(model, party, member, command, price)
    elif price is not None and not member.unpaid_us:
        member, party.asked = replace(member, unpaid_us=command.at_us), price.now
    fee = command.dues.fee
    if fee and member.unpaid_us and command.at_us - member.unpaid_us >= fee.grace_us:
        party.account = replace(party.account, group=fee.falls_to)
        party.member = replace(before, group=fee.falls_to, since_us=command.at_us, due_us=0, unpaid_us=0)
        return Done(party.row(), membership=party.member)
    return _renew(model, party, member, command)


def change_plan(model: Model, command: ChangePlan) -> Done | Refused:
    """Who can pay is in the other plan at once, and who cannot stays as before."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    if party.account.group != command.left or command.group == command.left:
        return CONFLICT
    party.history.expire(command.at_us)
    before = party.member or Membership(party.account.id, command.left, command.at_us)
    member = _with_a_sane_clock(before, command.at_us)
    member = replace(member, group=command.group, since_us=command.at_us, due_us=0, unpaid_us=0)
    price = _price(party, member, command)
    if price is not None and not _affords(party, member, command, price):
        return _too_dear(price.now, _payable(party, member, command))
    party.account = replace(party.account, group=command.group)
    if price is not None:
        member = _pay(model, party, member, command, price)
    return _renew(model, party, member, command)


def _too_dear(wanted: Dollars, there: Dollars) -> Refused:
    code = "request_exceeds_balance" if there > 0 else "credit_balance_exhausted"
    required_nano, available_nano = nano(wanted), nano(max(ZERO, there))
    return Refused(
        code, "", limit_source="balance", required_nano=required_nano, available_nano=available_nano
    )


def _with_a_sane_clock(member: Membership, at_us: int) -> Membership:
    if member.plan and member.paid_from_us - at_us > DAY_US:
        month = _calendar_month(at_us)
        return replace(member, paid_from_us=month.begins_us, paid_until_us=month.ends_us)
    return member


def _price(party: Party, member: Membership, command: OfMembership) -> Price | None:
    """What is to be paid to be in a plan, less what was paid for another one and is not used."""
    if command.command_id in party.done:
        return None
    at_us, fee, dues = command.at_us, command.dues.fee, command.dues
    runs = member.plan != "" and at_us < member.paid_until_us
    if member.plan == command.group:
        if runs or (not member.plan and fee is None):
            return None
        if fee is None:
            return Price(ZERO, None, ZERO, ZERO, 0)
        amount, month = dollars(fee.amount_nano), _time(fee, member.anchor_us, at_us)
        return Price(amount, month, amount, dollars(fee.included_nano), member.anchor_us)
    back = _unused(party, member, command) if runs and dues.is_prorated else Fraction(0)
    if fee is None:
        return Price(_whole(-back), None, ZERO, ZERO, 0) if member.plan else None
    return _first_price(fee, member, command, back, runs=runs)


def _first_price(fee: Fee, member: Membership, command: OfMembership, back: Dollars, *, runs: bool) -> Price:
    at_us, is_prorated = command.at_us, command.dues.is_prorated
    if runs and not is_prorated and fee.amount_nano <= member.paid_nano:
        paid = Month(member.paid_from_us, member.paid_until_us)
        return Price(ZERO, paid, dollars(member.paid_nano), ZERO, member.anchor_us)
    anchor_us = member.anchor_us if runs and is_prorated else at_us
    month = _time(fee, anchor_us, at_us)
    part = _to_come(at_us, month) if is_prorated else Fraction(1)
    worth, included = dollars(fee.amount_nano) * part, dollars(fee.included_nano) * part
    paid = Month(at_us, month.ends_us)
    return Price(_whole(worth - back), paid, _whole(worth), _whole(included), anchor_us)


def _unused(party: Party, member: Membership, command: OfMembership) -> Dollars:
    parts = [_to_come(command.at_us, Month(member.paid_from_us, member.paid_until_us))]
    if member.included_nano:
        parts.append(_going(party, command.at_us, "plan") / dollars(member.included_nano))
    return dollars(member.paid_nano) * min(parts)


def _affords(party: Party, member: Membership, command: OfMembership, price: Price) -> bool:
    return price.now <= max(ZERO, _payable(party, member, command))


def _payable(party: Party, member: Membership, command: OfMembership) -> Dollars:
    """What is there for a fee: all but what plans have included, and what goes as one is left."""
    stays = member.plan in ("", command.group)
    kinds = ["plan"] if stays else _ending(member, command)
    return party.history.available() - _going(party, command.at_us, *kinds)


def _ending(member: Membership, command: OfMembership) -> list[str]:
    """The kinds of pieces that go as a plan is left: what it included, and what the offer says."""
    return ["plan", *(kind for plan, kinds in command.dues.ends if plan == member.plan for kind in kinds)]


def _fitting(party: Party, kind: str, amount_nano: int, most_nano: int) -> int:
    """How much of a kind of credit comes, where there is a bound of what an account has of it."""
    has = nano(sum((piece["left"] for piece in _pieces_of(party, kind)), ZERO))
    return min(amount_nano, max(0, most_nano - has)) if most_nano else amount_nano


def _going(party: Party, at_us: int, *kinds: str) -> Dollars:
    """What could be taken of the credit of some kinds: all of it that no call may draw."""
    going, uncommitted = ZERO, max(ZERO, party.history.uncommitted())
    for piece in _pieces_of(party, *kinds):
        going += min(party.history.spare(piece["id"], at_us), uncommitted - going)
    return going


def _pay(model: Model, party: Party, member: Membership, command: OfMembership, price: Price) -> Membership:
    account_id, at_us, fee = command.account_id, command.at_us, command.dues.fee
    used = 0

    def next_id() -> str:
        return f"{command.command_id}:{used}" if used else command.command_id

    if member.plan not in ("", command.group):
        for lot_id in [piece["id"] for piece in _pieces_of(party, *_ending(member, command))]:
            void = VoidLot(account_id, next_id(), lot_id, f"{member.plan} is left", at_us)
            used += isinstance(void_lot(model, void), Done)
    if price.now > 0:
        assert price.paid
        days = " to ".join(f"{_at(us):%Y-%m-%dT%H:%M:%SZ}" for us in price.paid)
        command_of_fee = TakeFee(account_id, next_id(), nano(price.now), f"{command.group}: {days}", at_us)
        used += isinstance(take_fee(model, command_of_fee), Done)
    if price.now < 0:
        back = Grant(account_id, next_id(), f"lot_{next_id()}", nano(-price.now), at_us, "refund")
        used += isinstance(grant(model, replace(back, note=f"{member.plan} is left")), Done)
    if price.paid is None or fee is None:
        return replace(member, plan="", paid_nano=0, included_nano=0, unpaid_us=0)
    included_nano = _fitting(party, "plan", nano(price.included), fee.included_most_nano)
    if included_nano:
        gift = Grant(account_id, next_id(), f"lot_{next_id()}", included_nano, at_us, "plan")
        ends_us = price.paid.ends_us
        for _ in range(1, fee.included_lasts):
            ends_us = _time(fee, price.anchor_us, ends_us).ends_us
        terms = {"priority": fee.included_priority, "expires_at_us": ends_us}
        used += isinstance(grant(model, replace(gift, note=command.group, **terms)), Done)
    return replace(
        member,
        plan=command.group,
        anchor_us=price.anchor_us,
        paid_from_us=price.paid.begins_us,
        paid_until_us=price.paid.ends_us,
        paid_nano=nano(price.worth),
        included_nano=nano(price.included),
        unpaid_us=0,
    )


def _renew(model: Model, party: Party, member: Membership, command: OfMembership) -> Done:
    """Each period's renewal is given once, and the account is looked at again by the end of the day."""
    dues, at_us = command.dues, command.at_us
    tomorrow_us = (at_us // DAY_US + 1) * DAY_US
    looks = [tomorrow_us if dues.renewal or dues.fee or dues.minimum_nano else NEVER_US]
    if dues.renewal:
        periods = list(_periods(dues.renewal.every, at_us, dues.renewal.back_fill + 1))
        now = periods[0]
        full = dues.renewal.most_nano and member.due_us and member.renewed_us == now.ends_us
        if not full and f"renewal:{dues.renewal.every}:{_at(now.ends_us):%Y-%m-%d}" not in party.done:
            missed = [each for each in periods[1:] if 0 < member.renewed_us <= each.begins_us]
            if member.renewed_us > now.ends_us:
                missed = []
            for each in [*reversed([m for m in missed if m.ends_us > member.since_us]), now]:
                _give(model, party, command, each)
            member = replace(member, renewed_us=now.ends_us)
    if dues.fee:
        looks.append(at_us + TEN_MINUTES_US if member.unpaid_us else member.paid_until_us)
    if dues.minimum_nano:
        member, look_us = _settle_months(model, party, member, command)
        looks.append(look_us)
    else:
        member = replace(member, settled_us=0)
    party.member = replace(member, due_us=min(looks))
    return Done(party.row(), membership=party.member)


def _settle_months(
    model: Model, party: Party, member: Membership, command: OfMembership
) -> tuple[Membership, int]:
    """What was not spent of each month is paid once, as soon as nothing can be spent in it any more."""
    at_us, soon_us = command.at_us, command.at_us + TEN_MINUTES_US
    this = _calendar_month(at_us)
    joined = _calendar_month(member.since_us)
    month_us = max(_later(this.begins_us, -3), joined.begins_us, member.settled_us)
    if not member.settled_us or member.settled_us > this.ends_us:
        month_us = this.begins_us
    while month_us < this.begins_us:
        month = _calendar_month(month_us)
        name = window_name("month", month_us)
        spent, held = party.history.spending((ACCOUNT, "month", name))
        if held and at_us - month.ends_us < 2 * DAY_US:
            return replace(member, settled_us=month_us), soon_us
        due = dollars(command.dues.minimum_nano)
        if member.since_us > month.begins_us:
            due = _whole(due * _to_come(member.since_us, month)) if command.dues.is_prorated else ZERO
        missing = due - spent
        command_id = f"minimum:{_at(month_us):%Y-%m-%d}"
        if missing > 0 and command_id not in party.done:
            days = " to ".join(f"{_at(us):%Y-%m-%dT%H:%M:%SZ}" for us in month)
            reason = f"{command.group}: not spent from {days}"
            fee = TakeFee(party.account.id, command_id, nano(missing), reason, at_us)
            if isinstance(take_fee(model, fee), Refused):
                return replace(member, settled_us=month_us), soon_us
        month_us = month.ends_us
    return replace(member, settled_us=month_us), _later(month_us, 1)


def _give(model: Model, party: Party, command: OfMembership, period: Month) -> None:
    renewal, first = command.dues.renewal, _at(period.begins_us)
    assert renewal
    command_id = f"renewal:{renewal.every}:{first:%Y-%m-%d}"
    lasts_us = renewal.lasts_us or period.ends_us - period.begins_us
    until_us = min(NEVER_US, period.begins_us + lasts_us)
    if command_id in party.done or until_us <= command.at_us:
        return
    terms = (renewal.kind, renewal.priority, until_us, command.group)
    lot_id = f"lot_{party.account.id}_{renewal.every}_{first:%Y%m%d}"
    amount_nano = _fitting(party, renewal.kind, renewal.amount_nano, renewal.most_nano)
    if amount_nano:
        grant(model, Grant(party.account.id, command_id, lot_id, amount_nano, command.at_us, *terms))


def _pieces_of(party: Party, *kinds: str) -> list[dict[str, Any]]:
    """The pieces of some kinds, those that are drawn last before the others."""
    pieces = [piece for piece in party.history.pieces if party.lots[piece["id"]].kind in kinds]
    return sorted((piece for piece in pieces if piece["left"]), key=order, reverse=True)


def _to_come(at_us: int, month: Month) -> Fraction:
    length = month.ends_us - month.begins_us
    return Fraction(sorted((0, month.ends_us - at_us, length))[1], length)


def _whole(amount: Dollars) -> Dollars:
    return dollars(round(amount * 10**9))


def _at(at_us: int) -> datetime:
    return EPOCH + at_us * US


def _time(fee: Fee, anchor_us: int, at_us: int) -> Month:
    """The month or the year of a fee."""
    if fee.anchor == "calendar":
        anchor_us = (datetime(_at(at_us).year - 1, 1, 1, tzinfo=UTC) - EPOCH) // US
    back = 2 * fee.months
    begins = next(n for n in range(-back, 10_000, fee.months) if _later(anchor_us, n + fee.months) > at_us)
    return Month(_later(anchor_us, begins), _later(anchor_us, begins + fee.months))


def _later(anchor_us: int, months: int) -> int:
    """The same day so many months later, or the last one of that month."""
    first = _at(anchor_us)
    year, month = first.year + (first.month - 1 + months) // 12, (first.month - 1 + months) % 12 + 1
    day = min(first.day, monthrange(year, month)[1])
    return (first.replace(year=year, month=month, day=day) - EPOCH) // US


def _calendar_month(at_us: int) -> Month:
    first = (_at(at_us).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - EPOCH) // US
    return Month(first, _later(first, 1))


def _period(every: str, at_us: int) -> Month:
    if every == "month":
        return _calendar_month(at_us)
    return Month(at_us // DAY_US * DAY_US, (at_us // DAY_US + 1) * DAY_US)


def _periods(every: str, at_us: int, count: int) -> Iterator[Month]:
    for _ in range(count):
        period = _period(every, at_us)
        yield period
        at_us = period.begins_us - 1
