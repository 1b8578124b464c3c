"""The rules of levels: what is told of a thing is kept until it is charged, each moment of it once."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Recorded, Refused, Regrouped, Settled
from proxy.ledger.level_rows import TOLD_MAX, Level, accrued, begun, stopped, with_told
from proxy.ledger.levels import STOPPED, Accrue, ReportLevel
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.records import record
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.windows import iso
from proxy.money import usd_string


@carries_out(ReportLevel)
def report_level(books: Books, command: ReportLevel) -> Recorded | Regrouped | Refused:
    """Keep what is told of a thing, once; it holds from its moment on until something else does."""
    call = command.record.call
    known = books.levels.get((call.account_id, call.model, command.thing))
    is_known = (call.account_id, command.record.name) in books.objects
    if not is_known and (refused := _cannot_be_told(known, command)):
        return refused
    recorded = record(books, command.record)
    if isinstance(recorded, Recorded) and not recorded.settled.replayed:
        if known is None:
            known = begun(call.account_id, call.model, command.thing, call.key_id, command.told)
        else:
            known = with_told(known, command.told)
        books.levels.put(known)
    return recorded


@carries_out(Accrue)
def accrue(books: Books, command: Accrue) -> Recorded | Regrouped | Refused:
    """Charge a level until a moment. What is less than is counted stays to be charged with what comes."""
    level, made = command.level, command.record
    account = books.accounts.get(level.account_id)
    if account is None:
        return no_account(level.account_id)
    known = books.levels.get((level.account_id, level.type, level.thing))
    if (level.account_id, made.name) in books.objects:
        return record(books, made)
    if refused := _cannot_be_charged(known, command):
        return refused
    quantity, after = accrued(level, command.until_us)
    if list(made.outcome.usage.values()) != [quantity]:
        return Refused("invalid_value", f"The level comes to {quantity} until {iso(command.until_us)}.")
    if not quantity:
        books.levels.put(after)
        return Recorded("", Settled(0, 0, account.balance_nano, account.available_nano))
    recorded = record(books, made)
    if isinstance(recorded, Recorded):
        shortfall_nano = recorded.settled.shortfall_nano
        if command.stops and shortfall_nano:
            after = stopped(after)
            _tell(books, command, recorded.call_id, shortfall_nano)
        books.levels.put(after)
    return recorded


def _cannot_be_told(known: Level | None, command: ReportLevel) -> Refused | None:
    if command.told.level < 0:
        return Refused("invalid_value", "There cannot be less than nothing of a thing.")
    if known is None:
        return None
    if command.told.at_us < known.charged_us:
        since = iso(-(-known.charged_us // 1_000_000) * 1_000_000)
        return Refused("invalid_value", f"It is charged already: tell of it from {since} on.")
    if len(known.told) >= TOLD_MAX:
        return Refused("conflict", f"{TOLD_MAX} changes of it wait to be charged.")
    return None


def _cannot_be_charged(known: Level | None, command: Accrue) -> Refused | None:
    level = command.level
    if known != level or command.record.call.account_id != level.account_id:
        return Refused("conflict", "The level is another one by now.")
    if not level.charged_us < command.until_us <= command.record.at_us:
        return Refused("invalid_value", "A level is charged for what has passed and was not charged.")
    return None


def _tell(books: Books, command: Accrue, call_id: str, shortfall_nano: int) -> None:
    level = command.level
    books.put_event(
        *(level.account_id, STOPPED, call_id, command.record.at_us),
        type=level.type,
        thing=level.thing,
        stopped_at=iso(command.until_us),
        call_id=call_id,
        shortfall=usd_string(shortfall_nano),
    )
