"""What must hold of the rows after every batch: each check states its rule and yields what breaks it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import msgspec
from msgspec.structs import astuple, replace

from proxy.ledger.commands import Command, Result
from proxy.ledger.seals import seal_of
from proxy.pricing.charge import Line
from proxy.pricing.runs import RUN_MARKUP
from proxy.storage import columns
from proxy.storage.codecs import row_of
from proxy.storage.tables import RECEIPTS
from tests.ledger.auditor import window_name
from tests.simulation.counters import counter_rows
from tests.simulation.counters import exact as exact_amount
from tests.simulation.gauges import MINUTE_US
from tests.simulation.model import DAY_US, Model
from tests.simulation.rows import Look, Row, buckets_in
from tests.simulation.steps import account_of

_lines_of = msgspec.json.Decoder(tuple[Line, ...]).decode
_usage_of = msgspec.json.Decoder(dict[str, int]).decode

PARTS = {"cached_input_tokens": "input_tokens"}
"""Meters of the simulation's rate cards that are part of another."""

Check = Callable[[Look, Model], Iterator[str]]


class Violation(Exception):  # noqa: N818 - it is what a simulation is after, not an error of its own.
    """A rule that does not hold, and what broke it. `account_id` is whose it is, empty if nobody's."""

    def __init__(self, rule: str, detail: str, account_id: str = "") -> None:
        super().__init__(f"{rule}\n    {detail}")
        self.rule = rule
        self.detail = detail
        self.account_id = account_id


def check_results(commands: Sequence[Command], results: Sequence[Result], expected: Sequence[Result]) -> None:
    """Every caller is told what the auditor makes of its command, to the nano-dollar. Raises Violation."""
    if len(results) != len(commands):
        raise Violation("Every command has one result.", f"{len(results)} for {len(commands)}")
    for command, result, right in zip(commands, results, expected, strict=True):
        told = replace(result, message="") if hasattr(result, "message") else result
        if told != right:
            account_id = account_of(command)
            detail = f"{command}\n    was told {result}\n    and not  {right}"
            raise Violation("Callers are told what is on the ledger.", detail, account_id)


def money_adds_up(look: Look, model: Model) -> Iterator[str]:
    """The balance is what the lots have left, held what open holds hold, and these always have funds."""
    if len(look.rows["accounts"]) != 1:
        yield f"the account has {len(look.rows['accounts'])} rows"
        return
    account = columns.account_of(look.rows["accounts"][0])
    left = sum(lot[4] for lot in look.rows["lots"])
    held = sum(hold[3] for hold in look.rows["holds"] if hold[5] == "open")
    if account.balance_nano != left:
        yield f"the balance is {account.balance_nano}, its lots have {left}"
    if account.held_nano != held:
        yield f"{account.held_nano} are held, by open holds of {held}"
    if account.uncommitted_nano < 0:
        yield f"{account.uncommitted_nano} are left beside what is held"
    right = model.parties[look.account_id].row()
    if account != right:
        yield f"the account is {account}, and should be {right}"


def keys_are_as_told(look: Look, model: Model) -> Iterator[str]:
    """A key is what it was last made, counts its own calls in flight, and is found by its digest."""
    party = model.parties[look.account_id]
    yield from differences(
        look.rows["keys"], (columns.key_row(model.key_row(model.keys[id_])) for id_ in party.keys)
    )
    opened_at_us = party.row().created_at_us
    sealed = [(row[3], look.account_id, row[0], row[4], row[5], opened_at_us) for row in look.rows["keys"]]
    led = ((*values[:3], seal_of(*values)) for values in sealed)
    yield from differences(look.rows["key_digests"], led)


def lots_are_drawn_in_turn(look: Look, model: Model) -> Iterator[str]:
    """A lot has left what draws and expiry, in their order, have left of it."""
    yield from differences(
        look.rows["lots"], (astuple(lot) for lot in model.parties[look.account_id].lot_rows().values())
    )


def holds_end_once(look: Look, model: Model) -> Iterator[str]:
    """A hold is open until its first end, and stays as it ended."""
    party = model.parties[look.account_id]
    known = {row[0] for row in look.rows["holds"]}
    ids = party.holds if look.whole else [*known, *party.history.flight]
    right = {id_: columns.hold_row(model.holds[id_]) for id_ in ids if id_ in model.holds}
    yield from differences(look.rows["holds"], right.values())


def entries_explain_the_balance(look: Look, model: Model) -> Iterator[str]:
    """Entries are a chain without a gap: each says what changed, the balance after, and which lots gave."""
    lines = model.parties[look.account_id].history.lines
    last = lines[look.since - 1] if look.since else None
    worth = int((last.balance - last.debt) * 10**9) if last else 0
    for number, row in enumerate(look.rows["entries"], look.since + 1):
        _, seq, _, amount_nano, balance_nano, debt_nano, ref, *_ = row
        worth += amount_nano
        if (seq, balance_nano - debt_nano) != (number, worth):
            yield f"entry {seq} of {ref} comes as {number}, after it there should be {worth}"
    right = (columns.entry_row(entry)[:-1] for entry in model.parties[look.account_id].entry_rows(look.since))
    yield from differences([row[:-1] for row in look.rows["entries"]], right)


