"""How the auditor's model follows end users, and how their limits are made up.

It keeps of each what its calls hold and were charged by the name of the window, with a calendar of its own.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, Done, Refused, Regrouped
from proxy.ledger.end_user_rows import EndUser, EndUserLimits, EndUserTerms, UserLevel, UserSums
from proxy.ledger.end_users import ForgetEndUsers, LimitEndUser
from proxy.ledger.rows import NO_LIMIT, Call, Hold, Key, Limits
from tests.ledger.auditor import Bound, dollars, window_end_us
from tests.simulation.follow_accounts import NO_ACCOUNT
from tests.simulation.gauges import MINUTE_US, Ask, Gauges, at_most
from tests.simulation.model import DAY_US, Model, Party, both
from tests.simulation.rows import first_days
from tests.simulation.world import HOUR_US, SECOND_US, World

NAMES = ("", "ann", "Ann", "cem", "dee")
NEW = "new"
WINDOWS = ("day", "week", "month")
MOST_NEW = 600
ASK_AGAIN_US = 1_000_000


class Fellow:
    """An end user of an account: what it may, its calls in flight, and what it spent and holds by window."""

    def __init__(self) -> None:
        self.limits = EndUserLimits()
        self.flight = 0
        self.until_us = 0
        self.windows: dict[tuple[int, str], list[int]] = {}
        self.gauges = Gauges()

    def count(self, began_us: int, now_us: int, *, spent: int = 0, held: int = 0) -> None:
        """Note what moved in the windows of a call, and leave out those that are over and empty-handed."""
        for window, first_day in first_days(began_us // DAY_US).items():
            if window in WINDOWS:
                sums = self.windows.setdefault((first_day, window), [0, 0])
                sums[0] += spent
                sums[1] += held
        for first_day, window in list(self.windows):
            if _end_us(window, first_day) + HOUR_US <= now_us and not self.windows[first_day, window][1]:
                del self.windows[first_day, window]

    def row(self, account_id: str, id_: str) -> EndUser:
        """The row that there should be."""
        sums: Any = (UserSums(w, d, *self.windows[d, w]) for d, w in sorted(self.windows))  # type: ignore[arg-type]
        levels = (
            UserLevel(kind, int(gauge.full * MINUTE_US), gauge.at_us)
            for (_, kind), gauge in sorted(self.gauges.of.items())
        )
        return EndUser(account_id, id_, self.limits, self.flight, self.until_us, tuple(sums), tuple(levels))


class Guest:
    """What a call may as that of its end user; `no` is why it may not at all, whoever that is."""

    def __init__(self, no: Refused | Regrouped | None = None) -> None:
        self.no = no
        self.fellow: Fellow | None = None
        self.limits = EndUserLimits()
        self.asked: list[Ask] = []
        self.newcomer: list[Ask] = []

    def bounds(self, at_us: int) -> Iterator[Bound]:
        """What its end user has left in each window."""
        if self.fellow is None:
            return
        for window, first_day in first_days(at_us // DAY_US).items():
            limit = getattr(self.limits, f"{window}_nano", None)
            if limit is None or limit == NO_LIMIT:
                continue
            spent, held = self.fellow.windows.get((first_day, window), (0, 0))
            left = dollars(limit - spent - held)
            yield Bound(f"end_user_{window}", left, dollars(held), dollars(limit), dollars(spent))


def terms_of(limits: Limits, key: Key) -> EndUserTerms:
    """A key's own terms, then the account's, then the defaults: whichever says something first."""
    own, of_account = key.limits.end_users or EndUserTerms(), limits.end_users or EndUserTerms()
    return both(own, of_account)


def guest_of(model: Model, command: Authorize, limits: Limits, key: Key) -> Guest | None:
    """The end user of a call, where anybody is limited or the call says that it counts."""
    call = command.call
    if not (limits.end_users or key.limits.end_users or call.counts_user):
        return None
    terms = terms_of(limits, key)
    if call.end_user == "":
        return Guest(Refused("end_user_required", "") if terms.is_required else None)
    if not call.counts_user:
        return Guest(Regrouped(command.group, counts_user=True))
    guest = Guest()
    known = model.fellows.get((call.account_id, call.end_user))
    guest.fellow = known or Fellow()
    guest.limits = both(EndUserTerms(guest.fellow.limits), terms).limits
    if known is None and guest.limits != EndUserLimits():
        most = MOST_NEW if terms.new_rpm is None else terms.new_rpm
        guest.newcomer = [Ask("account_newcomers", "", "requests", most, 1)]
    return guest


def ask(guest: Guest, call: Call, tokens: int) -> None:
    """Work out what a call of so many tokens asks of its end user's rates."""
    for kind, limit, amount in (("requests", guest.limits.rpm, 1), ("tokens", guest.limits.tpm, tokens)):
        if limit is not None and limit != NO_LIMIT:
            source = "end_user_rpm" if kind == "requests" else "end_user_tpm"
            guest.asked.append(Ask(source, call.end_user, kind, limit, amount))  # type: ignore[arg-type]


