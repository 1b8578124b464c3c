"""Groups of accounts from a configuration, with the defaults of all accounts."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from proxy.config.amounts import amount_nano
from proxy.config.faults import Findings
from proxy.config.group_schema import (
    EVER_WORD,
    NEXT_WORD,
    NO_LIMIT_WORD,
    EndUserLimitsSchema,
    EndUsersSchema,
    FeeSchema,
    GroupSchema,
    LimitsSchema,
    RenewalSchema,
)
from proxy.config.prices import share_of
from proxy.config.schema import AccountsSchema, ConfigSchema
from proxy.ledger.dues import Dues, Fee, Renewal
from proxy.ledger.end_user_rows import USER_WINDOWS, EndUserLimits, EndUserTerms
from proxy.ledger.groups import Group, Groups, QuotaTerms
from proxy.ledger.quotas import Quota
from proxy.ledger.rows import NEVER_US, NO_LIMIT, UNLIMITED, Limits
from proxy.ledger.windows import DAY_US, WINDOWS, Window
from proxy.money import Unit
from proxy.validation import Path


def build_groups(schema: ConfigSchema, unit: Unit, findings: Findings) -> Groups:
    """All groups. Adds a fault for each amount that is none, and each group that is fallen to in vain."""
    defaults = _limits(schema.accounts, unit, ("accounts",), findings)
    groups: dict[str, Group] = {}
    for name, group in schema.groups.items():
        path: Path = ("groups", name)
        renewal = _renewal(group.renewal, unit, (*path, "renewal"), findings)
        minimum_nano = 0
        if group.minimum is not None:
            minimum_nano = amount_nano(group.minimum, unit, (*path, "minimum"), findings, least_nano=0)
        fee = _fee(group.fee, unit, (*path, "fee"), findings)
        groups[name] = Group(
            name,
            _limits(group, unit, path, findings).over(defaults),
            tuple(group.models),
            group.multiplier,
            Dues(renewal, fee, schema.accounts.prorate_fees, minimum_nano),
            group.offered,
            share_of(group.run_markup or schema.runs.markup),
            tuple(
                QuotaTerms(Quota(of, quota.day), tuple(quota.models), quota.beyond == "charge")
                for of, quota in group.quotas.items()
            ),
        )
        _check_fall(schema, group.fee, (*path, "fee", "falls_to"), findings)
    dues = Dues(is_prorated=schema.accounts.prorate_fees, ends=_ends(schema, groups, None))
    ending = {
        name: replace(group, dues=replace(group.dues, ends=_ends(schema, groups, group.dues.fee)))
        for name, group in groups.items()
    }
    return Groups(defaults, ending, dues, share_of(schema.runs.markup))


def _ends(
    schema: ConfigSchema, groups: Mapping[str, Group], to: Fee | None
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What ends as an account leaves each plan for a group with this fee, which is a cheaper one or none."""
    ends = []
    for name, group in groups.items():
        said, fee = schema.groups[name].fee, group.dues.fee
        if said is None or fee is None:
            continue
        if to is None:
            kinds = said.ends_on_cancel
        else:
            is_cheaper = to.amount_nano * fee.months < fee.amount_nano * to.months
            kinds = said.ends_on_downgrade if is_cheaper else []
        if kinds:
            ends.append((name, tuple(kinds)))
    return tuple(ends)


def _renewal(schema: RenewalSchema | None, unit: Unit, path: Path, findings: Findings) -> Renewal | None:
    if schema is None:
        return None
    lasts = schema.lasts
    lasts_us = {NEXT_WORD: 0, EVER_WORD: NEVER_US}[lasts] if isinstance(lasts, str) else lasts * DAY_US
    nano = amount_nano(schema.amount, unit, (*path, "amount"), findings, least_nano=1)
    most_nano = _most_nano(schema.most, nano, unit, (*path, "most"), findings)
    return Renewal(nano, schema.every, lasts_us, schema.kind, schema.priority, schema.back_fill, most_nano)


def _most_nano(text: str | None, each_nano: int, unit: Unit, path: Path, findings: Findings) -> int:
    """The most that an account has of what it is given again and again; 0 where there is no bound."""
    if text is None:
        return 0
    most_nano = amount_nano(text, unit, path, findings, least_nano=1)
    if most_nano < each_nano:
        findings.fault(path, "is less than what comes each time", text)
    return most_nano


def _fee(schema: FeeSchema | None, unit: Unit, path: Path, findings: Findings) -> Fee | None:
    if schema is None:
        return None
    included_nano = amount_nano(schema.included, unit, (*path, "included"), findings, least_nano=0)
    return Fee(
        amount_nano(schema.amount, unit, (*path, "amount"), findings, least_nano=0),
        schema.months,
        included_nano,
        schema.included_priority,
        schema.grace_days * DAY_US,
        schema.falls_to or "",
        12 if schema.every == "year" else 1,
        schema.included_lasts,
        _most_nano(schema.included_most, included_nano, unit, (*path, "included_most"), findings),
    )


def _check_fall(schema: ConfigSchema, fee: FeeSchema | None, path: Path, findings: Findings) -> None:
    """An account that cannot pay falls to a group that it can be in without paying."""
    if fee is None or fee.falls_to is None:
        return
    below = schema.groups.get(fee.falls_to)
    if below is None:
        findings.fault(path, "names no group", fee.falls_to)
    elif below.fee is not None:
        findings.fault(path, "has a fee as well, which who falls to it could not pay", fee.falls_to)


def _limits(schema: AccountsSchema | GroupSchema, unit: Unit, path: Path, findings: Findings) -> Limits:
    found = _figures(schema.limits, WINDOWS, unit, (*path, "limits"), findings)
    limits = Limits(**found, end_users=_terms(schema.end_users, unit, (*path, "end_users"), findings))
    return UNLIMITED if limits == UNLIMITED else limits


def _terms(schema: EndUsersSchema | None, unit: Unit, path: Path, findings: Findings) -> EndUserTerms | None:
    if schema is None:
        return None
    found = _figures(schema.limits, USER_WINDOWS, unit, (*path, "limits"), findings)
    return EndUserTerms(EndUserLimits(**found), schema.require, schema.new_per_minute)


def _figures(
    schema: LimitsSchema | EndUserLimitsSchema,
    windows: Iterable[Window],
    unit: Unit,
    path: Path,
    findings: Findings,
) -> dict[str, Any]:
    """The limits by the names of a ledger's value."""
    money = {
        f"{window}_nano": _limit_nano(getattr(schema, window), unit, (*path, window), findings)
        for window in windows
    }
    counts = {
        name: NO_LIMIT if (count := getattr(schema, name)) == NO_LIMIT_WORD else count
        for name in ("rpm", "tpm", "concurrency")
    }
    return {**money, **counts}


def _limit_nano(text: str | None, unit: Unit, path: Path, findings: Findings) -> int | None:
    if text is None:
        return None
    return NO_LIMIT if text == NO_LIMIT_WORD else amount_nano(text, unit, path, findings, least_nano=0)
