"""Deliberate small faults of the rules, of prices and of a store, each of which a simulation must find.

A faulty rule is a wrapper of the real one that spoils what that works on, or what it has done.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from math import ceil
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import (
    Adjust,
    Authorize,
    Command,
    Detach,
    Done,
    Extend,
    Forget,
    Grant,
    Recover,
    Result,
    Settle,
    Settled,
    Void,
)
from proxy.ledger.rows import NEVER_US, UNLIMITED, Hold
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, price
from tests.simulation import (
    mutants_of_counters,
    mutants_of_credit,
    mutants_of_events,
    mutants_of_invoices,
    mutants_of_levels,
    mutants_of_limits,
    mutants_of_plans,
    mutants_of_records,
    mutants_of_top_ups,
)
from tests.simulation.memory_stage import Defect, Rule
from tests.simulation.world import Price

_GENEROUS_NANO: Final = 10**15


class Mutant(msgspec.Struct, frozen=True):
    """Rules, prices and a store of which one is faulty."""

    carry_out: Rule = rules.apply
    price: Price = price
    defect: Defect | None = None


def _ended(books: Books, command: Command, result: Result) -> Hold | None:
    """The hold that a command has closed just now."""
    closed = isinstance(result, Settled) and not result.replayed
    return books.holds[command.call.id] if closed and isinstance(command, Settle | Void | Recover) else None


def keeps_the_hold(books: Books, command: Command) -> Result:
    """A settled call's funds stay held."""
    result = rules.apply(books, command)
    hold = _ended(books, command, result)
    if hold is not None and hold.amount_nano:
        account = books.accounts[hold.account_id]
        books.put_account(replace(account, held_nano=account.held_nano + hold.amount_nano))
    return result


def charges_twice(books: Books, command: Command) -> Result:
    """To settle again is to charge again."""
    hold = books.holds.get(command.call.id) if isinstance(command, Settle) else None
    if hold is not None and hold.state == "settled":
        account, key = books.accounts[hold.account_id], books.keys[hold.key_id]
        books.put_account(
            replace(
                account, held_nano=account.held_nano + hold.amount_nano, open_holds=account.open_holds + 1
            )
        )
        books.put_key(replace(key, open_holds=key.open_holds + 1))
        books.put_hold(replace(hold, state="open"))
    return rules.apply(books, command)


def never_expires(books: Books, command: Command) -> Result:
    """No lot is ever due."""
    for account in list(books.accounts.values()):
        if account.next_expiry_us != NEVER_US:
            books.put_account(replace(account, next_expiry_us=NEVER_US))
    return rules.apply(books, command)


def expires_promised_lots(books: Books, command: Command) -> Result:
    """A due lot goes whole, though calls in flight were promised some of it."""
    holds = dict(books.holds)
    if not isinstance(command, Settle | Void | Recover | Extend):
        books.holds = {
            id_: replace(hold, created_at_us=NEVER_US) if hold.state == "open" else hold
            for id_, hold in holds.items()
        }
    result = rules.apply(books, command)
    changed = {id_: books.holds[id_] for id_ in books.changed_holds}
    books.holds = holds | {
        id_: replace(hold, created_at_us=holds[id_].created_at_us) if id_ in holds else hold
        for id_, hold in changed.items()
    }
    return result


def forgets_the_keys_bucket(books: Books, command: Command) -> Result:
    """What a call paid is not counted for its key."""
    result = rules.apply(books, command)
    hold = _ended(books, command, result)
    if hold is not None and isinstance(result, Settled):
        books.move((hold.key_id,), hold.created_at_us, spent_nano=-result.charged_nano)
    return result


def counts_in_todays_bucket(books: Books, command: Command) -> Result:
    """What a call paid is counted when it ends, not when it began."""
    result = rules.apply(books, command)
    hold = _ended(books, command, result)
    if hold is not None and isinstance(result, Settled) and isinstance(command, Settle):
        scopes = hold.account_id, hold.key_id
        books.move(scopes, hold.created_at_us, spent_nano=-result.charged_nano)
        books.move(scopes, command.at_us, spent_nano=result.charged_nano)
    return result


def skips_the_floor(books: Books, command: Command) -> Result:
    """A correction downwards goes below what there is."""
    if not isinstance(command, Adjust) or command.account_id not in books.accounts:
        return rules.apply(books, command)
    with _spoiled_account(books, command.account_id, credit_limit_nano=_GENEROUS_NANO):
        return rules.apply(books, command)


def extends_beyond_limits(books: Books, command: Command) -> Result:
    """A hold grows as if no spending limit were set."""
    if not isinstance(command, Extend) or command.call.account_id not in books.accounts:
        return rules.apply(books, command)
    with _spoiled_account(books, command.call.account_id, limits=UNLIMITED):
        return rules.apply(books, replace(command, defaults=UNLIMITED))


