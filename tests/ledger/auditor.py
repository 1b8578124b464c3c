"""An auditor: works out by its own means what the ledger should show, and compares.

It keeps no rows. Credit is a list of dated pieces, promises are the calls in flight, and every figure is
summed up anew from these as an exact fraction of a dollar whenever it is asked for; only what calls that have
ended paid in each window is added up as they end.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from proxy.ledger.books import Books
from tests.ledger.memory import buckets_in

Dollars = Fraction
Label = tuple[str, str, str]
"""Whose spending, the kind of window, and the name of the window."""

ZERO = Dollars(0)
ACCOUNT = "account"
ONLY_KEY = "key"
"""The scope of an account's calls when nobody asks which key made them."""
WINDOW_FORMS = {"day": "%Y-%m-%d", "week": "%G-%V", "month": "%Y-%m", "total": ""}


class Line(NamedTuple):
    """What an entry should say, in dollars; `draws` are by lot."""

    kind: str
    amount: Dollars
    balance: Dollars
    debt: Dollars
    ref: str
    at_us: int
    draws: tuple[tuple[str, Dollars], ...]


class Bound(NamedTuple):
    """One thing that bounds what a call may hold; `limit` and `spent` are None for the balance."""

    source: str
    room: Dollars
    held: Dollars
    limit: Dollars | None = None
    spent: Dollars | None = None


@lru_cache(maxsize=65536)
def dollars(nano: int) -> Dollars:
    return Fraction(nano, 10**9)


def nano(amount: Dollars) -> int:
    """Whole nano-dollars; the auditor never has any other."""
    # A product of fractions would take ten times as long, and this is asked for more often than anything.
    exact, rest = divmod(amount.numerator * 10**9, amount.denominator)
    assert rest == 0, f"{amount} is no whole number of nano-dollars"
    return exact


