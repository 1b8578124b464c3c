"""What the APIs read of the books: the store's named queries, made into values."""

from typing import Any, Final, Literal, TypeVar, cast

import msgspec

from proxy.api.operations import Commands
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.commands import Sweep
from proxy.ledger.rows import Account, Call, Entry, HoldState, Key, Lot, Observed, Outcome, Receipt
from proxy.ledger.spending import Bucket
from proxy.ledger.store import LedgerUnavailable, Row, Store
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.charge import Charge, Line

_Kind = TypeVar("_Kind")

UsageGroup = Literal["day", "model", "key", "account"]
_USAGE_QUERIES: Final[dict[UsageGroup, tuple[str, str, str]]] = {
    "day": ("usage_by_day", "usage_of_all_by_day", "day"),
    "model": ("usage_by_model", "usage_of_all_by_model", "model"),
    "key": ("usage_by_key", "usage_of_all_by_key", "key_id"),
    "account": ("usage_by_account", "usage_of_all_by_account", "account_id"),
}
"""What is asked about one account, what about all of them, and the column that tells the group."""


class SeenCall(msgspec.Struct, frozen=True, array_like=True):
    """What an open hold has of its call beside the ids, which are its own: a JSON array."""

    endpoint: str
    model: str
    upstream: str
    upstream_model: str
    stream: bool
    started_at_us: int


class SeenHold(msgspec.Struct, frozen=True):
    """A hold as it is kept. `call` and `observed` are there while it is open; then the receipt has them."""

    id: str
    account_id: str
    key_id: str
    amount_nano: int
    tokens: int
    state: HoldState
    created_at_us: int
    owner: str
    call: SeenCall | None = None
    observed: Observed | None = None
    deadline_us: int | None = None


class UsageSum(msgspec.Struct, frozen=True):
    """What the receipts of one group sum to; `group` is a day since 1970-01-01 UTC, a model or an id."""

    group: int | str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_nano: int


