"""The reads of top-ups."""

from proxy.api.reader import Reader, made
from proxy.ledger.top_up_rows import AutoTopUp, TopUp


class TopUpReader(Reader):
    """Reads top-ups, and what every reader reads."""

    async def top_up(self, account_id: str, top_up_id: str) -> TopUp:
        """One top-up. Raises Refusal `not_found`, also for another account's."""
        absent = f"There is no top-up {top_up_id}."
        row = await self._one("top_up_by_id", absent, account_id=account_id, top_up_id=top_up_id)
        return made(row, TopUp)

    async def known_top_up(self, account_id: str, top_up_id: str) -> TopUp | None:
        """One top-up, if there is one of this id."""
        rows = await self._rows("top_up_by_id", account_id=account_id, top_up_id=top_up_id)
        return made(rows[0], TopUp) if rows else None

    async def top_ups(
        self, account_id: str, *, state: str, before_us: int, before_id: str, limit: int
    ) -> list[TopUp]:
        """Top-ups, newest first, of one account or, if empty, of all. An empty `state` is no filter."""
        params = {"state": state, "before_us": before_us, "before_id": before_id, "limit": limit}
        if account_id:
            rows = await self._rows("top_ups_of_account", account_id=account_id, **params)
        else:
            rows = await self._rows("top_ups_page", **params)
        return [made(row, TopUp) for row in rows]

    async def auto_top_up(self, account_id: str) -> AutoTopUp:
        """How an account is topped up by itself; off where it was never set."""
        rows = await self._rows("auto_top_up", account_id=account_id)
        return made(rows[0], AutoTopUp) if rows else AutoTopUp(account_id)
