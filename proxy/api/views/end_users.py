"""The views of end users: their limits, and what they have spent of them."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.views.money import Bar, Display, Usd, When, bar, display, instant, money_bar
from proxy.ledger.end_user_rows import EndUser, EndUserLimits, EndUserTerms, UserWindow, end_us, windows_of
from proxy.ledger.windows import DAY_US
from proxy.money import Unit, usd_string


class EndUserLimitsView(Struct, frozen=True):
    """Limits of an end user: US dollars for each UTC day, ISO week and month.

    `rpm` and `tpm` are for each minute, `concurrency` is calls at once. `none` is no limit, null the default.
    """

    day: str | None
    week: str | None
    month: str | None
    rpm: Bar
    tpm: Bar
    concurrency: Bar


class EndUsersView(Struct, frozen=True):
    """How the calls of an account, or of a key, are limited by whom they are for; null is the default.

    `limits` are those of each end user without any of its own. Where it is so `require`d, a call has to say
    whom it is for, and calls may name `new_per_minute` end users that are not known.
    """

    limits: EndUserLimitsView
    require: bool | None
    new_per_minute: int | None


class EndUserSpendingView(Struct, frozen=True, kw_only=True):
    """What an end user has spent and what is held for its calls in flight, in the window of now."""

    window: UserWindow
    spent: Usd
    held: Usd
    resets_at: When
    display: Display | UnsetType = UNSET


class EndUserView(Struct, frozen=True, kw_only=True):
    """An end user of an account, by the account's own word for it; `limits` are its own.

    What is counted of it is there while a limit counts it: of one that is idle nothing is known.
    """

    object: Literal["end_user"] = "end_user"
    account_id: str
    end_user: str
    limits: EndUserLimitsView
    open_holds: int
    spending: list[EndUserSpendingView]


def end_user_limits_view(limits: EndUserLimits) -> EndUserLimitsView:
    """Limits as they are set."""
    return EndUserLimitsView(
        day=money_bar(limits.day_nano),
        week=money_bar(limits.week_nano),
        month=money_bar(limits.month_nano),
        rpm=bar(limits.rpm),
        tpm=bar(limits.tpm),
        concurrency=bar(limits.concurrency),
    )


def end_users_view(terms: EndUserTerms | None) -> EndUsersView:
    """Terms as they are set."""
    terms = terms or EndUserTerms()
    return EndUsersView(end_user_limits_view(terms.limits), terms.is_required, terms.new_rpm)


def end_user_view(row: EndUser, unit: Unit, now_us: int) -> EndUserView:
    """The view of an end user."""
    sums = [row.sums_of(*window) for window in windows_of(now_us // DAY_US)]
    return EndUserView(
        account_id=row.account_id,
        end_user=row.id,
        limits=end_user_limits_view(row.limits),
        open_holds=row.open_holds,
        spending=[
            EndUserSpendingView(
                window=each.window,
                spent=usd_string(each.spent_nano),
                held=usd_string(each.held_nano),
                resets_at=instant(end_us(each)),
                display=display(unit, spent=each.spent_nano, held=each.held_nano),
            )
            for each in sums
        ],
    )
