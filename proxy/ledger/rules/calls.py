"""The rules of a call while it runs: authorize opens a hold, the others follow it while it is open."""

from collections.abc import Sequence

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import (
    Authorize,
    Detach,
    Done,
    Extend,
    Granted,
    Observe,
    RateStatus,
    Refused,
    Regrouped,
    Reroute,
)
from proxy.ledger.rows import UNLIMITED, Account, Hold, Key, Limits
from proxy.ledger.rules import end_users, lots, objects, quotas, throttles
from proxy.ledger.rules.closing import hold_of
from proxy.ledger.rules.end_users import CountedCall
from proxy.ledger.rules.limits import headroom_nano, in_force, least_nano, shortage
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.rules.throttles import Demand
from proxy.ledger.windows import iso


@carries_out(Authorize)
def authorize(books: Books, command: Authorize) -> Granted | Regrouped | Refused:
    """Hold funds for a call, or refuse it; a repeat finds its hold and changes nothing.

    A call that was priced for another group than the account's is not held for.
    """
    call, at_us = command.call, command.at_us
    account, key = books.accounts.get(call.account_id), books.keys.get(call.key_id)
    if account is None or key is None or key.account_id != account.id:
        return Refused("invalid_api_key", "The key is unknown.")
    limits = command.defaults if account.limits is UNLIMITED else in_force(account.limits, command.defaults)
    tokens, user = command.tokens, None
    if limits.end_users is not None or key.limits.end_users is not None or call.counts_user:
        user = end_users.counted(books, command, limits, key.limits)
        tokens = user.tokens
    asked = throttles.demands(key, limits, tokens)
    hold = books.holds.get(call.id)
    if hold is not None:
        return _made(account, hold, _statuses(books, asked, user, at_us))
    barred = _barred(account, key, command, user)
    if barred:
        return barred
    if account.next_expiry_us <= at_us:
        account = lots.swept(books, account, at_us)
    # Spending limits and the balance do not bound a call that cannot cost anything.
    amount_nano, refused = 0, None
    if command.ceiling_nano > 0:
        amount_nano, refused = _affordable(books, command, account, key, limits, user=user)
    if not refused and asked:
        throttles.follow(books, asked, at_us)
        refused = throttles.refusal(books, asked, at_us)
    if not refused:
        refused = throttles.crowded(account, key, limits)
    if not refused and (user is not None or command.quota is not None):
        refused = _counted_out(books, command, account, user)
    if refused:
        return replace(refused, rate_statuses=_statuses(books, asked, user, at_us))
    account = _open(books, command, account, key, asked, amount_nano=amount_nano)
    if user is not None or command.quota is not None:
        _count(books, command, account, user)
    statuses = _statuses(books, asked, user, at_us) if asked or user is not None else ()
    return Granted(amount_nano, account.available_nano, statuses)


@carries_out(Observe)
def observe(books: Books, command: Observe) -> Done | Refused:
    """Checkpoint on an open hold what its call has used so far, in place of the checkpoint before."""
    hold = books.holds.get(command.hold_id)
    if hold is None or hold.account_id != command.account_id:
        return Refused("not_found", f"There is no hold {command.hold_id} of this account.")
    if hold.state != "open":
        return _closed(hold)
    books.put_hold(replace(hold, observed=quotas.keep(hold, command.observed)))
    return Done()


@carries_out(Extend)
def extend(books: Books, command: Extend) -> Granted | Refused:
    """Hold more for a call in flight, all of it or nothing; the result has the whole hold.

    The spending limits of now bound it, in the windows in which the hold was made. Rate limits do not.
    """
    hold = hold_of(books, command)
    if isinstance(hold, Refused):
        return hold
    if hold.state != "open":
        return _closed(hold)
    if command.amount_nano <= 0:
        return Refused("invalid_value", "A hold can only be extended by more than nothing.")
    account, key = lots.swept(books, books.accounts[hold.account_id], command.at_us), books.keys[hold.key_id]
    limits, amount_nano = in_force(account.limits, command.defaults), command.amount_nano
    of_all = (books, account, key, limits, hold.created_at_us)
    of_user = end_users.of_hold(books, hold, limits, key.limits) if hold.call.counts_user else ()
    if least_nano(headroom_nano(*of_all), of_user) < amount_nano:
        return shortage(*of_all, required_nano=amount_nano, of_user=of_user)
    account = replace(account, held_nano=account.held_nano + amount_nano)
    books.put_account(account)
    books.move((account.id, key.id), hold.created_at_us, held_nano=amount_nano)
    if hold.call.counts_user:
        end_users.extend(books, hold, amount_nano, command.at_us)
    hold = replace(hold, amount_nano=hold.amount_nano + amount_nano)
    books.put_hold(hold)
    return Granted(hold.amount_nano, account.available_nano)


