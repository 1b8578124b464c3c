"""One account with one key at a desk: the commands of tests in a few words, carried out at once."""

from msgspec.structs import replace

from proxy.ledger.commands import (
    Adjust,
    Authorize,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Detach,
    Extend,
    Grant,
    Granted,
    Observe,
    OpenAccount,
    Recover,
    Refused,
    Reroute,
    Result,
    Settle,
    Sweep,
    Void,
)
from proxy.ledger.rows import (
    NEVER_US,
    UNLIMITED,
    Account,
    Call,
    Entry,
    Key,
    Limits,
    Lot,
    Observed,
    OnShortfall,
    Outcome,
    Receipt,
)
from proxy.ledger.spending import Bucket
from proxy.ledger.windows import DAY_US
from proxy.pricing.charge import Charge, Line
from tests.ledger.memory import MemoryStore, buckets_in

NOON_US = 20_000 * DAY_US + DAY_US // 2
"""Noon of 2024-10-04, a Friday."""
ACCOUNT = "account_1"
KEY = "key_1"


def charge_of(total_nano: int) -> Charge:
    return Charge(total_nano, (Line("requests", 1, str(total_nano), 1, total_nano),), "card@1")


def call_of(call_id: str, at_us: int, *, key_id: str = KEY, model: str = "gpt-4o") -> Call:
    return Call(call_id, ACCOUNT, key_id, "chat", model, "main", model, stream=False, started_at_us=at_us)