def tokens_of(guest: Guest | None, tokens: int) -> int:
    """No call counts for more tokens than a whole minute of its end user's."""
    return tokens if guest is None else at_most(tokens, guest.limits.tpm)


def turned_away(model: Model, guest: Guest | None, call: Call, at_us: int) -> Refused | None:
    """Why the end user may not make this call now; or why no more new ones may."""
    if guest is None or guest.fellow is None:
        return None
    fellow = guest.fellow
    fellow.gauges.follow(guest.asked, at_us)
    refused = _over(fellow.gauges, guest.asked, at_us)
    if refused is None and guest.limits.concurrency is not None and fellow.flight >= guest.limits.concurrency:
        source = "end_user_concurrency"
        refused = Refused("concurrency_limit_exceeded", "", limit_source=source, retry_after_us=ASK_AGAIN_US)
    if refused is None and guest.newcomer:
        crowd = model.fellows.get((call.account_id, ""), Fellow())
        crowd.gauges.follow(guest.newcomer, at_us)
        refused = _over(crowd.gauges, guest.newcomer, at_us)
    return refused


def let_in(model: Model, guest: Guest | None, hold: Hold, at_us: int) -> int:
    """A call of an end user that passes; returns the tokens that it was charged."""
    if guest is None or guest.fellow is None:
        return 0
    fellow, call = guest.fellow, hold.call
    model.fellows[call.account_id, call.end_user] = fellow
    fellow.flight += 1
    fellow.count(at_us, at_us, held=hold.amount_nano)
    fellow.gauges.fill(guest.asked, at_us)
    fellow.until_us = max(fellow.until_us, at_us + 2 * MINUTE_US, *_ends_of(guest.limits, at_us))
    if guest.newcomer:
        crowd = model.fellows.setdefault((call.account_id, ""), Fellow())
        crowd.gauges.fill(guest.newcomer, at_us)
        crowd.until_us = at_us + 2 * MINUTE_US
    return max((each.amount for each in guest.asked if each.kind == "tokens"), default=0)


def extend(model: Model, hold: Hold, more_nano: int, at_us: int) -> None:
    """More is held for a call in flight."""
    if hold.call.counts_user:
        fellow = model.fellows[hold.account_id, hold.call.end_user]
        fellow.count(hold.created_at_us, at_us, held=more_nano)


def bounds_of(model: Model, hold: Hold, limits: Limits, key: Key) -> list[Bound]:
    """What bounds more for a call in flight, in the windows in which it began."""
    if not hold.call.counts_user:
        return []
    guest = Guest()
    guest.fellow = model.fellows[hold.account_id, hold.call.end_user]
    guest.limits = both(EndUserTerms(guest.fellow.limits), terms_of(limits, key)).limits
    return list(guest.bounds(hold.created_at_us))


def close(model: Model, hold: Hold, paid_nano: int, used_tokens: int, at_us: int) -> None:
    """A call is over: what it was charged stays, what it held does not."""
    if hold.call.counts_user:
        fellow = model.fellows[hold.account_id, hold.call.end_user]
        fellow.flight -= 1
        fellow.count(hold.created_at_us, at_us, spent=paid_nano, held=-hold.amount_nano)
        if hold.tokens:
            fellow.gauges.correct(hold.call.end_user, hold.tokens, used_tokens)


