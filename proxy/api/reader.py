"""The reads of the APIs: the store's named queries, their rows as values."""

from typing import Any, Final, Literal, TypeVar, cast

import msgspec

from proxy.api.operations import Commands
from proxy.api.pieces import each
from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ledger.commands import Sweep
from proxy.ledger.end_user_rows import EndUser
from proxy.ledger.rows import (
    Account,
    Call,
    Counter,
    Draw,
    Entry,
    HoldState,
    Key,
    Lot,
    Membership,
    Observed,
    Outcome,
    Receipt,
    Voucher,
)
from proxy.ledger.spending import Bucket
from proxy.ledger.store import LedgerUnavailable, Row, Store
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.charge import Charge, Line
from proxy.pricing.tiers import Count, CounterKey, Period

SUM_BYTES: Final = 512
"""What work on a sum compares to: so many bytes of a body."""
_Kind = TypeVar("_Kind")

UsageGroup = Literal["day", "month", "model", "key", "account", "end_user", "metadata"]
_USAGE_QUERIES: Final[dict[UsageGroup, tuple[str, str, str]]] = {
    "day": ("usage_by_day", "usage_of_all_by_day", "day"),
    "model": ("usage_by_model", "usage_of_all_by_model", "model"),
    "key": ("usage_by_key", "usage_of_all_by_key", "key_id"),
    "account": ("usage_by_account", "usage_of_all_by_account", "account_id"),
}
"""The query for one account, the query for all accounts, and the column with the group."""


class SeenCall(msgspec.Struct, frozen=True, array_like=True):
    """The call of an open hold, without the ids, which are the hold's own: a JSON array."""

    endpoint: str
    model: str
    upstream: str
    upstream_model: str
    stream: bool
    started_at_us: int


class SeenHold(msgspec.Struct, frozen=True):
    """A hold as it is stored. It has `call` and `observed` while it is open; then the receipt has them."""

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


class SeenJob(msgspec.Struct, frozen=True):
    """A job as it is stored: its hold and, with `id` and `kind`, its object."""

    call_id: str
    account_id: str
    key_id: str
    amount_nano: int
    held_at_us: int
    deadline_us: int
    call: SeenCall
    observed: Observed | None = None
    id: str | None = None
    kind: str | None = None


class SeenReceipt(msgspec.Struct, frozen=True):
    """A receipt, and what its call was refunded so far."""

    receipt: Receipt
    refunded_nano: int

    @property
    def call(self) -> Call:
        """The call."""
        return self.receipt.call


class UsageSum(msgspec.Struct, frozen=True):
    """The sums of the receipts of one group: a day since 1970-01-01 UTC, a model or an id."""

    group: int | str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_nano: int


class CostSum(msgspec.Struct, frozen=True):
    """What was charged on one day since 1970-01-01 UTC; what it is not grouped by is empty."""

    day: int
    account_id: str
    key_id: str
    model: str
    charged_nano: int


class CallSum(msgspec.Struct, frozen=True):
    """What calls of one account and endpoint used in a stretch of time, by meter.

    `bucket` is the number of the stretch since 1970-01-01 UTC, `label` the end user or what a member of the
    metadata says. What it is not grouped by is empty.
    """

    bucket: int
    account_id: str
    endpoint: str
    key_id: str
    model: str
    label: str
    charged_nano: int
    requests: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    input_audio_tokens: int
    output_tokens: int
    output_audio_tokens: int
    images: int
    characters: int
    audio_seconds: int
    web_searches: int
    file_searches: int
    containers: int