class Desk:
    """Gives commands to a store one at a time, at `now_us`, which only tests move."""

    def __init__(
        self, store: MemoryStore | None = None, *, credit_limit_nano: int = 0, limits: Limits = UNLIMITED
    ) -> None:
        self.store = store or MemoryStore()
        self.now_us = NOON_US
        self.calls: dict[str, Call] = {}
        self.opened_us: dict[str, int] = {}
        self.commands = 0
        self.do(OpenAccount(ACCOUNT, "An account", self.now_us, credit_limit_nano, limits))
        self.do(CreateKey(ACCOUNT, KEY, "A key", "digest", "hint", self.now_us))

    def do(self, command: Command) -> Result:
        return self.store.commit([command])[0]

    @property
    def account(self) -> Account:
        return self.store.books.accounts[ACCOUNT]

    @property
    def key(self) -> Key:
        return self.store.books.keys[KEY]

    @property
    def entries(self) -> list[Entry]:
        return self.store.books.new_entries

    @property
    def receipts(self) -> list[Receipt]:
        return self.store.books.new_receipts

    @property
    def buckets(self) -> list[Bucket]:
        return buckets_in(self.store.books)

    def lot(self, lot_id: str) -> Lot:
        return self.store.books.lots[ACCOUNT][lot_id]

    def left(self) -> dict[str, int]:
        """What remains of each lot that has something left."""
        lots = self.store.books.lots.get(ACCOUNT, {})
        return {lot.id: lot.remaining_nano for lot in lots.values() if lot.remaining_nano}

    def next_id(self, prefix: str) -> str:
        self.commands += 1
        return f"{prefix}_{self.commands}"

    def grant(
        self, amount_nano: int, *, lot_id: str | None = None, priority: int = 50, lives_us: int | None = None
    ) -> Result:
        expires_at_us = NEVER_US if lives_us is None else self.now_us + lives_us
        command_id = self.next_id("grant")
        return self.do(
            Grant(
                ACCOUNT,
                command_id,
                lot_id or f"lot_of_{command_id}",
                amount_nano,
                self.now_us,
                priority=priority,
                expires_at_us=expires_at_us,
            )
        )

    def adjust(self, amount_nano: int) -> Result:
        command_id = self.next_id("adjust")
        return self.do(
            Adjust(ACCOUNT, command_id, f"lot_of_{command_id}", amount_nano, "a reason", self.now_us)
        )

    def ask(
        self,
        ceiling_nano: int,
        *,
        floor_nano: int | None = None,
        call_id: str | None = None,
        tokens: int = 0,
        model: str = "gpt-4o",
        defaults: Limits = UNLIMITED,
    ) -> Authorize:
        """A command to authorize a new call, for `do`; without a floor it is all or nothing."""
        call = call_of(call_id or self.next_id("call"), self.now_us, model=model)
        self.calls[call.id] = call
        self.opened_us[call.id] = self.now_us
        floor_nano = ceiling_nano if floor_nano is None else floor_nano
        return Authorize(call, ceiling_nano, floor_nano, tokens, self.now_us, self.store.owner, defaults)

    def hold(self, ceiling_nano: int, call_id: str, *, tokens: int = 0) -> Granted:
        granted = self.do(self.ask(ceiling_nano, call_id=call_id, tokens=tokens))
        assert isinstance(granted, Granted), granted
        return granted

    def refuse(self, command: Command) -> Refused:
        """Do what must be refused, and see that it leaves no trace."""
        before = self.store.snapshot()
        refused = self.do(command)
        assert isinstance(refused, Refused), refused
        assert self.store.snapshot() == before
        return refused

    def extend(self, call_id: str, amount_nano: int) -> Result:
        return self.do(self.extension(call_id, amount_nano))

    def extension(self, call_id: str, amount_nano: int) -> Extend:
        return Extend(self.calls[call_id], self.opened_us[call_id], self.now_us, amount_nano)

    def observe(self, call_id: str, total_nano: int, usage: dict[str, int] | None = None) -> Result:
        return self.do(Observe(call_id, ACCOUNT, Observed(usage or {}, charge_of(total_nano))))

    def detachment(self, call_id: str, lives_us: int) -> Detach:
        deadline_us = self.now_us + lives_us
        return Detach(self.calls[call_id], self.opened_us[call_id], self.now_us, deadline_us)

    def detach(self, call_id: str, lives_us: int) -> Result:
        return self.do(self.detachment(call_id, lives_us))

    def rerouting(self, call_id: str, upstream: str) -> Reroute:
        return Reroute(replace(self.calls[call_id], upstream=upstream, upstream_model=f"{upstream}-4o"))

    def reroute(self, call_id: str, upstream: str) -> Result:
        return self.do(self.rerouting(call_id, upstream))

    def settlement(
        self,
        call_id: str,
        total_nano: int,
        usage: dict[str, int] | None = None,
        on_shortfall: OnShortfall = "forgive",
    ) -> Settle:
        outcome = Outcome("complete", 200, "reported", usage or {}, self.now_us)
        opened_us = self.opened_us[call_id]
        return Settle(
            self.calls[call_id], opened_us, self.now_us, outcome, charge_of(total_nano), on_shortfall
        )

    def owe(self, call_id: str, total_nano: int) -> Result:
        """Settle so that what no funds cover is debt."""
        return self.do(self.settlement(call_id, total_nano, on_shortfall="owe"))

    def settle(self, call_id: str, total_nano: int, usage: dict[str, int] | None = None) -> Result:
        return self.do(self.settlement(call_id, total_nano, usage))

    def voiding(self, call_id: str) -> Void:
        outcome = Outcome("unreachable", 502, "void", {}, self.now_us)
        return Void(self.calls[call_id], self.opened_us[call_id], self.now_us, outcome)

    def void(self, call_id: str) -> Result:
        return self.do(self.voiding(call_id))

    def recovery(self, call_id: str, on_shortfall: OnShortfall = "forgive") -> Recover:
        return Recover(self.calls[call_id], self.opened_us[call_id], self.now_us, on_shortfall)

    def sweep(self) -> Result:
        return self.do(Sweep(ACCOUNT, self.now_us))

    def limit_account(self, limits: Limits) -> Result:
        return self.do(ChangeAccount(ACCOUNT, self.now_us, limits=limits))

    def limit_key(self, limits: Limits) -> Result:
        return self.do(ChangeKey(ACCOUNT, KEY, self.now_us, limits=limits))