class Reader:
    """Reads values for the APIs. Lists take the last place of the page before, and how many rows at most.

    Credit whose time has come is expired before an account is shown, as it would be by its next call. Every
    method raises Refusal `ledger_unavailable` when the store cannot be used; those that look for one thing
    raise `not_found` when there is none.
    """

    def __init__(self, *, ledger: Commands, store: Store, clock: Clock) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock

    async def account(self, account_id: str) -> Account:
        """One account."""
        absent = f"There is no account {account_id}."
        return await self._swept(_account(await self._one("account_by_id", absent, account_id=account_id)))

    async def accounts(self, *, before: str | None, limit: int) -> list[Account]:
        """Accounts, newest first."""
        rows = await self._rows("accounts_page", cursor=before or "", limit=limit)
        return [await self._swept(_account(row)) for row in rows]

    async def key(self, key_id: str) -> Key:
        """One key, with an empty digest: no answer holds it."""
        return _key(await self._one("key_by_id", f"There is no key {key_id}.", key_id=key_id))

    async def keys(self, account_id: str, *, before: str | None, limit: int) -> list[Key]:
        """The keys of an account, newest first, with empty digests."""
        rows = await self._rows("keys_of_account", account_id=account_id, cursor=before or "", limit=limit)
        return [_key(row) for row in rows]

    async def spending(self, owner: Account | Key, now_us: int) -> list[Bucket]:
        """What an account or key has spent and holds, in the windows that `now_us` lies in."""
        latest, today = owner.spending, now_us // DAY_US
        if latest.day <= today:
            return latest.moved_to(today).buckets(owner.id)
        # A clock that is ahead has counted on a later day; what ended with this one is a bucket of its own.
        first_days = {window: day for window, day in starts_of_day(today) if window != "total"}
        rows = await self._rows("ended_buckets", scope_id=owner.id, **first_days)
        ended = {(row["window"], row["start_day"]): _made(row, Bucket) for row in rows}
        return [ended.get(window) or latest.bucket(owner.id, *window) for window in starts_of_day(today)]

    async def lots(self, account_id: str, *, after: str | None, limit: int) -> list[Lot]:
        """The lots of an account with something left, in the order they are drawn from."""
        rows = await self._rows("lots_page", account_id=account_id, cursor=after or "", limit=limit)
        return [_made(row, Lot) for row in rows]

    async def entries(self, account_id: str, *, before: int | None, limit: int) -> list[Entry]:
        """The entries of an account, newest first."""
        rows = await self._rows("entries_page", account_id=account_id, cursor=before or 0, limit=limit)
        return [_made(row, Entry, "draws") for row in rows]

    async def entry_of_command(self, account_id: str, command_id: str) -> Entry:
        """The entry that a grant or adjustment made."""
        absent = f"There is no entry of the command {command_id}."
        found = await self._one("entry_of_command", absent, account_id=account_id, command_id=command_id)
        return _made(found, Entry, "draws")

    async def holds(self, *, account_id: str, state: str, before: str | None, limit: int) -> list[SeenHold]:
        """Holds, newest first; of every account when `account_id` is empty, in any state when `state` is."""
        params = {"account_id": account_id, "state": state, "cursor": before or "", "limit": limit}
        rows = await self._rows("holds_page", **params)
        return [_made(row, SeenHold, "call", "observed") for row in rows]

    async def receipt(self, call_id: str) -> Receipt:
        """One receipt."""
        return _receipt(await self._one("receipt_by_id", f"There is no call {call_id}.", call_id=call_id))

    async def receipts(
        self, *, account_id: str, key_id: str, model: str, before: str | None, limit: int, down_to: str = ""
    ) -> list[Receipt]:
        """Receipts, newest first; an empty filter lets all pass.

        None of a call older than `down_to`, where they are of all accounts.
        """
        params = {"key_id": key_id, "model": model, "cursor": before or "", "limit": limit}
        if account_id:
            rows = await self._rows("receipts_page", account_id=account_id, **params)
        else:
            rows = await self._rows("receipts_of_all", down_to=down_to, **params)
        return [_receipt(row) for row in rows]

    async def receipt_place(self, before: str | None, calls: int) -> str:
        """The id of the call that so many others lie between and `before`; empty when there are fewer."""
        rows = await self._rows("receipt_place", cursor=before or "", calls=calls)
        return str(rows[0]["id"]) if rows else ""

    async def usage(
        self, group_by: UsageGroup, *, account_id: str, first_day: int, last_day: int
    ) -> list[UsageSum]:
        """Sums for each group: days in order, else dearest first. An empty `account_id` sums over all."""
        of_one, of_all, column = _USAGE_QUERIES[group_by]
        days = {"first_day": first_day, "last_day": last_day}
        if account_id:
            rows = await self._rows(of_one, account_id=account_id, **days)
        else:
            rows = await self._rows(of_all, **days)
        return [_made({**row, "group": row[column]}, UsageSum) for row in rows]

    async def _swept(self, account: Account) -> Account:
        now_us = self._clock.now_us()
        if account.next_expiry_us > now_us:
            return account
        done = await self._ledger.command(Sweep(account.id, now_us))
        return done.account or account

    async def _one(self, name: str, absent: str, **params: object) -> Row:
        rows = await self._rows(name, **params)
        if not rows:
            raise Refusal("not_found", absent)
        return rows[0]

    async def _rows(self, name: str, **params: object) -> list[Row]:
        try:
            return await self._store.query(name, params)
        except LedgerUnavailable:
            raise Refusal("ledger_unavailable", "The ledger cannot be read at the moment.") from None


def _made(row: Row, kind: type[_Kind], *json: str) -> _Kind:
    """A row as a value; the columns named in `json` are texts to be decoded, or null."""
    decoded = {name: msgspec.json.decode(text) for name in json if (text := cast("str | None", row[name]))}
    return msgspec.convert({**row, **decoded}, kind, strict=False)


def _account(row: Row) -> Account:
    return _made(row, Account, "limits", "spending")


def _key(row: Row) -> Key:
    return _made({**row, "digest": ""}, Key, "models", "limits", "spending")


def _receipt(row: Row) -> Receipt:
    lines = msgspec.json.decode(cast("str", row["lines"]), type=tuple[Line, ...])
    figures: dict[str, Any] = {name: row[name] for name in ("charged_nano", "shortfall_nano", "hold_nano")}
    return Receipt(
        call=_made(row, Call),
        outcome=_made(row, Outcome, "usage"),
        charge=Charge(cast("int", row["charge_nano"]), lines, cast("str", row["price_id"])),
        **figures,
    )


__all__ = ["Reader", "SeenHold", "UsageGroup", "UsageSum"]
