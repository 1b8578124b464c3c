"""The books: the rows that a batch of commands works on, and what it changes in them."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.ledger.alerts import SILENT, Alerts
from proxy.ledger.events import EVENT_TYPES, Delivery, DeliveryKey, Event, event_id
from proxy.ledger.invoices import Invoice
from proxy.ledger.needs import CommandKey, CounterRowKey, EntryKey, Needs, RowKey
from proxy.ledger.rows import (
    Account,
    Claim,
    Counter,
    Entry,
    Hold,
    Key,
    Lot,
    Membership,
    Object,
    Receipt,
    Throttle,
    ThrottleKind,
    Voucher,
)
from proxy.ledger.spending import NOTHING_SPENT, Bucket, Spending
from proxy.ledger.top_up_rows import AutoTopUp, TopUp, TopUpReference
from proxy.ledger.windows import DAY_US, Window, starts_of_day

BucketKey = tuple[str, Window, int]
ThrottleKey = tuple[str, ThrottleKind]
_encode: Final = msgspec.json.Encoder().encode


class CommandRecord(msgspec.Struct, frozen=True):
    """A command that was carried out under its caller's id: its digest, and the number of its entry."""

    account_id: str
    command_id: str
    digest: str
    at_us: int
    seq: int


class Books:
    """Rows by id as loaded, which the rules replace. `put_*` also remembers that a row changed.

    A store fills the dictionaries, runs the rules, adds up what moved, deletes the rows of `gone_objects` and
    writes those that the `changed_*` members name. A row that the store has not found is absent; a new one is
    put. `buckets` are of windows that have ended, `entries` those of `commands` and of charges that are
    refunded, `refunds` what calls were refunded so far. `alerts` tell which events are put.
    """

    def __init__(self) -> None:
        self.alerts: Alerts = SILENT
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.holds: dict[str, Hold] = {}
        self.buckets: dict[BucketKey, Bucket] = {}
        self.throttles: dict[ThrottleKey, Throttle] = {}
        self.lots: dict[str, dict[str, Lot]] = {}
        self.commands: dict[CommandKey, CommandRecord] = {}
        self.entries: dict[EntryKey, Entry] = {}
        self.objects: dict[RowKey, Object] = {}
        self.refunds: dict[RowKey, int] = {}
        self.vouchers: dict[str, Voucher] = {}
        self.claims: dict[RowKey, Claim] = {}
        self.memberships: dict[str, Membership] = {}
        self.counters: dict[CounterRowKey, Counter] = {}
        self.top_ups: dict[RowKey, TopUp] = {}
        self.references: dict[tuple[str, str], TopUpReference] = {}
        self.auto_top_ups: dict[str, AutoTopUp] = {}
        self.invoices: dict[RowKey, Invoice] = {}
        self.changed_accounts: set[str] = set()
        self.changed_keys: set[str] = set()
        self.changed_holds: set[str] = set()
        self.changed_buckets: set[BucketKey] = set()
        self.changed_throttles: set[ThrottleKey] = set()
        self.changed_lots: set[tuple[str, str]] = set()
        self.changed_objects: set[RowKey] = set()
        self.gone_objects: set[RowKey] = set()
        self.changed_vouchers: set[str] = set()
        self.changed_memberships: set[str] = set()
        self.changed_counters: set[CounterRowKey] = set()
        self.new_claims: list[Claim] = []
        self.changed_top_ups: set[RowKey] = set()
        self.new_references: list[TopUpReference] = []
        self.changed_auto_top_ups: set[str] = set()
        self.new_invoices: list[Invoice] = []
        self.new_commands: list[CommandRecord] = []
        self.new_entries: list[Entry] = []
        self.new_receipts: list[Receipt] = []
        self.events: dict[RowKey, Event] = {}
        self.deliveries: dict[DeliveryKey, Delivery] = {}
        self.new_events: dict[RowKey, Event] = {}
        self.routed_events: set[RowKey] = set()
        self.changed_deliveries: set[DeliveryKey] = set()
        self.gone_events: set[RowKey] = set()
        self._place = 0
        # A batch moves the same few windows many times, so that moves are summed by day and scope first.
        self._moves: dict[int, dict[str, tuple[int, int]]] = {}

    def put_account(self, account: Account) -> None:
        """Replace or add an account."""
        self.accounts[account.id] = account
        self.changed_accounts.add(account.id)

    def put_key(self, key: Key) -> None:
        """Replace or add a key."""
        self.keys[key.id] = key
        self.changed_keys.add(key.id)

    def put_hold(self, hold: Hold) -> None:
        """Replace or add a hold."""
        self.holds[hold.id] = hold
        self.changed_holds.add(hold.id)

    def put_lot(self, lot: Lot) -> None:
        """Replace or add a lot."""
        assert 0 <= lot.remaining_nano <= lot.amount_nano, lot
        account_id = lot.account_id
        if account_id not in self.lots:
            self.lots[account_id] = {}
        self.lots[account_id][lot.id] = lot
        self.changed_lots.add((account_id, lot.id))

    def put_object(self, row: Object) -> None:
        """Replace or add an object. One that was deleted in the batch is deleted before it is added anew."""
        self.objects[row.account_id, row.id] = row
        self.changed_objects.add((row.account_id, row.id))

    def drop_object(self, row: Object) -> None:
        """Delete an object that is there."""
        del self.objects[row.account_id, row.id]
        self.changed_objects.discard((row.account_id, row.id))
        self.gone_objects.add((row.account_id, row.id))

    def put_voucher(self, voucher: Voucher) -> None:
        """Replace or add a voucher."""
        self.vouchers[voucher.digest] = voucher
        self.changed_vouchers.add(voucher.digest)

    def put_membership(self, membership: Membership) -> None:
        """Replace or add a membership."""
        self.memberships[membership.account_id] = membership
        self.changed_memberships.add(membership.account_id)

    def put_counter(self, counter: Counter) -> None:
        """Replace or add a counter."""
        key = (counter.account_id, counter.name, counter.window, counter.start_day)
        self.counters[key] = counter
        self.changed_counters.add(key)

    def put_claim(self, claim: Claim) -> None:
        """Add a claim."""
        self.claims[claim.digest, claim.account_id] = claim
        self.new_claims.append(claim)

    def begin(self) -> None:
        """Begin with another command."""
        self._place = 0

    def put_event(self, account_id: str, type_: str, cause: str, at_us: int, **data: object) -> None:
        """Add an event, unless there was one of this type and cause before, or none are recorded.

        `data` has the members of the type, see `EVENT_TYPES`, but for the account's id. `cause` is the
        same whenever the event would be the same, and no other event of the account and type has it.
        """
        if not self.alerts.records:
            return
        assert data.keys() == EVENT_TYPES[type_].members.keys(), (type_, data)
        id_ = event_id(account_id, type_, cause)
        text = _encode({"account_id": account_id, **data}).decode()
        self._place += 1
        event = Event(account_id, id_, type_, at_us, self._place, text)
        self.new_events.setdefault((account_id, id_), event)
        self.events.setdefault((account_id, id_), event)

    def put_routed(self, event: Event) -> None:
        """Replace an event by one whose state has changed."""
        self.events[event.account_id, event.id] = event
        self.routed_events.add((event.account_id, event.id))

    def put_delivery(self, delivery: Delivery) -> None:
        """Replace or add a delivery."""
        key = (delivery.account_id, delivery.event_id, delivery.endpoint)
        self.deliveries[key] = delivery
        self.changed_deliveries.add(key)

    def drop_event(self, event: Event) -> None:
        """Delete an event that is there, with its deliveries. A batch deletes before it adds."""
        key = (event.account_id, event.id)
        del self.events[key]
        self.new_events.pop(key, None)
        self.routed_events.discard(key)
        for each in [each for each in self.deliveries if each[:2] == key]:
            del self.deliveries[each]
            self.changed_deliveries.discard(each)
        self.gone_events.add(key)

    def put_top_up(self, top_up: TopUp) -> None:
        """Replace or add a top-up."""
        self.top_ups[top_up.account_id, top_up.id] = top_up
        self.changed_top_ups.add((top_up.account_id, top_up.id))

    def put_reference(self, reference: TopUpReference) -> None:
        """Add a provider's name for a top-up."""
        self.references[reference.provider, reference.reference] = reference
        self.new_references.append(reference)

    def put_auto_top_up(self, auto: AutoTopUp) -> None:
        """Replace or add how an account is topped up by itself."""
        self.auto_top_ups[auto.account_id] = auto
        self.changed_auto_top_ups.add(auto.account_id)

    def pending(self, account_id: str) -> list[TopUp]:
        """The pending top-ups of an account among the rows loaded."""
        return [
            each
            for each in self.top_ups.values()
            if each.account_id == account_id and each.state == "pending"
        ]

    def put_invoice(self, invoice: Invoice) -> None:
        """Add an invoice."""
        self.invoices[invoice.account_id, invoice.period] = invoice
        self.new_invoices.append(invoice)

    def ended(self, needs: Needs) -> list[BucketKey]:
        """The buckets that a batch needs: of windows before those that its accounts and keys have loaded."""
        keys: list[BucketKey] = []
        for _, scope_id, day in needs.days:
            spending = self._spending(scope_id)
            if day < spending.day:
                keys += ((scope_id, *window) for window in spending.others_of(day))
        return keys

    def bucket(self, scope_id: str, window: Window, start_day: int) -> Bucket:
        """What an account or key has spent and holds in a window, with what the batch has moved."""
        sums = self._spending(scope_id).sums_of(window, start_day)
        if sums is None:
            ended = self.buckets.get((scope_id, window, start_day))
            sums = (ended.spent_nano, ended.held_nano) if ended else (0, 0)
        spent_nano, held_nano = sums
        for day, moves in self._moves.items():
            if scope_id in moves and (window, start_day) in starts_of_day(day):
                spent, held = moves[scope_id]
                spent_nano, held_nano = spent_nano + spent, held_nano + held
        return Bucket(scope_id, window, start_day, spent_nano, held_nano)

    def move(self, scope_ids: Iterable[str], at_us: int, *, spent_nano: int = 0, held_nano: int = 0) -> None:
        """Add to what each of the accounts and keys has spent and holds in the windows of `at_us`."""
        if not spent_nano and not held_nano:
            return
        day = at_us // DAY_US
        if day not in self._moves:
            self._moves[day] = {}
        moves = self._moves[day]
        for scope_id in scope_ids:
            spent, held = moves.get(scope_id, (0, 0))
            moves[scope_id] = (spent + spent_nano, held + held_nano)

    def add_up(self) -> None:
        """Add what moved to its account or key, or to buckets that have ended.

        Commands leave the same rows in one batch as in several: a window in which anything moved stays, also
        with nothing left in it.
        """
        for day, moves in sorted(self._moves.items()):
            for scope_id, (spent_nano, held_nano) in moves.items():
                self._add(scope_id, day, spent_nano, held_nano)
        self._moves.clear()

    def throttle(self, scope_id: str, kind: ThrottleKind, at_us: int) -> Throttle:
        """A throttle, empty when there is none yet."""
        return self.throttles.get((scope_id, kind)) or Throttle(scope_id, kind, 0, at_us)

    def put_throttle(self, throttle: Throttle) -> None:
        """Replace or add a throttle."""
        key = (throttle.scope_id, throttle.kind)
        self.throttles[key] = throttle
        self.changed_throttles.add(key)

    def put_command(self, record: CommandRecord, entry: Entry) -> None:
        """Add a command that was carried out, and its entry."""
        self.commands[record.account_id, record.command_id] = record
        self.entries[entry.account_id, entry.seq] = entry
        self.new_commands.append(record)

    def open_holds(self, account_id: str) -> list[Hold]:
        """The open holds of an account among the rows loaded."""
        return [
            hold for hold in self.holds.values() if hold.account_id == account_id and hold.state == "open"
        ]

    def _spending(self, scope_id: str) -> Spending:
        owner = self.accounts.get(scope_id) or self.keys.get(scope_id)
        return owner.spending if owner else NOTHING_SPENT

    def _add(self, scope_id: str, day: int, spent_nano: int, held_nano: int) -> None:
        spending = self._spending(scope_id)
        if day > spending.day:
            for bucket in spending.ended_by(scope_id, day):
                self._put_bucket(bucket)
            spending = spending.moved_to(day)
        elif day < spending.day:
            for window in spending.others_of(day):
                old = self.buckets.get((scope_id, *window)) or Bucket(scope_id, *window)
                spent, held = old.spent_nano + spent_nano, old.held_nano + held_nano
                self._put_bucket(Bucket(scope_id, *window, spent, held))
        spending = spending.plus(day, spent_nano, held_nano)
        if account := self.accounts.get(scope_id):
            self.put_account(replace(account, spending=spending))
        else:
            self.put_key(replace(self.keys[scope_id], spending=spending))

    def _put_bucket(self, bucket: Bucket) -> None:
        key = (bucket.scope_id, bucket.window, bucket.start_day)
        self.buckets[key] = bucket
        self.changed_buckets.add(key)