class Reader:
    """Reads values for the APIs. Lists take the last place of the page before, and a bound on the rows.

    Credit that is due to expire is expired before an account is shown, as its next call would do. Methods
    raise Refusal `ledger_unavailable` if the store cannot be used; those that read one thing raise
    `not_found` if it does not exist.
    """

    def __init__(self, *, ledger: Commands, store: Store, clock: Clock) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock

    async def account(self, account_id: str) -> Account:
        """One account."""
        absent = f"There is no account {account_id}."
        return await self._swept(_account(await self._one("account_by_id", absent, account_id=account_id)))

    async def membership(self, account_id: str) -> Membership | None:
        """What an account was given by its group and has paid, None for one that has never been in any."""
        rows = await self._rows("membership_by_account", account_id=account_id)
        if not rows:
            return None
        return msgspec.convert({**rows[0], "used": msgspec.json.decode(str(rows[0]["used"]))}, Membership)

    async def accounts(self, *, before: str | None, limit: int, group: str = "") -> list[Account]:
        """Accounts, newest first, of all or of a group."""
        place = {"cursor": before or "", "limit": limit}
        if group:
            rows = await self._rows("accounts_of_group", group=group, **place)
        else:
            rows = await self._rows("accounts_page", **place)
        return [await self._swept(_account(row)) for row in rows]

    async def key(self, key_id: str) -> Key:
        """One key, with an empty digest, which no answer shows."""
        return _key(await self._one("key_by_id", f"There is no key {key_id}.", key_id=key_id))

    async def keys(self, account_id: str, *, before: str | None, limit: int) -> list[Key]:
        """The keys of an account, newest first, with empty digests."""
        rows = await self._rows("keys_of_account", account_id=account_id, cursor=before or "", limit=limit)
        return [_key(row) for row in rows]

    async def spending(self, owner: Account | Key, now_us: int) -> list[Bucket]:
        """What an account or key has spent and holds in the windows of `now_us`."""
        latest, today = owner.spending, now_us // DAY_US
        if latest.day <= today:
            return latest.moved_to(today).buckets(owner.id)
        # A process whose clock is ahead has counted on a later day, so today's windows are ended buckets.
        first_days = {window: day for window, day in starts_of_day(today) if window != "total"}
        account_id = owner.account_id if isinstance(owner, Key) else owner.id
        rows = await self._rows("ended_buckets", account_id=account_id, scope_id=owner.id, **first_days)
        ended = {(row["window"], row["start_day"]): made(row, Bucket) for row in rows}
        return [ended.get(window) or latest.bucket(owner.id, *window) for window in starts_of_day(today)]

    async def lots(self, account_id: str, *, before_us: int, after: str | None, limit: int) -> list[Lot]:
        """The lots of an account with something left that expire before a time, in draw order."""
        params = {"account_id": account_id, "expires_before_us": before_us, "cursor": after or ""}
        rows = await self._rows("lots_page", **params, limit=limit)
        return [made(row, Lot) for row in rows]

    async def has_bought(self, account_id: str) -> bool:
        """Whether anything was ever bought for an account."""
        return bool(await self._rows("purchase_of_account", account_id=account_id))

    async def counters(self, account_id: str, now_us: int) -> list[Counter]:
        """What an account has used in the windows of `now_us`, by name."""
        first_days = {window: day for window, day in starts_of_day(now_us // DAY_US) if window != "total"}
        rows = await self._rows("counters_of_account", account_id=account_id, **first_days)
        return await each(rows, lambda row: made(row, Counter, "volume"))

    async def counts(self, account_id: str) -> tuple[dict[CounterKey, Count], dict[Period, int]]:
        """The same as prices depend on it, and the first day of each window."""
        now_us = self._clock.now_us()
        rows = await self.counters(account_id, now_us)
        counts = {(row.name, row.window, row.start_day): Count(row.quantity, row.volume) for row in rows}
        return counts, dict(starts_of_day(now_us // DAY_US))

    async def end_users(
        self, account_id: str, *, end_user: str = "", after: str | None, limit: int
    ) -> list[EndUser]:
        """The end users of an account that limits count, by id. An empty `end_user` is no filter."""
        place = {"after": after or "", "limit": limit}
        rows = await self._rows("end_users_page", account_id=account_id, end_user=end_user, **place)
        return [made(row, EndUser, "limits", "sums", "levels") for row in rows]

    async def vouchers(self, *, before: str | None, limit: int) -> list[Voucher]:
        """Vouchers, newest first, with empty digests."""
        rows = await self._rows("vouchers_page", cursor=before or "", limit=limit)
        return [made({**row, "digest": ""}, Voucher) for row in rows]

    async def entries(self, account_id: str, *, before: int | None, limit: int) -> list[Entry]:
        """The entries of an account, newest first."""
        rows = await self._rows("entries_page", account_id=account_id, cursor=before or 0, limit=limit)
        return [made(row, Entry, "draws") for row in rows]

    async def holds(self, *, account_id: str, state: str, before: str | None, limit: int) -> list[SeenHold]:
        """Holds, newest first. An empty `account_id` or `state` is no filter."""
        params = {"account_id": account_id, "state": state, "cursor": before or "", "limit": limit}
        rows = await self._rows("holds_page", **params)
        return [made(row, SeenHold, "call", "observed") for row in rows]

    async def jobs(self, *, account_id: str, after: str | None, limit: int) -> list[SeenJob]:
        """Jobs that have not ended, oldest first. An empty `account_id` is no filter."""
        rows = await self._rows("running_jobs", account_id=account_id, after=after or "", limit=limit)
        return [made(row, SeenJob, "call", "observed") for row in rows]

    async def charge(self, account_id: str, call_id: str) -> tuple[int, tuple[Draw, ...]]:
        """The number of a charge's entry, and what that drew. A call that cost nothing has none."""
        absent = f"There is no charge for the call {call_id}."
        row = await self._one("charge_of_call", absent, account_id=account_id, call_id=call_id)
        return cast("int", row["seq"]), msgspec.json.decode(cast("str", row["draws"]), type=tuple[Draw, ...])

    async def receipt(self, call_id: str) -> SeenReceipt:
        """One receipt."""
        return receipt_of(await self._one("receipt_by_id", f"There is no call {call_id}.", call_id=call_id))

    async def receipts(
        self,
        *,
        account_id: str,
        key_id: str,
        model: str,
        before: str | None,
        limit: int,
        down_to: str = "",
        end_user: str = "",
    ) -> list[SeenReceipt]:
        """Receipts, newest first, of calls from `down_to` on. An empty text is no filter."""
        place = {"cursor": before or "", "limit": limit, "down_to": down_to}
        params = {"key_id": key_id, "model": model, **place}
        if account_id and end_user:
            of_user = {"account_id": account_id, "end_user": end_user}
            rows = await self._rows("receipts_of_end_user", **of_user, **params)
        elif account_id:
            rows = await self._rows("receipts_page", account_id=account_id, **params)
        else:
            rows = await self._rows("receipts_of_all", **params)
        return [receipt_of(row) for row in rows]

    async def receipt_place(self, before: str | None, calls: int) -> str:
        """The id of the receipt that is so many places after `before`; empty if there are fewer."""
        rows = await self._rows("receipt_place", cursor=before or "", calls=calls)
        return str(rows[0]["id"]) if rows else ""

    async def usage(
        self, group_by: UsageGroup, *, account_id: str, first_day: int, last_day: int
    ) -> list[UsageSum]:
        """Sums by group: days in order, others dearest first. An empty `account_id` sums over all."""
        of_one, of_all, column = _USAGE_QUERIES[group_by]
        days = {"first_day": first_day, "last_day": last_day}
        if account_id:
            rows = await self._rows(of_one, account_id=account_id, **days)
        else:
            rows = await self._rows(of_all, **days)
        return await each(rows, lambda row: made({**row, "group": row[column]}, UsageSum))

    async def costs(
        self, *, account_id: str, first_day: int, last_day: int, by_key: bool, by_model: bool, limit: int
    ) -> list[CostSum]:
        """Charges of an account by day, and by key and model where asked for, in this order.

        An empty `account_id` has those of all accounts, by account.
        """
        groups = {"by_key": int(by_key), "by_model": int(by_model)}
        days = {"first_day": first_day, "last_day": last_day}
        if account_id:
            rows = await self._rows("costs_by_day", account_id=account_id, results=limit, **days, **groups)
        else:
            rows = await self._rows("costs_of_all_by_day", results=limit, **days, **groups)
        return await each(rows, lambda row: made(row, CostSum))

    async def call_place(self, account_id: str, first_id: str, end_id: str, calls: int) -> str | None:
        """The id of the call after so many from `first_id` on; None if there are fewer before `end_id`.

        An empty `account_id` counts the calls of all.
        """
        params = {"first_id": first_id, "end_id": end_id, "calls": calls}
        if account_id:
            rows = await self._rows("call_place", account_id=account_id, **params)
        else:
            rows = await self._rows("call_place_of_all", **params)
        return str(rows[0]["id"]) if rows else None

    async def call_sums(self, account_id: str, **params: int | str) -> list[CallSum]:
        """What calls used, as the query `usage_of_calls` says. An empty `account_id` sums over all."""
        if account_id:
            rows = await self._rows("usage_of_calls", account_id=account_id, **params)
        else:
            rows = await self._rows("usage_of_all_calls", **params)
        return await each(rows, lambda row: made(row, CallSum))

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
            raise Refusal("ledger_unavailable", "The ledger cannot be read now.") from None


def made(row: Row, kind: type[_Kind], *json: str) -> _Kind:
    """A row as a value. The columns named in `json` are JSON texts or null, and are decoded."""
    decoded = {name: msgspec.json.decode(text) for name in json if (text := cast("str | None", row[name]))}
    return msgspec.convert({**row, **decoded}, kind, strict=False)


def _account(row: Row) -> Account:
    return made(row, Account, "limits", "spending", "alerts")


def _key(row: Row) -> Key:
    return made({**row, "digest": ""}, Key, "models", "limits", "spending")


def receipt_of(row: Row) -> SeenReceipt:
    """A receipt from its row."""
    lines = msgspec.json.decode(cast("str", row["lines"]), type=tuple[Line, ...])
    names = ("charged_nano", "shortfall_nano", "hold_nano", "owed_nano")
    figures: dict[str, Any] = {name: row[name] for name in names}
    receipt = Receipt(
        call=made(row, Call),
        outcome=made(row, Outcome, "usage", "attempts", "inferred"),
        charge=Charge(cast("int", row["charge_nano"]), lines, cast("str", row["price_id"])),
        **figures,
    )
    return SeenReceipt(receipt, int(cast("int", row["refunded_nano"])))


__all__ = ["Reader", "SeenHold", "SeenJob", "SeenReceipt", "UsageGroup", "UsageSum"]
