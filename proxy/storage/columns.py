"""Values of the ledger to rows of columns and back. Columns follow the order of the fields."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import add, itemgetter
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.books import Books, BucketKey, ThrottleKey
from proxy.ledger.rows import (
    NO_RULES,
    UNLIMITED,
    Account,
    AlertRules,
    Call,
    Caller,
    Draw,
    Entry,
    Hold,
    Key,
    Limits,
    Observed,
    Outcome,
    Receipt,
    Throttle,
)
from proxy.ledger.seals import newer_values, seal_of
from proxy.ledger.spending import Bucket, Spending
from proxy.ledger.windows import DAY_US
from proxy.storage.queries import SqlValue
from proxy.storage.tables import (
    ACCOUNTS,
    ENTRIES,
    HOLDS,
    IDS_OF_A_CALL,
    KEYS,
    RECEIPTS,
)

_encode = msgspec.json.Encoder().encode
_decode_limits = msgspec.json.Decoder(Limits).decode
_decode_alerts = msgspec.json.Decoder(AlertRules).decode
_decode_observed = msgspec.json.Decoder(Observed).decode
_decode_spending = msgspec.json.Decoder(Spending).decode
_decode_draws = msgspec.json.Decoder(tuple[Draw, ...]).decode
_decode_globs = msgspec.json.Decoder(tuple[str, ...]).decode

_ACCOUNT_LIMITS: Final = ACCOUNTS.place("limits")
_ACCOUNT_SPENDING: Final = ACCOUNTS.place("spending")
_ACCOUNT_ALERTS: Final = ACCOUNTS.place("alerts")
_KEY_MODELS: Final = KEYS.place("models")
_KEY_LIMITS: Final = KEYS.place("limits")
_KEY_SPENDING: Final = KEYS.place("spending")
_HOLD_CALL: Final = HOLDS.place("call")
_HOLD_OBSERVED: Final = HOLDS.place("observed")
_HOLD_DEADLINE: Final = HOLDS.place("deadline_us")
_HOLD_FIELDS: Final = len(Hold.__struct_fields__)
_ENTRY_DRAWS: Final = ENTRIES.place("draws")
_CALL_STREAM: Final = Call.__struct_fields__.index("stream")
# A receipt's values, part by part. A column that a part got later is at the end of the row.
_RECEIPT_VALUES: Final = (
    *Call.__struct_fields__,
    *Outcome.__struct_fields__,
    *("charge_nano", "lines", "price_id"),
    *Receipt.__struct_fields__[3:],
    "day",
)
_OUTCOME_USAGE: Final = _RECEIPT_VALUES.index("usage")
_OUTCOME_ATTEMPTS: Final = _RECEIPT_VALUES.index("attempts")
_OUTCOME_INFERRED: Final = _RECEIPT_VALUES.index("inferred")
_in_receipt_order: Final = itemgetter(
    *(_RECEIPT_VALUES.index(column.name) for column in RECEIPTS.columns[: RECEIPTS.place("seal")])
)
_REST_OF_A_CALL: Final = msgspec.structs.fields(Call)[IDS_OF_A_CALL:]


def _rest_field(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    kind = bool | int if field.type is bool else field.type
    return (field.name, kind) if field.required else (field.name, kind, field.default)


# What is behind the ids, as a JSON array. A process of another version may have written fewer values or more:
# a missing one has its default, and an unknown one is passed over.
_Rest = msgspec.defstruct("_Rest", map(_rest_field, _REST_OF_A_CALL), array_like=True, frozen=True)
_decode_rest: Final = msgspec.json.Decoder(_Rest).decode

_SUMMED: Final = ("input_tokens", "cached_input_tokens", "output_tokens")
_NOTHING: Final = (0,) * len(_SUMMED)

DayKey = tuple[str, int, str, str]


def text(value: object) -> str:
    """A value as JSON."""
    return _encode(value).decode()


@lru_cache(maxsize=4096)
def limits_of(json: str) -> Limits:
    """Limits from JSON; equal ones are the same object, and none at all is `UNLIMITED` itself."""
    limits = _decode_limits(json)
    return UNLIMITED if limits == UNLIMITED else limits


@lru_cache(maxsize=4096)
def alert_rules_of(json: str) -> AlertRules:
    """Rules of alerts from JSON; none at all are `NO_RULES` itself."""
    rules = _decode_alerts(json)
    return NO_RULES if rules == NO_RULES else rules


def account_row(account: Account) -> tuple[SqlValue, ...]:
    """An account's columns."""
    row = list(astuple(account))
    row[_ACCOUNT_LIMITS] = _limits_text(account.limits)
    row[_ACCOUNT_SPENDING] = text(account.spending)
    row[_ACCOUNT_ALERTS] = "{}" if account.alerts is NO_RULES else text(account.alerts)
    return tuple(row)


def account_of(row: tuple[Any, ...]) -> Account:
    """An account from its columns."""
    values = list(row)
    values[_ACCOUNT_LIMITS] = limits_of(row[_ACCOUNT_LIMITS])
    values[_ACCOUNT_SPENDING] = _decode_spending(row[_ACCOUNT_SPENDING])
    values[_ACCOUNT_ALERTS] = alert_rules_of(row[_ACCOUNT_ALERTS])
    return Account(*values)


def key_row(key: Key) -> tuple[SqlValue, ...]:
    """A key's columns."""
    row = list(astuple(key))
    row[_KEY_MODELS] = text(key.models)
    row[_KEY_LIMITS] = _limits_text(key.limits)
    row[_KEY_SPENDING] = text(key.spending)
    return tuple(row)