def receipts_are_exact(look: Look, model: Model) -> Iterator[str]:
    """A charge is usage times rates, rounded once, half to even; its lines sum to it; short is only funds."""
    right = {row[0]: _receipt_row(model, row[0]) for row in look.rows["receipts"] if row[0] in model.receipts}
    if look.whole:
        closed = (id_ for id_ in model.parties[look.account_id].holds if id_ in model.receipts)
        right |= {id_: _receipt_row(model, id_) for id_ in closed}
    yield from differences(look.rows["receipts"], right.values())
    for row in look.rows["receipts"]:
        yield from wrong_arithmetic(row)


def buckets_are_what_calls_cost(look: Look, model: Model) -> Iterator[str]:
    """A bucket has spent and holds what the calls that were authorized in its window have paid and hold."""
    found = {
        (scope_id, window, window_name(window, day * DAY_US)): (spent, held)
        for scope_id, window, day, spent, held in buckets_in(look.rows)
        if spent or held
    }
    yield from differences(found.items(), model.parties[look.account_id].bucket_rows().items())


def days_are_what_receipts_sum_to(look: Look, model: Model) -> Iterator[str]:
    """A day's usage of a key and model is the sum of its receipts; voided calls are no requests."""
    days = model.days.get(look.account_id, {})
    known = None if look.whole else {row[1] for row in look.rows["usage_days"]}
    right = (
        (look.account_id, *key, *astuple(day))
        for key, day in days.items()
        if known is None or key[0] in known
    )
    yield from differences(look.rows["usage_days"], right)


def objects_stay_their_calls(look: Look, model: Model) -> Iterator[str]:
    """An object is its account's and the call's that made it, as it was seen last, and never comes back."""
    yield from differences(look.rows["objects"], map(row_of, model.objects.get(look.account_id, {}).values()))


def events_are_what_was_crossed(look: Look, model: Model) -> Iterator[str]:
    """Every crossing is told once, with the figures of that moment, and nothing else is."""
    known = None if look.whole else {row[3] for row in look.rows["events"]} | set(look.times)
    events = model.events.get(look.account_id, {}).values()
    right = (row_of(event) for event in events if known is None or event.at_us in known)
    yield from differences(look.rows["events"], right)


def invoices_stay_as_issued(look: Look, model: Model) -> Iterator[str]:
    """An invoice is what it was when it was issued, and a period has one; so it is with credit notes."""
    issued = model.invoices.get(look.account_id, {})
    yield from differences(look.rows["invoices"], map(row_of, issued.values()))
    notes = model.notes.get(look.account_id, {})
    yield from differences(look.rows["credit_notes"], map(row_of, notes.values()))


def deliveries_are_as_noted(look: Look, model: Model) -> Iterator[str]:
    """An endpoint is told of an event until that is heard or given up; each attempt is noted once."""
    mine = model.deliveries.get(look.account_id, {})
    yield from differences(look.rows["deliveries"], map(row_of, mine.values()))
    receivers = model.receivers.get(look.account_id, {})
    yield from differences(look.rows["receivers"], map(row_of, receivers.values()))


def throttles_keep_their_bounds(look: Look, model: Model) -> Iterator[str]:
    """A rate limit is as full as calls have made it and time has drained it, and never less than empty."""
    scopes = (look.account_id, *model.parties[look.account_id].keys)
    gauges = model.gauges.of
    right = (
        (
            look.account_id,
            scope,
            kind,
            Fraction(gauges[scope, kind].full) * MINUTE_US,
            gauges[scope, kind].at_us,
        )
        for scope in scopes
        for kind in ("requests", "tokens")
        if (scope, kind) in gauges
    )
    yield from differences(look.rows["throttles"], right)
    yield from (f"{row} is less than empty" for row in look.rows["throttles"] if row[3] < 0)


def commands_are_remembered(look: Look, model: Model) -> Iterator[str]:
    """A command with an id of its caller's is noted once, when it was first carried out."""
    done = model.parties[look.account_id].done
    found = [(row[1], row[3], row[4]) for row in look.rows["commands"]]
    ids = done if look.whole else [id_ for id_, *_ in found]
    entries = ((id_, done[id_][1]) for id_ in ids if id_ in done)
    yield from differences(found, ((id_, entry.at_us, entry.seq) for id_, entry in entries))


def members_got_and_paid_what_is_due(look: Look, model: Model) -> Iterator[str]:
    """A membership says since when its account is in its group, what it was given there, and has paid."""
    member = model.parties[look.account_id].member
    yield from differences(look.rows["memberships"], [row_of(member)] if member else [])


def counters_have_what_calls_used(look: Look, model: Model) -> Iterator[str]:
    """A counter has what was used in its window, once, and what was paid too much by then."""
    yield from differences(look.rows["counters"], counter_rows(model.uses, look.account_id))