class Auditor:
    """One account's history as the charge table and the rules of expiry have it.

    `limits` are the spending limits in force by `<scope>_<window>`, where the scope is `account` or a key.
    """

    def __init__(self, credit_limit_nano: int = 0) -> None:
        self.credit = dollars(credit_limit_nano)
        self.debt = ZERO
        self.owed = ZERO
        self.pieces: list[dict[str, Any]] = []
        self.flight: dict[str, dict[str, Any]] = {}
        self.paid: dict[Label, Dollars] = {}
        self.limits: dict[str, Dollars] = {}
        self.lines: list[Line] = []

    def balance(self) -> Dollars:
        return sum((piece["left"] for piece in self.pieces), ZERO)

    def promised(self, calls: Iterable[dict[str, Any]] | None = None) -> Dollars:
        return sum((call["held"] for call in (self.open_calls() if calls is None else calls)), ZERO)

    def open_calls(self) -> list[dict[str, Any]]:
        return list(self.flight.values())

    def uncommitted(self) -> Dollars:
        return self.balance() + self.credit - self.debt - self.promised()

    def available(self) -> Dollars:
        return self.uncommitted() - self.owed

    def next_expiry_us(self) -> int:
        return min((piece["until"] for piece in self.pieces if piece["left"]), default=2**62)

    def room(self, now_us: int, key: str = ONLY_KEY) -> Dollars:
        """What a new call may hold: funds, and what is left of each limit in its window."""
        return min(bound.room for bound in self.bounds(now_us, key))

    def bounds(self, now_us: int, key: str = ONLY_KEY) -> Iterator[Bound]:
        """Everything that bounds a call: the balance, then the account's limits, then the key's."""
        yield Bound("balance", self.available(), self.promised())
        for scope in (ACCOUNT, key) if self.limits else ():
            for window in WINDOW_FORMS:
                limit = self.limits.get(f"{scope}_{window}")
                if limit is not None:
                    name = ACCOUNT if scope == ACCOUNT else "key"
                    spent, held = self.spending((scope, window, window_name(window, now_us)))
                    yield Bound(f"{name}_{window}", limit - spent - held, held, limit, spent)

    def spending(self, label: Label) -> tuple[Dollars, Dollars]:
        """What calls that began in a window have paid, and what those of them in flight hold."""
        scope, window, name = label
        held = self.promised(
            call
            for call in self.flight.values()
            if scope in (ACCOUNT, call["key"]) and window_name(window, call["at_us"]) == name
        )
        return self.paid.get(label, ZERO), held

    def windows(self) -> list[Label]:
        """Every window in which something has been paid or is held."""
        held = (label for call in self.flight.values() for label in labels_of(call))
        return list(dict.fromkeys([*self.paid, *held]))

    def put_in(
        self, lot_id: str, nano: int, at_us: int, expires_us: int, priority: int
    ) -> list[tuple[str, Dollars]]:
        """Repay what is owed, then debt, and keep the rest as a piece; returns what went to the piece."""
        rest = dollars(nano)
        rest -= self.repay(rest)
        if not rest:
            return []
        self.pieces.append(
            {"id": lot_id, "left": rest, "at": at_us, "until": expires_us, "priority": priority}
        )
        return [(lot_id, rest)]

    def repay(self, amount: Dollars) -> Dollars:
        """Repay what is owed, then debt, with an amount; returns how much of it that took."""
        paid_back = min(self.owed, amount)
        repaid = min(self.debt, amount - paid_back)
        self.owed -= paid_back
        self.debt -= repaid
        return paid_back + repaid

    def spare(self, lot_id: str, now_us: int) -> Dollars:
        """What would be left of a piece if every call in flight took all that it was promised."""
        due = [piece for piece in self.pieces if piece["until"] <= now_us]
        due.sort(key=lambda piece: (piece["until"], *order(piece)))
        alive = sorted((piece for piece in self.pieces if piece["until"] > now_us), key=order)
        copies = [dict(piece) for piece in due + alive]
        spend(copies, min(self.promised(), self.balance()), [])
        left: Dollars = next(piece["left"] for piece in copies if piece["id"] == lot_id)
        return min(left, max(ZERO, self.uncommitted()))

    def reduce(self, lot_id: str, amount: Dollars) -> None:
        """Take from one piece."""
        (piece,) = (piece for piece in self.pieces if piece["id"] == lot_id)
        piece["left"] -= amount
        self.pieces = [piece for piece in self.pieces if piece["left"]]

    def return_to(self, lot_id: str, amount: Dollars, at_us: int, expires_us: int, priority: int) -> None:
        """Give to a piece, which may have been used up."""
        self.pieces = [piece for piece in self.pieces if piece["left"]]
        there = [piece for piece in self.pieces if piece["id"] == lot_id]
        if there:
            there[0]["left"] += amount
        else:
            self.pieces.append(
                {"id": lot_id, "left": amount, "at": at_us, "until": expires_us, "priority": priority}
            )

    def expire(self, now_us: int) -> None:
        """Let go of dated pieces, but for what calls that began before the date may still come to need."""
        spoken_for = ZERO
        due = [piece for piece in self.pieces if piece["until"] <= now_us]
        for piece in sorted(due, key=lambda piece: (piece["until"], *order(piece))):
            older = self.promised(call for call in self.open_calls() if call["at_us"] < piece["until"])
            kept = sorted((ZERO, older - spoken_for, piece["left"]))[1]
            spoken_for += kept
            gone = sorted((ZERO, self.uncommitted(), piece["left"] - kept))[1]
            if gone:
                piece["left"] -= gone
                self.post("expire", -gone, piece["id"], now_us, [(piece["id"], -gone)])
        if due:
            self.pieces = [piece for piece in self.pieces if piece["left"]]

    def take(self, amount: Dollars, began_us: int, now_us: int) -> list[tuple[str, Dollars]]:
        """Spend pieces, then credit, on what began at `began_us`; returns what each piece gave, negative."""
        stale = sorted(
            (piece for piece in self.pieces if piece["until"] <= began_us),
            key=lambda piece: (
                (0, piece["until"], *order(piece)) if piece["until"] <= now_us else (1, *order(piece))
            ),
        )
        dead = sorted(
            (piece for piece in self.pieces if began_us < piece["until"] <= now_us),
            key=lambda piece: (piece["until"], *order(piece)),
        )
        alive = sorted((piece for piece in self.pieces if piece["until"] > max(began_us, now_us)), key=order)
        draws: list[tuple[str, Dollars]] = []
        amount = spend(dead + alive, amount, draws)
        lent = min(amount, max(ZERO, self.credit - self.debt))
        self.debt += lent
        assert spend(stale, amount - lent, draws) == 0, "more was charged than there is"
        self.pieces = [piece for piece in self.pieces if piece["left"]]
        return draws

    def begin(self, call_id: str, held_nano: int, at_us: int, key: str = ONLY_KEY) -> None:
        self.flight[call_id] = {"id": call_id, "held": dollars(held_nano), "at_us": at_us, "key": key}

    def extend(self, call_id: str, nano: int) -> None:
        self.flight[call_id]["held"] += dollars(nano)

    def end(
        self, call_id: str, total_nano: int, now_us: int, *, owes: bool = False
    ) -> tuple[Dollars, Dollars, Dollars]:
        """Close a call; returns what it costs, what falls short of that, and what of the cost is owed."""
        call = self.flight[call_id]
        self.expire(now_us)
        total = dollars(total_nano)
        paid = min(total, call["held"] + self.uncommitted())
        owed = total - paid if owes else ZERO
        cost = paid + owed
        del self.flight[call_id]
        if cost:
            for label in labels_of(call):
                self.paid[label] = self.paid.get(label, ZERO) + cost
            draws = self.take(paid, call["at_us"], now_us) if paid else []
            self.owed += owed
            self.post("charge", -cost, call_id, now_us, draws)
        self.expire(now_us)
        return cost, total - cost, owed

    def record(
        self, ref: str, total_nano: int, used_us: int, now_us: int, scopes: Iterable[str], *, owes: bool
    ) -> tuple[Dollars, Dollars, Dollars]:
        """Charge what nothing was promised for, from what is left now; returns what `end` does."""
        self.expire(now_us)
        total = dollars(total_nano)
        paid = min(total, self.uncommitted())
        owed = total - paid if owes else ZERO
        cost = paid + owed
        if cost:
            for scope in scopes:
                for window in WINDOW_FORMS:
                    label = (scope, window, window_name(window, used_us))
                    self.paid[label] = self.paid.get(label, ZERO) + cost
            draws = self.take(paid, now_us, now_us) if paid else []
            self.owed += owed
            self.post("charge", -cost, ref, now_us, draws)
        self.expire(now_us)
        return cost, total - cost, owed

    def post(
        self, kind: str, amount: Dollars, ref: str, at_us: int, draws: Iterable[tuple[str, Dollars]]
    ) -> None:
        """Note the entry that should be there for a change that has been made."""
        debt = self.debt + self.owed
        self.lines.append(Line(kind, amount, self.balance(), debt, ref, at_us, tuple(draws)))

    def audit(self, books: Books, account_id: str) -> None:
        """The account, its lots, holds, buckets and entries show what this history makes them."""
        account = books.accounts[account_id]
        assert dollars(account.balance_nano) == self.balance()
        assert dollars(account.debt_nano) == self.debt
        assert dollars(account.held_nano) == self.promised()
        assert dollars(account.uncommitted_nano) == self.uncommitted() >= 0
        assert dollars(account.available_nano) == self.available()
        assert account.open_holds == len(self.open_calls())
        assert sum(key.open_holds for key in books.keys.values()) == len(self.open_calls())
        lots = books.lots.get(account_id, {})
        assert {lot.id: dollars(lot.remaining_nano) for lot in lots.values() if lot.remaining_nano} == {
            piece["id"]: piece["left"] for piece in self.pieces if piece["left"]
        }
        assert account.next_expiry_us == self.next_expiry_us()
        self._audit_entries(books, account_id)
        self._audit_buckets(books, account_id)

    def _audit_entries(self, books: Books, account_id: str) -> None:
        """Entries are a chain without a gap, and explain the balance, the debt and every lot."""
        account = books.accounts[account_id]
        worth, lots = 0, dict.fromkeys(books.lots.get(account_id, {}), 0)
        for number, entry in enumerate(books.new_entries, 1):
            worth += entry.amount_nano
            assert (entry.seq, entry.balance_after_nano - entry.debt_after_nano) == (number, worth)
            assert entry.amount_nano != 0
            for draw in entry.draws:
                lots[draw.lot_id] += draw.amount_nano
        assert account.entries == len(books.new_entries)
        assert worth == account.balance_nano - account.whole_debt_nano
        assert lots == {lot.id: lot.remaining_nano for lot in books.lots.get(account_id, {}).values()}
        paid = [-entry.amount_nano for entry in books.new_entries if entry.kind == "charge"]
        assert sum(paid) == sum(receipt.charged_nano for receipt in books.new_receipts)

    def _audit_buckets(self, books: Books, account_id: str) -> None:
        """Each bucket holds and has spent what the calls that began in its window hold and have paid."""
        for bucket in buckets_in(books):
            scope = ACCOUNT if bucket.scope_id == account_id else ONLY_KEY
            name = window_name(bucket.window, bucket.start_day * 86_400_000_000)
            spent, held = self.spending((scope, bucket.window, name))
            assert (dollars(bucket.spent_nano), dollars(bucket.held_nano)) == (spent, held)

    def audit_promises(self) -> None:
        """For every instant, the calls that began since can all be paid from what was still alive then."""
        for since in {call["at_us"] for call in self.open_calls()}:
            needed = self.promised(call for call in self.open_calls() if call["at_us"] >= since)
            alive = sum((piece["left"] for piece in self.pieces if piece["until"] > since), ZERO)
            assert needed <= alive + self.credit - self.debt