def counts_recorded(model: Model, call: Call, limits: Limits) -> bool:
    """Whether what was told of from outside is looked at for whom it was."""
    key = model.keys.get(call.key_id)
    of_key = key.limits.end_users if key else None
    return call.end_user != "" and bool(limits.end_users or of_key or call.counts_user)


def spend(model: Model, call: Call, limits: Limits, used_us: int, at_us: int, paid_nano: int) -> None:
    """Count what was told of from outside in the windows of its use, if a limit still counts any of them."""
    key = model.keys.get(call.key_id)
    terms = limits.end_users or EndUserTerms()
    terms = both(key.limits.end_users, terms) if key and key.limits.end_users else terms
    known = model.fellows.get((call.account_id, call.end_user))
    in_force = both(EndUserTerms(known.limits if known else EndUserLimits()), terms).limits
    until_us = max(_ends_of(in_force, used_us), default=0)
    if paid_nano == 0 or (known is None and until_us <= at_us):
        return
    fellow = model.fellows.setdefault((call.account_id, call.end_user), known or Fellow())
    fellow.count(used_us, at_us, spent=paid_nano)
    fellow.until_us = max(fellow.until_us, until_us)


def limit_end_user(world: World) -> LimitEndUser:
    """Limits of one end user; none of its own now and then."""
    limits = world.user_limits() if world.happens(80) else EndUserLimits()
    return LimitEndUser(world.account(), world.one_of(NAMES[1:]), limits, world.at_us())


def follow_limit(model: Model, command: LimitEndUser) -> Done | Refused:
    """From now on it has these, and every call of the account says whom it is for."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    key = (party.account.id, command.end_user)
    fellow = model.fellows.get(key)
    if fellow is None and command.limits != EndUserLimits():
        fellow = model.fellows[key] = Fellow()
    shown = fellow or Fellow()
    shown.limits = command.limits
    heed(party)
    return Done(party.row(), end_user=shown.row(*key))


def heed(party: Party) -> None:
    """Calls of an account are looked at for whom they are."""
    if party.account.limits.end_users is None:
        limits = replace(party.account.limits, end_users=EndUserTerms())
        party.account = replace(party.account, limits=limits)


def forget_end_users(world: World) -> ForgetEndUsers | None:
    """The end users of an account, as of now or much later."""
    account_id = world.account()
    ids = tuple(sorted(id_ for of, id_ in world.model.fellows if of == account_id))
    return ForgetEndUsers(account_id, (*ids, "nobody"), world.at_us() + world.one_of((0, 0, SECOND_US)))


def follow_forget(model: Model, command: ForgetEndUsers) -> Done | Refused:
    """Who has nothing in flight, no limits, and no window that still counts is nobody any more."""
    party = model.parties.get(command.account_id)
    if party is None:
        return NO_ACCOUNT
    model.touch(command.account_id)
    for id_ in command.end_users:
        fellow = model.fellows.get((command.account_id, id_))
        is_idle = fellow is not None and not fellow.flight and fellow.until_us <= command.at_us
        if fellow is not None and is_idle and fellow.limits == EndUserLimits():
            del model.fellows[command.account_id, id_]
    return Done(party.row())


def _over(gauges: Gauges, asked: list[Ask], at_us: int) -> Refused | None:
    for each in asked:
        over, wait_us = gauges.over(each, at_us)
        if over > 0:
            return Refused("rate_limit_exceeded", "", limit_source=each.source, retry_after_us=wait_us)
    return None


def _ends_of(limits: EndUserLimits, at_us: int) -> Iterator[int]:
    """Until when each window of an instant is kept that has a limit."""
    for window, first_day in first_days(at_us // DAY_US).items():
        if window in WINDOWS and getattr(limits, f"{window}_nano") not in (None, NO_LIMIT):
            yield _end_us(window, first_day) + HOUR_US


def _end_us(window: str, first_day: int) -> int:
    end_us = window_end_us(window, first_day * DAY_US)
    assert end_us is not None
    return end_us
