"""Alerts: what an account or the operator wants to be told of, beside what is always told."""

from typing import Final

from proxy.ledger.groups import Groups
from proxy.ledger.rows import NO_RULES, NO_THRESHOLD, UNLIMITED, AlertRules

PERCENTS: Final = (50, 80, 100)
"""The percentages of a spending limit that are told where no others are set."""


class Alerts:
    """What is told of accounts: the `defaults` of their rules, and `groups` for the limits in force.

    With `records` false no event is recorded at all.
    """

    def __init__(
        self, defaults: AlertRules = NO_RULES, groups: Groups | None = None, *, records: bool = True
    ) -> None:
        self.records: Final = records
        self.groups: Final = groups or Groups()
        self._percents: Final = PERCENTS if defaults.limit_percents is None else defaults.limit_percents
        self._balance_low_nano: Final = defaults.balance_low_nano
        all_groups = (self.groups.of(""), *self.groups.known.values())
        self.has_limits: Final = any(group.limits != UNLIMITED for group in all_groups)

    def percents(self, own: AlertRules) -> tuple[int, ...]:
        """The percentages of limits that are told of an account with these rules."""
        return self._percents if own.limit_percents is None else own.limit_percents

    def balance_low_nano(self, own: AlertRules) -> int | None:
        """What the funds of an account with these rules fall to when that is told, or None."""
        nano = self._balance_low_nano if own.balance_low_nano is None else own.balance_low_nano
        return None if nano == NO_THRESHOLD else nano


SILENT: Final = Alerts(records=False)
"""No event is recorded."""
