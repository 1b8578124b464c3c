"""Made-up history of a ledger: a thousand accounts, ninety days of calls, and rows that an audit agrees with.

One account makes a tenth of all calls, with every model; each key of the others uses a few. The busy
account's first calls are made with a key and a model that never occur again: whoever asks for these has to
find a few rows among all the others.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from proxy.ids import new_id
from proxy.ledger.commands import Grant
from proxy.ledger.rows import NEVER_US, Draw, Limits, Lot
from proxy.ledger.rules.once import command_digest
from proxy.ledger.seals import seal_of
from proxy.ledger.spending import NOTHING_SPENT, Bucket, Spending
from proxy.ledger.windows import DAY_US
from proxy.money import NANO_PER_USD, parse_amount
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import NO_CHARGE, Charge, price
from proxy.pricing.rates import Rate
from proxy.storage.columns import text
from proxy.storage.database import Chunk
from proxy.storage.tables import HOLDS

ACCOUNTS: Final = 1_000
KEYS_OF_ACCOUNT: Final = 3
DAYS: Final = 90
BUSY_SHARE: Final = 0.1
MODELS: Final = tuple(f"model-{number:02}" for number in range(20))
MODELS_OF_KEY: Final = 4
RARE_MODEL: Final = "model-of-the-past"
RARE_CALLS: Final = 25
VOID_SHARE: Final = 0.02
LIMITS: Final = Limits(day_nano=10**15)
GRANTED_NANO: Final = 10**7 * NANO_PER_USD
OPENED_US: Final = 1_700_000_000_000_000
ENDPOINT: Final = "chat.completions"
CARD: Final = RateCard(
    "bench",
    ("*",),
    (
        Rate("input_tokens", parse_amount("0.15"), 1_000_000),
        Rate("cached_input_tokens", parse_amount("0.075"), 1_000_000),
        Rate("output_tokens", parse_amount("0.60"), 1_000_000),
    ),
)
_CLOSED: Final = (None,) * (len(HOLDS.columns) - HOLDS.place("call"))
"""What a closed hold has in its columns from `call` on."""
_CHUNK_CALLS: Final = 10_000
_KINDS: Final = 1_024


def account_id(number: int) -> str:
    """The id of an account; the busy one is number 0."""
    return _numbered("acct", number)


def key_id(account: int, place: int) -> str:
    """The id of one of an account's keys; the busy account has one more, which is the rare one."""
    return _numbered("key", account * 10 + place)


RARE_KEY: Final = (0, KEYS_OF_ACCOUNT)


def keys_of(account: int) -> list[str]:
    """The keys that an account makes calls with."""
    return [key_id(account, place) for place in range(KEYS_OF_ACCOUNT)]


class Kind(msgspec.Struct, frozen=True):
    """What one of many similar calls used and was charged, as its receipt stores it."""

    basis: str
    usage: str
    tokens: tuple[int, int, int]
    charge: Charge
    lines: str
    took_us: int