def lets_suspended_accounts_call(books: Books, command: Command) -> Result:
    """A suspended account's calls go through."""
    if not isinstance(command, Authorize) or command.call.account_id not in books.accounts:
        return rules.apply(books, command)
    with _spoiled_account(books, command.call.account_id, status="active"):
        return rules.apply(books, command)


def ignores_priorities(books: Books, command: Command) -> Result:
    """Lots are drawn from by their dates alone."""
    before = {id_: lot for lots in books.lots.values() for id_, lot in lots.items()}
    for lots in books.lots.values():
        lots.update({id_: replace(lot, priority=0) for id_, lot in lots.items()})
    result = rules.apply(books, command)
    for lots in books.lots.values():
        lots.update(
            {id_: replace(lot, priority=before[id_].priority) for id_, lot in lots.items() if id_ in before}
        )
    return result


def draws_fresh_lots_first(books: Books, command: Command) -> Result:
    """What a due lot kept for the call is drawn from last, and the fresh credit of others first."""
    if not isinstance(command, Settle):
        return rules.apply(books, command)
    due = {
        id_: lot
        for id_, lot in books.lots.get(command.call.account_id, {}).items()
        if lot.expires_at_us <= command.at_us
    }
    lots = books.lots.get(command.call.account_id, {})
    lots.update({id_: replace(lot, expires_at_us=NEVER_US, priority=1000) for id_, lot in due.items()})
    result = rules.apply(books, command)
    for id_, lot in due.items():
        lots[id_] = replace(lots[id_], expires_at_us=lot.expires_at_us, priority=lot.priority)
    return result


def forgets_commands(books: Books, command: Command) -> Result:
    """A grant that is repeated is carried out again."""
    if isinstance(command, Grant):
        books.commands.pop((command.account_id, command.command_id), None)
    return rules.apply(books, command)


def recovers_for_nothing(books: Books, command: Command) -> Result:
    """What a crashed call had used is given away."""
    if isinstance(command, Recover) and command.call.id in books.holds:
        hold = books.holds[command.call.id]
        books.holds[hold.id] = replace(hold, observed=None)
    return rules.apply(books, command)


def recovers_before_the_deadline(books: Books, command: Command) -> Result:
    """A job is taken for an orphan, though it has time left."""
    if isinstance(command, Recover) and command.call.id in books.holds:
        hold = books.holds[command.call.id]
        books.holds[hold.id] = replace(hold, deadline_us=None)
    return rules.apply(books, command)


def keeps_the_first_deadline(books: Books, command: Command) -> Result:
    """A job that needs longer does not get it."""
    hold = books.holds.get(command.call.id) if isinstance(command, Detach) else None
    result = rules.apply(books, command)
    if hold is not None and hold.deadline_us is not None:
        books.put_hold(replace(books.holds[hold.id], deadline_us=hold.deadline_us))
    return result


def lets_objects_be_taken(books: Books, command: Command) -> Result:
    """What comes under the id of an object from another call is that call's from then on."""
    result = rules.apply(books, command)
    if isinstance(command, Settle) and isinstance(result, Settled):
        for row in command.objects:
            if row.account_id == command.call.account_id:
                books.objects.put(row)
    return result


def forgets_what_a_job_has_made(books: Books, command: Command) -> Result:
    """An object that is old goes, though its job runs and nobody could ask about that any more."""
    if not isinstance(command, Forget):
        return rules.apply(books, command)
    without = {id_: books.holds.pop(id_) for _, id_ in command.objects if id_ in books.holds}
    result = rules.apply(books, command)
    books.holds |= without
    return result


def takes_any_group(books: Books, command: Command) -> Result:
    """A call is held for at the prices of a group that its account is not in."""
    account = books.accounts.get(command.call.account_id) if isinstance(command, Authorize) else None
    if account is not None and isinstance(command, Authorize):
        command = replace(command, group=account.group)
    return rules.apply(books, command)


def forgets_what_a_job_costs(books: Books, command: Command) -> Result:
    """A job that begins says nothing of its price."""
    if isinstance(command, Detach):
        command = replace(command, observed=None)
    return rules.apply(books, command)


def names_the_first_upstream(books: Books, command: Command) -> Result:
    """A crashed call's receipt names the upstream that it was to go to, not the one that it went to."""
    result = rules.apply(books, command)
    if isinstance(command, Recover) and _ended(books, command, result):
        receipt = books.new_receipts[-1]
        model = receipt.call.model
        call = replace(receipt.call, upstream="main", upstream_model=f"{model}-1")
        books.new_receipts[-1] = replace(receipt, call=call)
    return result


def hides_the_shortfall(books: Books, command: Command) -> Result:
    """A receipt says that all of the charge was paid."""
    result = rules.apply(books, command)
    if books.new_receipts and books.new_receipts[-1].shortfall_nano:
        row = books.new_receipts[-1]
        books.new_receipts[-1] = replace(row, charged_nano=row.charge.total_nano, shortfall_nano=0)
    return result