def end_users_have_what_is_counted(look: Look, model: Model) -> Iterator[str]:
    """An end user has what its calls hold and were charged, by window, while there is anything to count."""
    of_account = (key for key in model.fellows if key[0] == look.account_id)
    yield from differences(
        look.rows["end_users"], (row_of(model.fellows[key].row(*key)) for key in of_account)
    )


def top_ups_are_credited_once(look: Look, model: Model) -> Iterator[str]:
    """A top-up is what was asked for, in the state that its provider has told of last, under its names."""
    known = model.top_ups.get(look.account_id, {})
    yield from differences(look.rows["top_ups"], map(row_of, known.values()))
    names = (each for each in model.references.values() if each.account_id == look.account_id)
    yield from differences(look.rows["top_up_references"], map(row_of, names))
    auto = model.autos.get(look.account_id)
    yield from differences(look.rows["auto_top_ups"], [row_of(auto)] if auto else [])


def levels_are_charged_to_a_moment(look: Look, model: Model) -> Iterator[str]:
    """A level has what was told of it and is not charged yet, and what is less than is counted."""
    mine = model.levels.get(look.account_id, {})
    right = (row_of(kept.row(look.account_id, thing)) for thing, kept in mine.items())
    yield from differences(look.rows["levels"], right)


CHECKS: tuple[Check, ...] = (
    money_adds_up,
    keys_are_as_told,
    lots_are_drawn_in_turn,
    holds_end_once,
    entries_explain_the_balance,
    receipts_are_exact,
    buckets_are_what_calls_cost,
    days_are_what_receipts_sum_to,
    objects_stay_their_calls,
    members_got_and_paid_what_is_due,
    events_are_what_was_crossed,
    invoices_stay_as_issued,
    deliveries_are_as_noted,
    throttles_keep_their_bounds,
    commands_are_remembered,
    counters_have_what_calls_used,
    top_ups_are_credited_once,
    levels_are_charged_to_a_moment,
    end_users_have_what_is_counted,
)


def check_looks(looks: Iterable[Look], model: Model) -> None:
    """Raises Violation for the first rule that the rows break."""
    for look in looks:
        for check in CHECKS:
            for detail in check(look, model):
                raise Violation(str(check.__doc__), f"{look.account_id}: {detail}", look.account_id)


def differences(found: Iterable[object], right: Iterable[object]) -> Iterator[str]:
    """A line for what is there and should not be, and for what should be and is not."""
    found, right = list(found), list(right)
    found_once, right_once = set(found), set(right)
    if found_once != right_once:
        yield from (f"there is {each}, which should not be" for each in found if each not in right_once)
        yield from (f"there is no {each}" for each in right if each not in found_once)
    if len(found) != len(right):
        yield f"there are {len(found)} rows, and should be {len(right)}"


def wrong_arithmetic(row: Row) -> Iterator[str]:
    """What is wrong with a receipt by its own figures."""
    usage, charge_nano, lines = _usage_of(row[12]), row[16], _lines_of(row[17])
    charged_nano, shortfall_nano, owed_nano = row[19], row[20], row[RECEIPTS.place("owed_nano")]
    exact = [exact_amount(line) for line in lines]
    ran = sum(int(part) for line, part in zip(lines, exact, strict=True) if line.meter == RUN_MARKUP)
    if charge_nano - ran != round(sum(exact, Fraction(0)) - ran):
        yield f"{row[0]} is charged {charge_nano} for {sum(exact, Fraction(0))}"
    if charge_nano != sum(line.amount_nano for line in lines):
        yield f"{row[0]} is charged {charge_nano}, its lines sum to something else"
    if any(abs(line.amount_nano - right) >= 1 for line, right in zip(lines, exact, strict=True)):
        yield f"{row[0]} has a line that is rounded by a whole nano-dollar"
    quantities: Counter[str] = Counter()
    for line in lines:
        if line.meter != RUN_MARKUP:
            quantities[line.meter] += line.quantity
        elif line.quantity != sum(part.amount_nano for part in lines if part is not line):
            yield f"{row[0]} adds its run's markup to {line.quantity}"
    for meter, quantity in quantities.items():
        parts = sum(quantities.get(part, 0) for part, whole in PARTS.items() if whole == meter)
        if quantity != usage.get(meter, 1 if meter == "requests" else 0) - parts:
            yield f"{row[0]} is charged for {quantity} {meter} of {usage}"
    if charged_nano + shortfall_nano != charge_nano or min(charged_nano, shortfall_nano) < 0:
        yield f"{row[0]} pays {charged_nano} and is {shortfall_nano} short of {charge_nano}"
    if not 0 <= owed_nano <= (0 if shortfall_nano else charged_nano):
        yield f"{row[0]} owes {owed_nano} of {charged_nano}"


def _receipt_row(model: Model, call_id: str) -> Row:
    return columns.receipt_row(model.receipts[call_id], model.holds[call_id])
