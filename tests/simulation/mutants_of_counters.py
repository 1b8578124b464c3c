"""Deliberate faults of the rule by which prices depend on what was used before."""

from collections.abc import Callable
from fractions import Fraction

from msgspec import UNSET
from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Recorded, Recover, Result, Settle, Settled
from proxy.ledger.rows import Counter, Hold
from proxy.ledger.rules import counters
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.counting import let_go, volume_after
from proxy.pricing.runs import RUN
from proxy.pricing.tiers import NO_VOLUME, Rolled


def counts_nothing(books: Books, command: Command) -> Result:
    """Every call is the first of its period."""
    before, changed = dict(books.counters), set(books.counters.changed)
    result = rules.apply(books, command)
    books.counters.clear()
    books.counters.update(before)
    books.counters.changed = changed
    return result


def counts_again(books: Books, command: Command) -> Result:
    """To settle again is to count again."""
    result = rules.apply(books, command)
    if (
        isinstance(command, Settle)
        and isinstance(result, Settled)
        and result.replayed
        and command.charge.tiers
    ):
        counters.count(books, books.holds[command.call.id], command.charge)
    return result


def counts_where_calls_end(books: Books, command: Command) -> Result:
    """What was used is counted in the window in which a call ends, not in that in which it began."""
    before = dict(books.counters)
    result = rules.apply(books, command)
    if isinstance(command, Settle) and isinstance(result, Settled) and result.charge is not None:
        for key, after in [*books.counters.items()]:
            if after is not before.get(key):
                first_day = dict(starts_of_day(command.at_us // DAY_US))[after.window]
                books.counters.put(before.get(key) or replace(after, quantity=0, volume=NO_VOLUME))
                books.counters.put(replace(after, start_day=first_day))
    return result


def counts_no_crashed_calls(books: Books, command: Command) -> Result:
    """What a crashed call had used is charged, and not counted."""
    return counts_nothing(books, command) if isinstance(command, Recover) else rules.apply(books, command)


def begins_with_the_first_tier(books: Books, command: Command) -> Result:
    """What was counted before is there, and decides about nothing."""
    if not isinstance(command, Settle):
        return rules.apply(books, command)
    before = dict(books.counters)
    books.counters.update({key: replace(row, quantity=0, volume=NO_VOLUME) for key, row in before.items()})
    result = rules.apply(books, command)
    for key, after in [*books.counters.items()]:
        was = before.get(key) or Counter(*key, 0)
        books.counters[key] = replace(after, quantity=was.quantity + after.quantity)
    return result


def keeps_what_was_paid_too_much(books: Books, command: Command) -> Result:
    """Volume tiers give back no more than a call costs, ever."""
    result = rules.apply(books, command)
    for key in books.counters.changed:
        row = books.counters[key]
        books.counters[key] = replace(row, volume=replace(row.volume, credit="0"))
    return result


def charges_the_dearest_tier(books: Books, command: Command) -> Result:
    """What a call holds is what it is charged."""
    if isinstance(command, Settle) and command.charge.tiers and _is_open(books, command):
        command = replace(command, charge=replace(command.charge, tiers=()))
    return rules.apply(books, command)


def rounds_each_call_of_a_run(books: Books, command: Command) -> Result:
    """The markup of a run is rounded on each of its calls, and not on all of them."""
    result = rules.apply(books, command)
    for key in books.counters.changed:
        row = books.counters[key]
        if row.name.startswith(RUN):
            markup = str(round(Fraction(row.volume.weighted)))
            books.counters[key] = replace(row, volume=replace(row.volume, weighted=markup))
    return result


def gives_back_what_was_let_go(books: Books, command: Command) -> Result:
    """Units that nobody has paid for are priced anew in a cheaper tier, as if somebody had."""
    result = rules.apply(books, command)
    settled = result.settled if isinstance(result, Recorded) else result
    if isinstance(settled, Settled) and settled.shortfall_nano and settled.charge is not None:
        for line, _ in let_go(settled.charge.lines, settled.shortfall_nano):
            volume = volume_after(line)
            for key in books.counters.changed:
                row = books.counters[key]
                if row.volume.prices == volume.prices:
                    books.counters[key] = replace(row, volume=volume)
    return result


def rolls_nothing_over(books: Books, command: Command) -> Result:
    """What a day has left of its allowance is lost with it."""
    return _opening(books, command, lambda rolled: replace(rolled, rolled=0))


def rolls_all_over(books: Books, command: Command) -> Result:
    """What a day has left is added to the next one, however much that is."""

    def grown(rolled: Rolled) -> Rolled:
        return replace(rolled, rolled=rolled.rolled + (rolled.rolled == rolled.most))

    return _opening(books, command, grown)


def _opening(books: Books, command: Command, change: Callable[[Rolled], Rolled]) -> Result:
    """Carry a command out, and change the days that it has begun."""
    before = {key: row.volume.rolled for key, row in books.counters.items()}
    result = rules.apply(books, command)
    for key, row in [*books.counters.items()]:
        rolled = row.volume.rolled
        if isinstance(rolled, Rolled) and before.get(key, UNSET) != rolled:
            books.counters[key] = replace(row, volume=replace(row.volume, rolled=change(rolled)))
    return result


def _is_open(books: Books, command: Settle) -> bool:
    hold: Hold | None = books.holds.get(command.call.id)
    return hold is not None and hold.state == "open"


RULES = (
    counts_nothing,
    counts_again,
    counts_where_calls_end,
    counts_no_crashed_calls,
    begins_with_the_first_tier,
    keeps_what_was_paid_too_much,
    gives_back_what_was_let_go,
    charges_the_dearest_tier,
    rounds_each_call_of_a_run,
    rolls_nothing_over,
    rolls_all_over,
)
"""All of them."""