def lets_go_of_what_is_owed(books: Books, command: Command) -> Result:
    """A call's cost beyond all funds is charged, and nobody owes it."""
    before = books.accounts.get(command.call.account_id) if isinstance(command, Settle) else None
    result = rules.apply(books, command)
    if before is not None and isinstance(result, Settled) and result.owed_nano:
        books.put_account(replace(books.accounts[before.id], owed_nano=before.owed_nano))
    return result


def never_repays_what_is_owed(books: Books, command: Command) -> Result:
    """A grant takes off what it repays, and it is owed all the same."""
    before = books.accounts.get(command.account_id) if isinstance(command, Grant) else None
    result = rules.apply(books, command)
    if before is not None and before.owed_nano and isinstance(result, Done):
        books.put_account(replace(books.accounts[before.id], owed_nano=before.owed_nano))
    return result


def leaves_token_limits_full(books: Books, command: Command) -> Result:
    """The tokens that a call did not use are not given back to its rate limits."""
    before = dict(books.throttles)
    result = rules.apply(books, command)
    if _ended(books, command, result) is not None:
        books.throttles |= {key: row for key, row in before.items() if key[1] == "tokens"}
    return result


def writes_no_entry(books: Books, command: Command) -> Result:
    """What expires leaves the balance, and no trace."""
    result = rules.apply(books, command)
    books.new_entries = [entry for entry in books.new_entries if entry.kind != "expire"]
    return result


def tells_the_balance_of_before(books: Books, command: Command) -> Result:
    """Who grants is told the balance that was."""
    before = books.accounts.get(command.account_id) if isinstance(command, Grant) else None
    result = rules.apply(books, command)
    if isinstance(result, Done) and before is not None:
        return replace(result, account=before)
    return result


def rounded_up(card: RateCard, usage: Mapping[str, int]) -> Charge:
    """Half a nano-dollar, and all that is less, is charged as a whole one."""
    charge = price(card, usage)
    exact = sum((Fraction(line.price_nano) * line.quantity / line.per for line in charge.lines), Fraction(0))
    if ceil(exact) == charge.total_nano:
        return charge
    first = replace(charge.lines[0], amount_nano=charge.lines[0].amount_nano + 1)
    return replace(charge, total_nano=charge.total_nano + 1, lines=(first, *charge.lines[1:]))


def half_away_from_nothing(card: RateCard, usage: Mapping[str, int]) -> Charge:
    """Half a nano-dollar is a whole one even next to an even number."""
    charge = price(card, usage)
    exact = sum((Fraction(line.price_nano) * line.quantity / line.per for line in charge.lines), Fraction(0))
    return rounded_up(card, usage) if exact - charge.total_nano == Fraction(1, 2) else charge


@contextmanager
def _spoiled_account(books: Books, account_id: str, **fields: Any) -> Iterator[None]:
    """Let an account look different while a rule works on it."""
    before = books.accounts[account_id]
    books.accounts[account_id] = replace(before, **fields)
    try:
        yield
    finally:
        was = {name: getattr(before, name) for name in fields}
        books.accounts[account_id] = replace(books.accounts[account_id], **was)


_RULES: Final[tuple[Callable[[Books, Command], Result], ...]] = (
    keeps_the_hold,
    charges_twice,
    never_expires,
    expires_promised_lots,
    forgets_the_keys_bucket,
    counts_in_todays_bucket,
    skips_the_floor,
    extends_beyond_limits,
    lets_suspended_accounts_call,
    ignores_priorities,
    draws_fresh_lots_first,
    forgets_commands,
    recovers_for_nothing,
    recovers_before_the_deadline,
    keeps_the_first_deadline,
    lets_objects_be_taken,
    forgets_what_a_job_has_made,
    forgets_what_a_job_costs,
    takes_any_group,
    names_the_first_upstream,
    hides_the_shortfall,
    lets_go_of_what_is_owed,
    never_repays_what_is_owed,
    leaves_token_limits_full,
    writes_no_entry,
    tells_the_balance_of_before,
    *mutants_of_credit.RULES,
    *mutants_of_limits.RULES,
    *mutants_of_plans.RULES,
    *mutants_of_records.RULES,
    *mutants_of_counters.RULES,
    *mutants_of_events.RULES,
    *mutants_of_top_ups.RULES,
    *mutants_of_invoices.RULES,
    *mutants_of_levels.RULES,
)
_DEFECTS: Final[tuple[Defect, ...]] = (
    "keeps what broke off",
    "forgets who is gone",
    "forgets deadlines",
    "loses what was committed",
)

MUTANTS: Final[dict[str, Mutant]] = {
    **{rule.__name__: Mutant(carry_out=rule) for rule in _RULES},
    "rounded_up": Mutant(price=rounded_up),
    "half_away_from_nothing": Mutant(price=half_away_from_nothing),
    **{defect.replace(" ", "_"): Mutant(defect=defect) for defect in _DEFECTS},
}
"""Every fault by name."""
