"""An auditor: works out by its own means what the ledger should show, and compares.

It keeps no rows and no sums. Credit is a list of dated pieces, promises are a list of open calls, and every
figure is summed up anew from these as an exact fraction of a dollar whenever it is asked for.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from proxy.ledger.books import Books

Dollars = Fraction


def dollars(nano: int) -> Dollars:
    return Fraction(nano, 10**9)


class Auditor:
    """One account's history as the charge table and the rules of expiry have it."""

    def __init__(self, credit_limit_nano: int = 0) -> None:
        self.credit = dollars(credit_limit_nano)
        self.debt = Dollars(0)
        self.pieces: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.limits: dict[str, Dollars] = {}

    def balance(self) -> Dollars:
        return sum((piece["left"] for piece in self.pieces), Dollars(0))

    def promised(self, calls: Iterable[dict[str, Any]] | None = None) -> Dollars:
        return sum((call["held"] for call in (self.open_calls() if calls is None else calls)), Dollars(0))

    def open_calls(self) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["open"]]

    def available(self) -> Dollars:
        return self.balance() + self.credit - self.debt - self.promised()

    def room(self, now_us: int) -> Dollars:
        """What a new call may hold: funds, and what is left of each limit in its window."""
        rooms = [self.available()]
        for name, limit in self.limits.items():
            window = name.partition("_")[2]
            mine = [call for call in self.calls if same_window(window, call["at_us"], now_us)]
            rooms.append(limit - sum((call["held"] + call["paid"] for call in mine), Dollars(0)))
        return min(rooms)

    def put_in(self, lot_id: str, nano: int, at_us: int, expires_us: float, priority: int) -> None:
        rest = dollars(nano)
        repaid = min(self.debt, rest)
        self.debt -= repaid
        piece = {"id": lot_id, "left": rest - repaid, "at": at_us, "until": expires_us, "priority": priority}
        self.pieces.append(piece)

    def expire(self, now_us: int) -> None:
        """Let go of dated pieces, but for what calls that began before the date may still come to need."""
        spoken_for = Dollars(0)
        for piece in sorted(self.pieces, key=lambda piece: (piece["until"], *order(piece))):
            if piece["until"] > now_us or not piece["left"]:
                continue
            older = self.promised(call for call in self.open_calls() if call["at_us"] < piece["until"])
            kept = sorted((Dollars(0), older - spoken_for, piece["left"]))[1]
            spoken_for += kept
            piece["left"] -= sorted((Dollars(0), self.available(), piece["left"] - kept))[1]

    def take(self, amount: Dollars, began_us: int, now_us: int) -> None:
        stale = [piece for piece in self.pieces if piece["until"] <= began_us]
        dead = sorted(
            (piece for piece in self.pieces if began_us < piece["until"] <= now_us),
            key=lambda piece: (piece["until"], *order(piece)),
        )
        alive = sorted((piece for piece in self.pieces if piece["until"] > max(began_us, now_us)), key=order)
        amount = spend(dead + alive, amount)
        lent = min(amount, max(Dollars(0), self.credit - self.debt))
        self.debt += lent
        assert spend(stale, amount - lent) == 0, "more was charged than there is"

    def begin(self, call_id: str, held_nano: int, at_us: int) -> None:
        held = dollars(held_nano)
        self.calls.append({"id": call_id, "held": held, "at_us": at_us, "open": True, "paid": Dollars(0)})

    def extend(self, call_id: str, nano: int) -> None:
        self.call(call_id)["held"] += dollars(nano)

    def end(self, call_id: str, total_nano: int, now_us: int) -> tuple[Dollars, Dollars]:
        """Close a call; returns what is paid and what falls short."""
        call = self.call(call_id)
        self.expire(now_us)
        total = dollars(total_nano)
        paid = min(total, call["held"] + self.available())
        call |= {"open": False, "held": Dollars(0), "paid": paid}
        self.take(paid, call["at_us"], now_us)
        self.expire(now_us)
        return paid, total - paid

    def call(self, call_id: str) -> dict[str, Any]:
        (call,) = (call for call in self.calls if call["id"] == call_id)
        return call

    def audit(self, books: Books, account_id: str) -> None:
        """The account, its lots, holds, buckets and entries show what this history makes them."""
        account = books.accounts[account_id]
        assert dollars(account.balance_nano) == self.balance()
        assert dollars(account.debt_nano) == self.debt
        assert dollars(account.held_nano) == self.promised()
        assert dollars(account.available_nano) == self.available() >= 0
        assert account.open_holds == len(self.open_calls())
        assert sum(key.open_holds for key in books.keys.values()) == len(self.open_calls())
        lots = books.lots.get(account_id, {})
        assert {lot.id: dollars(lot.remaining_nano) for lot in lots.values() if lot.remaining_nano} == {
            piece["id"]: piece["left"] for piece in self.pieces if piece["left"]
        }
        due = min((piece["until"] for piece in self.pieces if piece["left"]), default=None)
        assert account.next_expiry_us == (2**62 if due is None else due)
        self._audit_entries(books, account_id)
        self._audit_buckets(books)

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
        assert worth == account.balance_nano - account.debt_nano
        assert lots == {lot.id: lot.remaining_nano for lot in books.lots.get(account_id, {}).values()}
        paid = [-entry.amount_nano for entry in books.new_entries if entry.kind == "charge"]
        assert sum(paid) == sum(receipt.charged_nano for receipt in books.new_usage)

    def _audit_buckets(self, books: Books) -> None:
        """Each bucket holds and has spent what the calls that began in its window hold and have paid."""
        for bucket in books.buckets.values():
            first_us = bucket.start_day * 86_400_000_000
            calls = [
                call
                for call in self.calls
                if bucket.window == "total" or same_window(bucket.window, call["at_us"], first_us)
            ]
            assert dollars(bucket.held_nano) == self.promised(calls)
            assert dollars(bucket.spent_nano) == sum((call["paid"] for call in calls), Dollars(0))

    def audit_promises(self) -> None:
        """For every instant, the calls that began since can all be paid from what was still alive then."""
        for since in {call["at_us"] for call in self.open_calls()}:
            needed = self.promised(call for call in self.open_calls() if call["at_us"] >= since)
            alive = sum((piece["left"] for piece in self.pieces if piece["until"] > since), Dollars(0))
            assert needed <= alive + self.credit - self.debt


def order(piece: dict[str, Any]) -> tuple[Any, ...]:
    return piece["priority"], piece["until"], piece["at"], piece["id"]


def spend(pieces: list[dict[str, Any]], amount: Dollars) -> Dollars:
    """Take from the pieces in turn; returns what they could not give."""
    for piece in pieces:
        part = min(piece["left"], amount)
        piece["left"] -= part
        amount -= part
    return amount


def same_window(window: str, one_us: int, other_us: int) -> bool:
    one, other = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) for us in (one_us, other_us))
    forms = {"day": "%Y-%m-%d", "week": "%G-%V", "month": "%Y-%m", "total": ""}
    return one.strftime(forms[window]) == other.strftime(forms[window])