def key_of(row: tuple[Any, ...]) -> Key:
    """A key from its columns."""
    values = list(row)
    values[_KEY_MODELS] = _decode_globs(row[_KEY_MODELS])
    values[_KEY_LIMITS] = limits_of(row[_KEY_LIMITS])
    values[_KEY_SPENDING] = _decode_spending(row[_KEY_SPENDING])
    return Key(*values)


def caller_of(row: tuple[Any, ...]) -> Caller:
    """A caller from the columns of its key, and the group of its account."""
    return Caller(key_of(row[:-1]), row[-1])


def key_digest_row(books: Books, key: Key) -> tuple[SqlValue, ...]:
    """What leads to a key without its account, and the seal of what never changes in both."""
    sealed = (key.digest, key.account_id, key.id, key.hint, key.created_at_us)
    return (*sealed[:3], seal_of(*sealed, books.accounts[key.account_id].created_at_us))


def bucket_row(books: Books, key: BucketKey) -> tuple[SqlValue, ...]:
    """A bucket's columns: the account that its scope belongs to, and its own."""
    bucket = books.buckets[key]
    return (account_id_of(books, bucket.scope_id), *astuple(bucket))


def throttle_row(books: Books, key: ThrottleKey) -> tuple[SqlValue, ...]:
    """A throttle's columns: the account that its scope belongs to, and its own."""
    throttle = books.throttles[key]
    return (account_id_of(books, throttle.scope_id), *astuple(throttle))


def account_id_of(books: Books, scope_id: str) -> str:
    """The account that a scope is or, if it is a key, belongs to. It must be in the books."""
    return scope_id if scope_id in books.accounts else books.keys[scope_id].account_id


def bucket_of(row: tuple[Any, ...]) -> Bucket:
    """A bucket from its columns."""
    return Bucket(*row[1:])


def throttle_of(row: tuple[Any, ...]) -> Throttle:
    """A throttle from its columns."""
    return Throttle(*row[1:])


def hold_row(hold: Hold) -> tuple[SqlValue, ...]:
    """A hold's columns. An open hold stores its call without the three ids, as a JSON array.

    A closed one stores neither its call nor what was observed, as its receipt has both, nor a deadline. Only
    that of a job, which has one, is sealed: it may stay as it is for days.
    """
    row = list(astuple(hold))
    is_open = hold.state == "open"
    row[_HOLD_CALL] = text(astuple(hold.call)[IDS_OF_A_CALL:]) if is_open else None
    row[_HOLD_OBSERVED] = text(hold.observed) if is_open and hold.observed is not None else None
    if not is_open or hold.deadline_us is None:
        row[_HOLD_DEADLINE] = None
        return (*row, None)
    return (*row, seal_of(*row))


def hold_of(row: tuple[Any, ...]) -> Hold:
    """A hold from its columns. Those of a closed hold are followed by its call, from the receipt."""
    values = list(row[:_HOLD_FIELDS])
    observed = row[_HOLD_OBSERVED]
    call = [*row[:IDS_OF_A_CALL], *astuple(_decode_rest(row[_HOLD_CALL] or row[-1]))]
    call[_CALL_STREAM] = bool(call[_CALL_STREAM])
    values[_HOLD_CALL] = Call(*call)
    values[_HOLD_OBSERVED] = None if observed is None else _decode_observed(observed)
    return Hold(*values)


def entry_row(entry: Entry) -> tuple[SqlValue, ...]:
    """An entry's columns."""
    row = list(astuple(entry))
    row[_ENTRY_DRAWS] = text(entry.draws)
    return tuple(row)


def entry_of(row: tuple[Any, ...]) -> Entry:
    """An entry from its columns."""
    values = list(row)
    values[_ENTRY_DRAWS] = _decode_draws(row[_ENTRY_DRAWS])
    return Entry(*values)


def receipt_row(row: Receipt, hold: Hold) -> tuple[SqlValue, ...]:
    """A receipt's columns. The day is that of its authorization, and the seal is that of its hold as well.

    A newer column is in the seal where there is something in it, so that older seals stay as they are.
    """
    call, outcome, charge, *figures = astuple(row)
    charged = (charge.total_nano, text(charge.lines), charge.price_id)
    values = [*astuple(call), *astuple(outcome), *charged, *figures, hold.created_at_us // DAY_US]
    values[_CALL_STREAM] = int(call.stream)
    values[_OUTCOME_USAGE] = text(outcome.usage)
    values[_OUTCOME_ATTEMPTS] = text(outcome.attempts)
    values[_OUTCOME_INFERRED] = text(outcome.inferred) if outcome.inferred else "{}"
    ordered: tuple[SqlValue, ...] = _in_receipt_order(values)
    newer = newer_values(call.metadata, call.run_id)
    seal = seal_of(*ordered, hold.tokens, hold.created_at_us, hold.owner, *newer)
    return (*ordered, seal, call.metadata, call.run_id)


def usage_day_rows(receipts: Iterable[tuple[Receipt, Hold]]) -> Iterator[tuple[SqlValue, ...]]:
    """What receipts, each with its hold, add to the sums of their days. A voided call counts no request."""
    sums: dict[DayKey, tuple[int, ...]] = {}
    for row, hold in receipts:
        call, outcome = row.call, row.outcome
        tokens = map(outcome.usage.get, _SUMMED, _NOTHING)
        figures: tuple[int, ...] = (int(outcome.basis != "void"), *tokens, row.charged_nano)
        key = (call.account_id, hold.created_at_us // DAY_US, call.key_id, call.model)
        if before := sums.get(key):
            figures = tuple(map(add, before, figures))
        sums[key] = figures
    return ((*key, *figures) for key, figures in sums.items())


def _limits_text(limits: Limits) -> str:
    return "{}" if limits is UNLIMITED else text(limits)