class History:
    """The rows of a ledger after so many calls in the `DAYS` before an instant.

    They are told once: what an account has left is added up on the way.
    """

    def __init__(self, calls: int, until_us: int, *, seed: int = 1) -> None:
        self.calls = calls
        self.until_us = until_us
        self.since_us = until_us - DAYS * DAY_US
        self._random = random.Random(seed)
        self._kinds = [self._kind() for _ in range(_KINDS)]
        self._entries = [1] * ACCOUNTS
        self._balance_nano = [GRANTED_NANO] * ACCOUNTS
        self._lots = [_numbered("lot", number) for number in range(ACCOUNTS)]
        self._account_ids = [account_id(number) for number in range(ACCOUNTS)]
        self._key_ids = [keys_of(number) for number in range(ACCOUNTS)]
        self._key_ids[0].append(key_id(*RARE_KEY))
        self._spending: dict[str, Spending] = {}
        self._ended: list[Bucket] = []

    def chunks(self) -> Iterator[tuple[str, Chunk]]:
        """Tables and rows for them, in an order in which they can be added."""
        yield "entries", [self._grant_entry(number) for number in range(ACCOUNTS)]
        days: dict[tuple[str, int, str, str], list[int]] = {}
        for first in range(0, self.calls, _CHUNK_CALLS):
            rows: dict[str, list[tuple[Any, ...]]] = {"holds": [], "receipts": [], "entries": []}
            for number in range(first, min(first + _CHUNK_CALLS, self.calls)):
                self._call(number, rows, days)
            yield from rows.items()
            # A day's sums are complete once a later one has begun.
            today = max(day for _, day, *_ in days)
            done = {key: days.pop(key) for key in [key for key in days if key[1] < today]}
            yield "usage_days", self._days(done)
        yield "usage_days", self._days(days)
        yield "accounts", [self._account(number) for number in range(ACCOUNTS)]
        yield "keys", [self._key(number, id_) for number, ids in enumerate(self._key_ids) for id_ in ids]
        yield "lots", [self._lot(number) for number in range(ACCOUNTS)]
        yield (
            "commands",
            [
                (self._account_ids[n], _numbered("grant", n), self._grant_digest(n), OPENED_US, 1)
                for n in range(ACCOUNTS)
            ],
        )
        owners = {id_: self._account_ids[number] for number, ids in enumerate(self._key_ids) for id_ in ids}
        yield "key_digests", [(f"digest of {id_}", account, id_, None) for id_, account in owners.items()]
        yield "buckets", [(owners.get(row.scope_id, row.scope_id), *astuple(row)) for row in self._ended]

    def _call(
        self,
        number: int,
        rows: dict[str, list[tuple[Any, ...]]],
        days: dict[tuple[str, int, str, str], list[int]],
    ) -> None:
        chance = self._random.random
        kind = self._kinds[int(chance() * _KINDS)]
        account, key, model = self._caller(number)
        at_us = self.since_us + number * (self.until_us - self.since_us) // self.calls
        id_, ended_us, day = new_id("req", at_us), at_us + kind.took_us, at_us // DAY_US
        account_, key_ = self._account_ids[account], self._key_ids[account][key]
        charged_nano, void = kind.charge.total_nano, kind.basis == "void"
        hold_nano, state = 2 * charged_nano + 1_000, "voided" if void else "settled"
        rows["holds"].append((id_, account_, key_, hold_nano, 0, state, at_us, "owner-0", *_CLOSED))
        call = (id_, account_, key_, ENDPOINT, model, "upstream", model, number & 1, at_us)
        outcome = ("upstream_error", 502) if void else ("complete", 200)
        ended = (*outcome, kind.basis, kind.usage, ended_us, None if void else at_us + 90_000, 0)
        charge = (charged_nano, kind.lines, kind.charge.price_id, charged_nano, 0, hold_nano, day)
        receipt = (*call, *ended, *charge, "", "[]", "{}", 0)
        rows["receipts"].append((*receipt, seal_of(*receipt, 0, at_us, "owner-0"), "", ""))
        figures = days.setdefault((account_, day, key_, model), [0, 0, 0, 0, 0])
        for place, figure in enumerate((int(not void), *kind.tokens, charged_nano)):
            figures[place] += figure
        if charged_nano:
            rows["entries"].append(self._charge_entry(account, charged_nano, id_, ended_us))

    def _caller(self, number: int) -> tuple[int, int, str]:
        """Who makes a call, with which of his keys, for which model; some models are asked for more often."""
        chance = self._random.random
        if number < RARE_CALLS:
            return *RARE_KEY, RARE_MODEL
        key = int(chance() * KEYS_OF_ACCOUNT)
        if chance() < BUSY_SHARE:
            return 0, key, MODELS[int(chance() * chance() * len(MODELS))]
        account = 1 + int(chance() * (ACCOUNTS - 1))
        place = account * KEYS_OF_ACCOUNT + key + int(chance() * chance() * MODELS_OF_KEY)
        return account, key, MODELS[place % len(MODELS)]

    def _kind(self) -> Kind:
        if self._random.random() < VOID_SHARE:
            return Kind("void", "{}", (0, 0, 0), NO_CHARGE, "[]", 2_000_000)
        input_tokens, output_tokens = self._random.randrange(20, 4_000), self._random.randrange(5, 1_500)
        cached = self._random.choice((0, 0, input_tokens // 2))
        usage = {"input_tokens": input_tokens, "cached_input_tokens": cached, "output_tokens": output_tokens}
        charge = price(CARD, usage)
        took_us = 100_000 + output_tokens * 8_000
        return Kind(
            "reported",
            text(usage),
            (input_tokens, cached, output_tokens),
            charge,
            text(charge.lines),
            took_us,
        )

    def _charge_entry(self, account: int, charged_nano: int, ref: str, at_us: int) -> tuple[Any, ...]:
        self._entries[account] += 1
        self._balance_nano[account] -= charged_nano
        balance_nano, draws = self._balance_nano[account], f'[["{self._lots[account]}",{-charged_nano}]]'
        posted = (self._account_ids[account], self._entries[account], "charge", -charged_nano)
        return (*posted, balance_nano, 0, ref, at_us, draws, "")

    def _grant_digest(self, account: int) -> str:
        lot = Lot(*self._lot(account))
        command_id, nano = _numbered("grant", account), lot.amount_nano
        return command_digest(
            Grant(lot.account_id, command_id, "", nano, 0, lot.kind, lot.priority, lot.expires_at_us)
        )

    def _grant_entry(self, account: int) -> tuple[Any, ...]:
        draws = text((Draw(self._lots[account], GRANTED_NANO),))
        posted = (self._account_ids[account], 1, "grant", GRANTED_NANO, GRANTED_NANO, 0)
        return (*posted, _numbered("grant", account), OPENED_US, draws, "")

    def _days(self, days: dict[tuple[str, int, str, str], list[int]]) -> Chunk:
        """The rows of complete days, whose charges are what accounts and keys have spent."""
        for (account, day, key, _), figures in sorted(days.items(), key=lambda one: one[0][1]):
            for scope in (account, key) if figures[-1] else ():
                spending = self._spending.get(scope, NOTHING_SPENT)
                if day > spending.day:
                    self._ended += spending.ended_by(scope, day)
                    spending = spending.moved_to(day)
                self._spending[scope] = spending.plus(day, figures[-1], 0)
        return [(*key, *figures) for key, figures in days.items()]

    def _account(self, number: int) -> tuple[Any, ...]:
        id_ = self._account_ids[number]
        figures = (self._balance_nano[number], 0, 0, 0, 0, self._entries[number], NEVER_US)
        named = (id_, f"account {number}", OPENED_US, "active")
        return (*named, *figures, text(LIMITS), self._spent_by(id_), 0, "", "{}")

    def _key(self, account: int, id_: str) -> tuple[Any, ...]:
        named = (id_, self._account_ids[account], "bench", f"digest of {id_}", id_[-4:], OPENED_US)
        return (*named, "active", NEVER_US, "[]", "{}", 0, self._spent_by(id_), "")

    def _spent_by(self, scope: str) -> str:
        return text(self._spending.get(scope, NOTHING_SPENT))

    def _lot(self, number: int) -> tuple[Any, ...]:
        amounts = (GRANTED_NANO, self._balance_nano[number])
        return (self._lots[number], self._account_ids[number], "grant", *amounts, 50, OPENED_US, NEVER_US)


def _numbered(prefix: str, number: int) -> str:
    """An id as of the instant when all accounts were opened, with a number where others have chance."""
    stamp = new_id(prefix, OPENED_US)[:-16]
    return f"{stamp}{number:016}"