@carries_out(Reroute)
def reroute(books: Books, command: Reroute) -> Done | Refused:
    """Name on an open hold the upstream that its call goes to; nothing else about the call may differ."""
    call = command.call
    hold = books.holds.get(call.id)
    if hold is None:
        return Refused("not_found", f"There is no hold for the call {call.id}.")
    if hold.state != "open":
        return _closed(hold)
    if replace(call, upstream=hold.call.upstream, upstream_model=hold.call.upstream_model) != hold.call:
        return Refused("conflict", f"The hold {hold.id} was made for another call.")
    books.put_hold(replace(hold, call=call))
    return Done()


@carries_out(Detach)
def detach(books: Books, command: Detach) -> Done | Refused:
    """Give an open hold a deadline, in place of the one it may have, and add what its call made."""
    hold = hold_of(books, command)
    if isinstance(hold, Refused):
        return hold
    if hold.state != "open":
        return _closed(hold)
    if command.deadline_us <= command.at_us:
        return Refused("invalid_value", "A hold can only be detached until a time that is to come.")
    if (taken := objects.taken(books, command.call, command.objects)) is not None:
        return Refused("conflict", f"Another call has made {taken.id}.")
    observed = quotas.keep(hold, command.observed)
    books.put_hold(replace(hold, deadline_us=command.deadline_us, observed=observed))
    objects.put(books, command.call, command.objects, command.at_us)
    return Done()


def _closed(hold: Hold) -> Refused:
    return Refused("conflict", f"The hold {hold.id} is {hold.state}.")


def _made(account: Account, hold: Hold, statuses: tuple[RateStatus, ...]) -> Granted | Refused:
    """What becomes of a call that is made again under its id."""
    if hold.state != "open" or hold.account_id != account.id:
        return Refused("conflict", f"The call {hold.id} has been made already.")
    return Granted(hold.amount_nano, account.available_nano, statuses)


def _barred(
    account: Account, key: Key, command: Authorize, user: CountedCall | None
) -> Refused | Regrouped | None:
    """Why this key may not make this call, whatever the call costs; or None."""
    model = command.call.model
    if key.status != "active":
        return Refused("api_key_disabled", "The key has been disabled.")
    if key.expires_at_us <= command.at_us:
        return Refused("api_key_expired", f"The key expired at {iso(key.expires_at_us)}.")
    if key.models and not key.may_use(model):
        return Refused("model_not_allowed", f"The key is not allowed to use {model}.")
    if account.status != "active":
        return Refused("account_suspended", "The account is suspended.")
    if account.group != command.group:
        return Regrouped(account.group)
    return None if user is None else user.barred


def _counted_out(
    books: Books, command: Authorize, account: Account, user: CountedCall | None
) -> Refused | None:
    """The refusal of a call by what only some are counted to: an end user, a quota; or None."""
    refused = None if user is None else end_users.refusal(books, user, command.at_us)
    if refused is None and command.quota is not None:
        refused = quotas.refusal(books, account, command.quota, command.at_us)
    return refused


def _count(books: Books, command: Authorize, account: Account, user: CountedCall | None) -> None:
    """Count a call that was let through to its end user and its quota."""
    if user is not None:
        end_users.take(books, user, books.holds[command.call.id], command.at_us)
    if command.quota is not None:
        quotas.take(books, account, command.quota, command.at_us)
        quotas.note(books, books.holds[command.call.id], command.quota)


def _affordable(
    books: Books, command: Authorize, account: Account, key: Key, limits: Limits, *, user: CountedCall | None
) -> tuple[int, Refused | None]:
    """How much of its ceiling a call can hold that may cost something; or why that is below its floor."""
    # Such a call never passes without a hold, however low its floor is.
    most_nano = command.ceiling_nano
    required_nano = most_nano if command.floor_nano >= most_nano else max(1, command.floor_nano)
    left_nano = headroom_nano(books, account, key, limits, command.at_us)
    if user is not None:
        left_nano = least_nano(left_nano, user.constraints(command.at_us))
    if left_nano >= most_nano:
        return most_nano, None
    if left_nano >= required_nano:
        return left_nano, None
    of_all = (books, account, key, limits, command.at_us)
    of_user = () if user is None else user.constraints(command.at_us)
    return 0, shortage(*of_all, required_nano=required_nano, of_user=of_user)


def _statuses(
    books: Books, asked: Sequence[Demand], user: CountedCall | None, at_us: int
) -> tuple[RateStatus, ...]:
    statuses = throttles.rate_statuses(books, asked, at_us)
    return statuses if user is None else user.rate_statuses(statuses, at_us)


def _open(
    books: Books, command: Authorize, account: Account, key: Key, asked: Sequence[Demand], *, amount_nano: int
) -> Account:
    call, at_us = command.call, command.at_us
    account = replace(account, held_nano=account.held_nano + amount_nano, open_holds=account.open_holds + 1)
    books.put_account(account)
    books.put_key(replace(key, open_holds=key.open_holds + 1))
    books.move((account.id, key.id), at_us, held_nano=amount_nano)
    tokens = 0
    if asked:
        throttles.charge(books, asked, at_us)
        tokens = throttles.charged_tokens(asked)
    books.put_hold(Hold(call.id, account.id, key.id, amount_nano, tokens, "open", at_us, command.owner, call))
    return account
