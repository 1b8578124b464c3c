"""A probe on any engine: it asks whether the store can be used, and changes nothing."""

import pytest

from proxy.ledger.store import LedgerUnavailable, Store
from tests.storage.teller import NOON_US, account, opening


async def test_a_probe_finds_an_open_store_well_and_leaves_nothing_behind(store: Store) -> None:
    """It comes again and again, before a batch and after one."""
    await store.probe()
    await store.apply(opening(1_000))
    before = await account(store)
    for _ in range(3):
        await store.probe()
    assert await account(store) == before
    assert await store.orphans(NOON_US) == []
    await store.close()
    with pytest.raises(LedgerUnavailable, match="not open"):
        await store.probe()
