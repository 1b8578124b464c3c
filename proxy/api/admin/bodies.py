"""The bodies of the admin API: their fields, and how amounts, instants and limits are read."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from proxy.api.decode import invalid
from proxy.api.views.money import UNIX_EPOCH
from proxy.ledger.end_user_rows import USER_WINDOWS, EndUserLimits, EndUserTerms
from proxy.ledger.groups import Groups
from proxy.ledger.rows import NEVER_US, NO_LIMIT, NO_THRESHOLD, AlertRules, Limits
from proxy.ledger.windows import WINDOWS, Window
from proxy.money import Unit, to_nano, usd_string
from proxy.validation import wants

_Field = TypeVar("_Field")

_TEXT: Final = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"

Name = Annotated[
    str,
    wants(
        "1 to 200 characters of one line",
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
    ),
]
Note = Annotated[
    str,
    wants(
        "text of at most 1000 characters",
        max_length=1000,
        pattern=_TEXT,
    ),
]
Reason = Annotated[
    str,
    wants(
        "1 to 1000 characters that say why",
        min_length=1,
        max_length=1000,
        pattern=_TEXT,
    ),
]
Amount = Annotated[
    str,
    wants(
        'a string with a decimal number of US dollars such as "10.00", or `<number> <unit name>`',
        min_length=1,
        max_length=64,
    ),
]
Instant = Annotated[
    datetime,
    wants("an RFC 3339 instant with its offset, such as 2030-01-01T00:00:00Z", tz=True),
]
Count = Annotated[int, wants("a whole number from 1 to 1000000000000", ge=1, le=10**12)]
Priority = Annotated[int, wants("a whole number from 0, drawn first, to 100", ge=0, le=100)]
Kind = Annotated[
    str,
    wants("1 to 32 of a-z, 0-9, _ and -, a letter first", pattern=r"^[a-z][a-z0-9_-]{0,31}$"),
]
Glob = Annotated[
    str,
    wants("a model's name or a glob", min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f]*$"),
]
GroupName = Annotated[str, wants("the name of a group, or empty for none", max_length=100)]
Globs = Annotated[list[Glob], wants("a list of at most 100 models or globs", max_length=100)]
Percents = Annotated[
    list[Annotated[int, wants("a whole number from 1 to 100", ge=1, le=100)]],
    wants("a list of at most 20 percentages", max_length=20),
]

_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Instants are shown in UTC, whatever their offset was, so the last year is left out."""
_RATES: Final = ("rpm", "tpm", "concurrency")


