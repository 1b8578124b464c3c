"""Deliberate faults of the rules of levels and sessions."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Recorded, Result
from proxy.ledger.level_rows import accrued, stopped, with_told
from proxy.ledger.levels import Accrue, ReportLevel
from proxy.ledger.sessions import ENDED


def loses_what_is_left(books: Books, command: Command) -> Result:
    """What is less than is counted is charged with nothing."""
    result = rules.apply(books, command)
    if isinstance(command, Accrue) and isinstance(result, Recorded):
        key = (command.level.account_id, command.level.type, command.level.thing)
        books.levels.put(replace(books.levels[key], carry=0))
    return result


def charges_a_moment_twice(books: Books, command: Command) -> Result:
    """A level is charged until a moment, and from before it the next time."""
    result = rules.apply(books, command)
    if isinstance(command, Accrue) and isinstance(result, Recorded) and result.settled.charged_nano:
        books.levels.put(command.level)
    return result


def charges_what_it_was(books: Books, command: Command) -> Result:
    """What was told since a charge was worked out is not seen."""
    if isinstance(command, Accrue):
        key = (command.level.account_id, command.level.type, command.level.thing)
        if key in books.levels:
            books.levels.put(command.level)
    return rules.apply(books, command)


def takes_what_comes_last(books: Books, command: Command) -> Result:
    """A level is what was told last, also of a moment before another that was told of."""
    if not isinstance(command, ReportLevel):
        return rules.apply(books, command)
    key = (command.call.account_id, command.call.model, command.thing)
    known = books.levels.get(key)
    result = rules.apply(books, command)
    if isinstance(result, Recorded) and known is not None and not result.settled.replayed:
        earlier = tuple(each for each in known.told if each.at_us < command.told.at_us)
        if earlier:
            books.levels.put(with_told(replace(known, told=earlier), command.told))
    return result


def goes_on_without_funds(books: Books, command: Command) -> Result:
    """What nobody can pay for goes on."""
    result = rules.apply(books, command)
    if isinstance(command, Accrue) and isinstance(result, Recorded) and result.settled.shortfall_nano:
        books.levels.put(accrued(command.level, command.until_us)[1])
    return result


def stops_at_every_debt(books: Books, command: Command) -> Result:
    """What is owed ends a level as well."""
    result = rules.apply(books, command)
    if isinstance(command, Accrue) and isinstance(result, Recorded) and result.settled.owed_nano:
        level = books.levels[command.level.account_id, command.level.type, command.level.thing]
        books.levels.put(stopped(level))
    return result


def ends_a_session_silently(books: Books, command: Command) -> Result:
    """Nobody is told that a session has ended."""
    result = rules.apply(books, command)
    for key in [key for key, event in books.events.once.items() if event.type == ENDED]:
        del books.events.once[key], books.events[key]
    return result


RULES = (
    loses_what_is_left,
    charges_a_moment_twice,
    charges_what_it_was,
    takes_what_comes_last,
    goes_on_without_funds,
    stops_at_every_debt,
    ends_a_session_silently,
)
"""All of them."""
