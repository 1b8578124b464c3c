"""The views of accounts and keys, with their limits and spending."""

from collections.abc import Iterable
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.views.end_users import EndUsersView, end_users_view
from proxy.api.views.money import Bar, Display, Usd, When, bar, display, expiry, instant, money_bar
from proxy.ledger.groups import Groups
from proxy.ledger.rows import NO_LIMIT, Account, AlertRules, Key, Limits
from proxy.ledger.spending import Bucket
from proxy.ledger.windows import Window, ends_us
from proxy.money import Unit, usd_string

Scope = Literal["account", "key"]


class LimitsView(Struct, frozen=True):
    """Limits: US dollars for each UTC day, ISO week and month and in total; `rpm` and `tpm` for each minute.

    `concurrency` is calls at once. `none` is no limit, null is the default. `own_day` is what an account has
    set for itself.
    """

    day: str | None
    week: str | None
    month: str | None
    total: str | None
    rpm: Bar
    tpm: Bar
    concurrency: Bar
    own_day: str | None = None


class SpendingView(Struct, frozen=True):
    """Spending in the current window: spent, held, and what the limit leaves; null without a limit."""

    scope: Scope
    id: str
    window: Window
    limit: Usd | None
    spent: Usd
    held: Usd
    remaining: Usd | None
    resets_at: When | None
    display: Display | UnsetType = UNSET


class AlertsView(Struct, frozen=True):
    """What an account wants to be told of. `none` is no such alert, null is the default."""

    balance_low: str | None
    limit_percents: list[int] | None


class AccountView(Struct, frozen=True, kw_only=True):
    """An account. New calls may hold `available = balance - held - debt + credit_limit`.

    That is below zero where a call cost more than all funds and this is owed. `limits` are its own;
    `effective_limits` are those in force, with those of its group and the defaults. An empty `group` is none.
    """

    object: Literal["account"] = "account"
    id: str
    name: str
    status: Literal["active", "suspended"]
    group: str
    created_at: When
    balance: Usd
    held: Usd
    available: Usd
    debt: Usd
    credit_limit: Usd
    open_holds: int
    limits: LimitsView
    effective_limits: LimitsView
    end_users: EndUsersView
    effective_end_users: EndUsersView
    alerts: AlertsView
    spending: list[SpendingView]
    display: Display | UnsetType = UNSET


class KeyView(Struct, frozen=True, kw_only=True):
    """A key. `hint` is the end of its secret. `models` are globs of what it may use; none allows all.

    `billing` is what was set; `manages_billing` is whether it may decide about the account's money now.
    """

    object: Literal["key"] = "key"
    id: str
    account_id: str
    name: str
    hint: str
    status: Literal["active", "disabled"]
    created_at: When
    expires_at: When | None
    models: list[str]
    limits: LimitsView
    end_users: EndUsersView
    spending: list[SpendingView]
    billing: Literal["manage", "read"] | None
    manages_billing: bool


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A new key with its secret, which is shown this once."""

    secret: str


def limits_view(limits: Limits) -> LimitsView:
    """Limits as they are set."""
    return LimitsView(
        day=money_bar(limits.day_nano),
        week=money_bar(limits.week_nano),
        month=money_bar(limits.month_nano),
        total=money_bar(limits.total_nano),
        rpm=bar(limits.rpm),
        tpm=bar(limits.tpm),
        concurrency=bar(limits.concurrency),
        own_day=money_bar(limits.own_day_nano),
    )


def alerts_view(rules: AlertRules) -> AlertsView:
    """The rules of an account's alerts as they are set."""
    percents = rules.limit_percents
    return AlertsView(money_bar(rules.balance_low_nano), None if percents is None else list(percents))


def spending_of(scope: Scope, in_force: Limits, buckets: Iterable[Bucket], unit: Unit) -> list[SpendingView]:
    """The spending of an account or key in each window, with the limits in force."""
    views = []
    for bucket in buckets:
        limit_nano = in_force.window_nano(bucket.window)
        if limit_nano == NO_LIMIT:
            limit_nano = None
        views.append(_spending_view(scope, bucket, limit_nano, unit))
    return views


def _spending_view(scope: Scope, bucket: Bucket, limit_nano: int | None, unit: Unit) -> SpendingView:
    used_nano = bucket.spent_nano + bucket.held_nano
    left_nano = None if limit_nano is None else max(0, limit_nano - used_nano)
    ends = ends_us(bucket.window, bucket.start_day)
    return SpendingView(
        scope=scope,
        id=bucket.scope_id,
        window=bucket.window,
        limit=None if limit_nano is None else usd_string(limit_nano),
        spent=usd_string(bucket.spent_nano),
        held=usd_string(bucket.held_nano),
        remaining=None if left_nano is None else usd_string(left_nano),
        resets_at=None if ends is None else instant(ends),
        display=display(
            unit, limit=limit_nano, spent=bucket.spent_nano, held=bucket.held_nano, remaining=left_nano
        ),
    )


def account_view(account: Account, groups: Groups, buckets: Iterable[Bucket], unit: Unit) -> AccountView:
    """The view of an account; `buckets` are its spending."""
    in_force = account.limits.over(groups.of(account.group).limits)
    return AccountView(
        id=account.id,
        name=account.name,
        status=account.status,
        group=account.group,
        created_at=instant(account.created_at_us),
        balance=usd_string(account.balance_nano),
        held=usd_string(account.held_nano),
        available=usd_string(account.available_nano),
        debt=usd_string(account.whole_debt_nano),
        credit_limit=usd_string(account.credit_limit_nano),
        open_holds=account.open_holds,
        limits=limits_view(account.limits),
        effective_limits=limits_view(in_force),
        end_users=end_users_view(account.limits.end_users),
        effective_end_users=end_users_view(in_force.end_users),
        alerts=alerts_view(account.alerts),
        spending=spending_of("account", in_force, buckets, unit),
        display=display(
            unit,
            balance=account.balance_nano,
            held=account.held_nano,
            available=account.available_nano,
            debt=account.whole_debt_nano,
            credit_limit=account.credit_limit_nano,
        ),
    )


def key_view(key: Key, buckets: Iterable[Bucket], unit: Unit) -> KeyView:
    """The view of a key; `buckets` are its spending."""
    return KeyView(
        id=key.id,
        account_id=key.account_id,
        name=key.name,
        hint=key.hint,
        status=key.status,
        created_at=instant(key.created_at_us),
        expires_at=expiry(key.expires_at_us),
        models=list(key.models),
        limits=limits_view(key.limits),
        end_users=end_users_view(key.limits.end_users),
        spending=spending_of("key", key.limits, buckets, unit),
        billing=key.billing or None,
        manages_billing=key.manages_billing,
    )