def order(piece: dict[str, Any]) -> tuple[Any, ...]:
    return piece["priority"], piece["until"], piece["at"], piece["id"]


def spend(pieces: list[dict[str, Any]], amount: Dollars, draws: list[tuple[str, Dollars]]) -> Dollars:
    """Take from the pieces in turn, noting each draw; returns what they could not give."""
    for piece in pieces:
        part = min(piece["left"], amount)
        if part:
            piece["left"] -= part
            amount -= part
            draws.append((piece["id"], -part))
    return amount


def labels_of(call: dict[str, Any]) -> list[Label]:
    """The windows a call's spending lands in: those of when it began, for the account and for the key."""
    return [
        (scope, window, window_name(window, call["at_us"]))
        for scope in (ACCOUNT, call["key"])
        for window in WINDOW_FORMS
    ]


def window_name(window: str, at_us: int) -> str:
    """The window an instant lies in, by a name that only the instants of that window share."""
    return _name_of_day(window, at_us // 86_400_000_000)


def window_end_us(window: str, at_us: int) -> int | None:
    """The first midnight on which a window is another one; None when there never is another."""
    if not WINDOW_FORMS[window]:
        return None
    day = at_us // 86_400_000_000
    name = _name_of_day(window, day)
    while _name_of_day(window, day) == name:
        day += 1
    return day * 86_400_000_000


@lru_cache(maxsize=16384)
def _name_of_day(window: str, day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime(WINDOW_FORMS[window])
