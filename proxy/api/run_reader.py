"""The reads of runs: what each costs, by its components and its calls."""

from fractions import Fraction
from typing import Final

import msgspec

from proxy.api.reader import Reader, SeenReceipt, receipt_of
from proxy.errors import Refusal
from proxy.ledger.rows import Counter
from proxy.ledger.store import Row
from proxy.pricing.runs import RUN, RunSum

COMPONENTS_MAX: Final = 1_000
"""How many models and endpoints of a run are told apart."""


class Component(msgspec.Struct, frozen=True):
    """What calls of one model or tool cost, the markup of the run included."""

    model: str
    endpoint: str
    calls: int
    charge_nano: int


class RunReader(Reader):
    """Reads the runs of one account at a time."""

    async def runs(self, account_id: str, *, after: str | None, limit: int) -> list[RunSum]:
        """The runs of an account, in the order of their ids."""
        rows = await self._rows("runs_page", account_id=account_id, after=after or "", limit=limit)
        return list(map(_sum_of, rows))

    async def run(self, account_id: str, run_id: str) -> RunSum:
        """One run. Raises Refusal `not_found` while no call of it has ended, as for another account's."""
        rows = await self._rows("run_by_id", account_id=account_id, run_id=run_id)
        if not rows:
            raise Refusal("not_found", f"There is no run {run_id} of this account.")
        return _sum_of(rows[0])

    async def components(self, account_id: str, run_id: str) -> list[Component]:
        """What a run's calls cost by model and endpoint, the dearest first."""
        ids = {"account_id": account_id, "run_id": run_id}
        rows = await self._rows("run_components", **ids, limit=COMPONENTS_MAX)
        return [msgspec.convert(row, Component, strict=False) for row in rows]

    async def run_steps(
        self, account_id: str, run_id: str, *, before: str | None, limit: int
    ) -> list[SeenReceipt]:
        """The receipts of a run's calls, newest first."""
        params = {"account_id": account_id, "run_id": run_id, "cursor": before or "", "limit": limit}
        return [receipt_of(row) for row in await self._rows("receipts_of_run", **params)]


def _sum_of(row: Row) -> RunSum:
    volume = msgspec.json.decode(str(row["volume"]))
    counter = msgspec.convert({**row, "volume": volume}, Counter, strict=False)
    markup_nano = round(Fraction(counter.volume.weighted))
    return RunSum(counter.name.removeprefix(RUN), counter.quantity, markup_nano)
