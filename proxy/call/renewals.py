"""Renewals: what is due for an account is done before its next call, which may need it."""

from collections import OrderedDict
from typing import Final, Protocol

from proxy.clock import Clock
from proxy.ids import new_id
from proxy.ledger.command import Command
from proxy.ledger.dues import Dues, Renew
from proxy.ledger.groups import Groups
from proxy.ledger.results import Done

REMEMBERED_ACCOUNTS: Final = 10_000
MOST_GROUPS: Final = 4
"""Through how many groups an account is followed that was moved meanwhile, or falls."""


class Commands(Protocol):
    """The part of the ledger that is needed here."""

    async def command(self, command: Command) -> Done:
        """Carry out a command. Raises Refusal."""
        ...


class Renewals:
    """Gives accounts what their groups give, and takes what these ask, when it is due.

    A round of one process does so for all accounts, too, which takes a while at midnight. An account is
    remembered until something is due again, and asked for again when the configuration has changed.
    """

    def __init__(self, *, ledger: Commands, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settled: OrderedDict[str, tuple[Dues, int]] = OrderedDict()

    def is_settled(self, account_id: str, dues: Dues) -> bool:
        """Whether it is known that nothing is due for an account of a group with these dues."""
        known = self._settled.get(account_id)
        return known is not None and known[0] is dues and self._clock.now_us() < known[1]

    async def group_of(self, account_id: str, group: str, groups: Groups) -> str:
        """The group that an account is in once what is due there is done. Raises Refusal."""
        dues = groups.of(group).dues
        if not dues.is_any or self.is_settled(account_id, dues):
            return group
        return await self.settle(account_id, group, groups)

    async def settle(self, account_id: str, group: str, groups: Groups) -> str:
        """Do what is due; returns the group that the account is in then. Raises Refusal."""
        for _ in range(MOST_GROUPS):
            dues, now_us = groups.of(group).dues, self._clock.now_us()
            done = await self._ledger.command(Renew(account_id, new_id("dues", now_us), group, dues, now_us))
            assert done.account is not None
            if done.account.group == group:
                self._note(account_id, dues, done.membership.due_us if done.membership else 0)
                break
            group = done.account.group
        return group

    def _note(self, account_id: str, dues: Dues, due_us: int) -> None:
        self._settled[account_id] = (dues, due_us)
        self._settled.move_to_end(account_id)
        if len(self._settled) > REMEMBERED_ACCOUNTS:
            self._settled.popitem(last=False)