class Fields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all bodies: an unknown field is refused."""


class LimitFields(Fields, frozen=True):
    """Limits to set: a value, `none` for no limit, or null for the default. Others stay."""

    day: Amount | Literal["none"] | UnsetType | None = UNSET
    week: Amount | Literal["none"] | UnsetType | None = UNSET
    month: Amount | Literal["none"] | UnsetType | None = UNSET
    total: Amount | Literal["none"] | UnsetType | None = UNSET
    rpm: Count | Literal["none"] | UnsetType | None = UNSET
    tpm: Count | Literal["none"] | UnsetType | None = UNSET
    concurrency: Count | Literal["none"] | UnsetType | None = UNSET


class EndUserLimitFields(Fields, frozen=True):
    """Limits of end users to set: a value, `none` for no limit, or null for the default. Others stay."""

    day: Amount | Literal["none"] | UnsetType | None = UNSET
    week: Amount | Literal["none"] | UnsetType | None = UNSET
    month: Amount | Literal["none"] | UnsetType | None = UNSET
    rpm: Count | Literal["none"] | UnsetType | None = UNSET
    tpm: Count | Literal["none"] | UnsetType | None = UNSET
    concurrency: Count | Literal["none"] | UnsetType | None = UNSET


class EndUsersFields(Fields, frozen=True):
    """How calls are limited by whom they are for: a value, or null for the default. Others stay.

    `limits` are those of each end user without any of its own. Where it is so `require`d, a call has to say
    whom it is for, and calls may name `new_per_minute` end users that are not known.
    """

    limits: EndUserLimitFields = EndUserLimitFields()
    require: bool | UnsetType | None = UNSET
    new_per_minute: Count | UnsetType | None = UNSET


NO_END_USERS: Final = EndUsersFields()


class AlertFields(Fields, frozen=True):
    """What an account wants to be told of: null for the default, `none` for no such alert. Others stay.

    `limit_percents` are the percentages of its spending limits; an empty list tells of none.
    """

    balance_low: Amount | Literal["none"] | UnsetType | None = UNSET
    limit_percents: Percents | UnsetType | None = UNSET


class NewAccount(Fields, frozen=True):
    """An account to open. It is in no group where that is empty."""

    name: Name
    group: GroupName = ""
    credit_limit: Amount = "0"
    limits: LimitFields = LimitFields()
    end_users: EndUsersFields = EndUsersFields()
    alerts: AlertFields = AlertFields()


class AccountChange(Fields, frozen=True):
    """A change of an account; absent fields stay as they are, an empty `group` takes it out of its own."""

    name: Name | UnsetType = UNSET
    group: GroupName | UnsetType = UNSET
    status: Literal["active", "suspended"] | UnsetType = UNSET
    credit_limit: Amount | UnsetType = UNSET
    limits: LimitFields = LimitFields()
    end_users: EndUsersFields = EndUsersFields()
    alerts: AlertFields = AlertFields()


class NewKey(Fields, frozen=True):
    """A key to create. `models` are globs of the public models it may use; an empty list allows all.

    With `billing: manage` it may decide about the account's money, with `read` it may not; with null it may
    while it has neither limits nor models of its own.
    """

    name: Name = "key"
    expires_at: Instant | None = None
    models: Globs = []
    limits: LimitFields = LimitFields()
    end_users: EndUsersFields = EndUsersFields()
    billing: Literal["manage", "read"] | None = None


class KeyChange(Fields, frozen=True):
    """A change of a key; absent fields stay, and `expires_at: null` lifts the expiry."""

    name: Name | UnsetType = UNSET
    status: Literal["active", "disabled"] | UnsetType = UNSET
    expires_at: Instant | UnsetType | None = UNSET
    models: Globs | UnsetType = UNSET
    limits: LimitFields = LimitFields()
    end_users: EndUsersFields = EndUsersFields()
    billing: Literal["manage", "read"] | UnsetType | None = UNSET


class NewGrant(Fields, frozen=True):
    """Credit to put in. Lots are drawn in the order of `priority`, expiry and age."""

    amount: Amount
    kind: Kind = "grant"
    priority: Priority = 50
    expires_at: Instant | None = None
    note: Note = ""


class NewAdjustment(Fields, frozen=True):
    """A correction: a positive amount is put in, a negative one is taken, at most what is available."""

    amount: Amount
    reason: Reason


class NewVoid(Fields, frozen=True):
    """Why a lot is voided."""

    reason: Reason


class NewRefund(Fields, frozen=True):
    """What is given back, and why. In parts it sums to no more than there was."""

    amount: Amount
    reason: Reason


def amount_nano(param: str, text: str, unit: Unit, *, least_nano: int = 0) -> int:
    """An amount as nano-USD. Raises Refusal `invalid_value` if it is not one, or below `least_nano`."""
    try:
        nano = to_nano(text, unit)
    except ValueError as fault:
        raise invalid(param, text, str(fault)) from None
    if nano < least_nano:
        raise invalid(param, text, f"it has to be at least {usd_string(least_nano)} USD")
    return nano


def expiry_us(expires_at: datetime | None) -> int:
    """An expiry in microseconds since the epoch; None never expires. Raises Refusal `invalid_value`."""
    return NEVER_US if expires_at is None else instant_us(expires_at, "expires_at")


def instant_us(expires_at: datetime, param: str = "expires_before") -> int:
    """An instant in microseconds since the epoch. Raises Refusal `invalid_value`."""
    if not UNIX_EPOCH <= expires_at < _LATEST:
        raise invalid(param, str(expires_at), "it has to lie between the years 1970 and 9999")
    return (expires_at - UNIX_EPOCH) // timedelta(microseconds=1)


def future_us(param: str, expires_at: datetime | None, now_us: int) -> int:
    """As `expiry_us`. Raises Refusal `invalid_value` for an instant that has passed."""
    at_us = expiry_us(expires_at)
    if at_us <= now_us:
        raise invalid(param, expires_at, "it has to lie in the future")
    return at_us


def limits_over(
    current: Limits, fields: LimitFields, unit: Unit, end_users: EndUsersFields = NO_END_USERS
) -> Limits:
    """`current` with what `fields` and `end_users` set. Raises Refusal `invalid_value`, naming the limit."""
    current = replace(current, **_figures(fields, WINDOWS, "limits", unit))
    if end_users == NO_END_USERS:
        return current
    return replace(current, end_users=_terms_over(current.end_users or EndUserTerms(), end_users, unit))


def end_user_limits_over(current: EndUserLimits, fields: EndUserLimitFields, unit: Unit) -> EndUserLimits:
    """`current` with the limits that `fields` sets. Raises Refusal `invalid_value`, naming the limit."""
    return replace(current, **_figures(fields, USER_WINDOWS, "limits", unit))


def limits_change(
    current: Limits, fields: LimitFields, unit: Unit, end_users: EndUsersFields = NO_END_USERS
) -> Limits | None:
    """As `limits_over`, None if nothing is set. Raises Refusal `invalid_value`, naming the limit."""
    if fields == LimitFields() and end_users == NO_END_USERS:
        return None
    return limits_over(current, fields, unit, end_users)


def alerts_change(current: AlertRules, fields: AlertFields, unit: Unit) -> AlertRules | None:
    """`current` with what `fields` sets, None if that is nothing. Raises Refusal `invalid_value`."""
    if fields == AlertFields():
        return None
    low, percents = fields.balance_low, fields.limit_percents
    if not isinstance(low, UnsetType):
        current = replace(current, balance_low_nano=_threshold_nano("alerts.balance_low", low, unit))
    if not isinstance(percents, UnsetType):
        ascending = None if percents is None else tuple(sorted(set(percents)))
        current = replace(current, limit_percents=ascending)
    return current


def known_group(name: str, groups: Groups) -> str:
    """The name of a group, or empty. Raises Refusal `invalid_value`, naming those that there are."""
    if name and name not in groups.known:
        known = f"the groups are {', '.join(groups.known)}" if groups.known else "there is none"
        raise invalid("group", name, f"{known}, as the configuration says")
    return name


def given(field: _Field | UnsetType) -> _Field | None:
    """A field of a change as a command takes it: None if it is absent."""
    return None if isinstance(field, UnsetType) else field


def _terms_over(current: EndUserTerms, fields: EndUsersFields, unit: Unit) -> EndUserTerms:
    found = _figures(fields.limits, USER_WINDOWS, "end_users.limits", unit)
    current = replace(current, limits=replace(current.limits, **found))
    if fields.require is not UNSET:
        current = replace(current, is_required=fields.require)
    if fields.new_per_minute is not UNSET:
        current = replace(current, new_rpm=fields.new_per_minute)
    return current


def _figures(
    fields: LimitFields | EndUserLimitFields, windows: Iterable[Window], param: str, unit: Unit
) -> dict[str, int | None]:
    """The limits that are set, by the names of a ledger's value."""
    found: dict[str, int | None] = {}
    for window in windows:
        text: str | UnsetType | None = getattr(fields, window)
        if text is not UNSET:
            found[f"{window}_nano"] = _spending_nano(f"{param}.{window}", text, unit)
    for name in _RATES:
        rate: int | str | UnsetType | None = getattr(fields, name)
        if not isinstance(rate, UnsetType):
            found[name] = NO_LIMIT if isinstance(rate, str) else rate
    return found


def _threshold_nano(param: str, text: str | None, unit: Unit) -> int | None:
    if text is None:
        return None
    return NO_THRESHOLD if text == "none" else amount_nano(param, text, unit)


def _spending_nano(param: str, text: str | UnsetType | None, unit: Unit) -> int | None:
    if not isinstance(text, str):
        return None
    return NO_LIMIT if text == "none" else amount_nano(param, text, unit)
