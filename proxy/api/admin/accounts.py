"""The admin API's accounts."""

import asyncio
from typing import Final

from aiohttp import web
from msgspec import UNSET

from proxy.api.admin.bodies import (
    AccountChange,
    GroupName,
    NewAccount,
    alerts_change,
    amount_nano,
    given,
    known_group,
    limits_change,
    limits_over,
)
from proxy.api.operations import ADMIN, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.views.accounts import AccountView, account_view
from proxy.call.renewals import Renewals
from proxy.clock import Clock
from proxy.ids import new_id
from proxy.ledger.commands import ChangeAccount, OpenAccount
from proxy.ledger.rows import NO_RULES, UNLIMITED, Account


class AccountsQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of accounts."""

    group: GroupName | None = None


CREATE_ACCOUNT: Final = Operation(
    id="create_account",
    method="POST",
    path=f"{ADMIN}/accounts",
    summary="Open an account. It has no money until a grant, and no key.",
    audience="admin",
    reply=AccountView,
    query=Nothing,
    body=NewAccount,
    status=201,
)
LIST_ACCOUNTS: Final = Operation(
    id="list_accounts",
    method="GET",
    path=f"{ADMIN}/accounts",
    summary="List the accounts, the newest first, of all or of one group.",
    audience="admin",
    reply=Page[AccountView],
    query=AccountsQuery,
    body=Nothing,
)
SHOW_ACCOUNT: Final = Operation(
    id="show_account",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}",
    summary="Show one account, with what is spent of its limits.",
    audience="admin",
    reply=AccountView,
    query=Nothing,
    body=Nothing,
)
CHANGE_ACCOUNT: Final = Operation(
    id="change_account",
    method="PATCH",
    path=f"{ADMIN}/accounts/{{account_id}}",
    summary="Change an account's name, status, group, credit limit, limits or alerts.",
    audience="admin",
    reply=AccountView,
    query=Nothing,
    body=AccountChange,
)
OPERATIONS: Final = (
    CREATE_ACCOUNT,
    LIST_ACCOUNTS,
    SHOW_ACCOUNT,
    CHANGE_ACCOUNT,
)


class Accounts:
    """Opens, shows and changes accounts.

    Limits that a change does not name stay as they were, so a change is made of the account as it was just
    read. `_changing` lets one change at a time do so in this process: two could undo each other.
    """

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._changing = asyncio.Lock()
        self._renewals = Renewals(ledger=ledger, clock=clock)

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(CREATE_ACCOUNT, self.create_account),
            bind(LIST_ACCOUNTS, self.list_accounts),
            bind(SHOW_ACCOUNT, self.show_account),
            bind(CHANGE_ACCOUNT, self.change_account),
        ]

    async def create_account(self, incoming: Incoming[None, Nothing, NewAccount]) -> AccountView:
        """Open an account under a new id."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        account_id = new_id("acct", now_us)
        await self._ledger.command(
            OpenAccount(
                account_id,
                body.name,
                now_us,
                credit_limit_nano=amount_nano("credit_limit", body.credit_limit, unit),
                limits=limits_over(UNLIMITED, body.limits, unit, body.end_users),
                group=known_group(body.group, incoming.settings.groups),
                alerts=alerts_change(NO_RULES, body.alerts, unit) or NO_RULES,
            )
        )
        await self._settle(account_id, body.group, incoming.settings)
        return await self._account(account_id, incoming.settings)

    async def list_accounts(self, incoming: Incoming[None, AccountsQuery, Nothing]) -> Page[AccountView]:
        """A page of accounts, each with its spending."""
        query, settings, now_us = incoming.query, incoming.settings, self._clock.now_us()
        before, group = place_of(query, str), query.group or ""
        rows = await self._reader.accounts(before=before, limit=query.limit + 1, group=group)
        buckets = {row.id: await self._reader.spending(row, now_us) for row in rows}

        def view(row: Account) -> AccountView:
            return account_view(row, settings.groups, buckets[row.id], settings.unit)

        return page_of(rows, query.limit, view, lambda row: row.id)

    async def show_account(self, incoming: Incoming[None, Nothing, Nothing]) -> AccountView:
        """One account. Raises Refusal `not_found`."""
        return await self._account(incoming.path["account_id"], incoming.settings)

    async def change_account(self, incoming: Incoming[None, Nothing, AccountChange]) -> AccountView:
        """Change an account. Raises Refusal `not_found`, `conflict` for a credit limit below what is owed."""
        body, unit = incoming.body, incoming.settings.unit
        async with self._changing:
            account = await self._reader.account(incoming.path["account_id"])
            credit_limit = body.credit_limit
            group = None if body.group is UNSET else known_group(body.group, incoming.settings.groups)
            if group not in (None, account.group):
                # What is due in the present group comes first: nobody leaves a month behind that is over.
                await self._settle(account.id, account.group, incoming.settings)
            await self._ledger.command(
                ChangeAccount(
                    account.id,
                    self._clock.now_us(),
                    name=given(body.name),
                    status=given(body.status),
                    credit_limit_nano=None
                    if credit_limit is UNSET
                    else amount_nano("credit_limit", credit_limit, unit),
                    limits=limits_change(account.limits, body.limits, unit, body.end_users),
                    group=group,
                    alerts=alerts_change(account.alerts, body.alerts, unit),
                )
            )
        await self._settle(account.id, given(body.group), incoming.settings)
        return await self._account(account.id, incoming.settings)

    async def _settle(self, account_id: str, group: str | None, settings: ApiSettings) -> None:
        """Do what is due for an account that is put in a group, or in another one."""
        if group is not None and settings.groups.has_dues:
            await self._renewals.settle(account_id, group, settings.groups)

    async def _account(self, account_id: str, settings: ApiSettings) -> AccountView:
        account = await self._reader.account(account_id)
        buckets = await self._reader.spending(account, self._clock.now_us())
        return account_view(account, settings.groups, buckets, settings.unit)
