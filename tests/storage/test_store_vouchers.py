"""What every storage engine does about vouchers: claimed once by an account, and by no more than may."""

import asyncio

from proxy.ledger.commands import Done, Refused
from proxy.ledger.rows import NEVER_US, Voucher
from proxy.ledger.store import Store
from proxy.ledger.vouchers import ClaimVoucher, MakeVoucher
from proxy.storage.codecs import row_of
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import NOON_US, done, expect


def voucher(uses: int = 1, *, name: str = "one", expires_at_us: int = NEVER_US) -> Voucher:
    ids = (f"digest of {name}", f"vch_{name}")
    return Voucher(*ids, "spring", "voucher", 500, uses, 30, NOON_US, expires_at_us)


def claim(account_id: str = "acct_1", *, name: str = "one", at_us: int = NOON_US) -> ClaimVoucher:
    return ClaimVoucher(f"digest of {name}", account_id, at_us)


async def test_a_voucher_is_claimed_by_as_many_accounts_as_it_has_uses(
    engine: Engine, open_store: OpenStore
) -> None:
    """In one batch and in several, by whichever process; the rows say how often and by whom."""
    first, second = await open_store(), await open_store()
    await done(first, MakeVoucher(voucher(3)))
    results = await second.apply([claim("acct_1"), claim("acct_2")])
    assert [type(result) for result in results] == [Done, Done]
    third = await done(first, claim("acct_3"))
    assert (await expect(second, Refused, claim("acct_4"))).code == "voucher_used_up"
    assert third.voucher is not None
    assert third.claim is not None
    dump = engine.dump()
    assert dump["vouchers"] == [row_of(third.voucher)]
    assert [row[1] for row in dump["voucher_claims"]] == ["acct_1", "acct_2", "acct_3"]
    assert row_of(third.claim) in dump["voucher_claims"]


async def test_an_account_claims_a_voucher_once_and_a_repeat_finds_its_claim(open_store: OpenStore) -> None:
    """Also one that has expired or was used up since, so that a grant that did not follow can."""
    first, second = await open_store(), await open_store()
    await done(first, MakeVoucher(voucher(expires_at_us=NOON_US + 5)))
    made = await done(first, claim())
    again = await done(second, claim(at_us=NOON_US + 9))
    assert (again.replayed, again.claim, again.voucher) == (True, made.claim, made.voucher)


async def test_processes_that_claim_the_last_use_at_once_get_it_once(
    engine: Engine, open_store: OpenStore
) -> None:
    stores = [await open_store() for _ in range(4)]
    await done(stores[0], MakeVoucher(voucher(2)))
    batches = [store.apply([claim(f"acct_{number}")]) for number, store in enumerate(stores)]
    results = [result for (result,) in await asyncio.gather(*batches)]
    assert sorted(type(result).__name__ for result in results) == ["Done", "Done", "Refused", "Refused"]
    assert len(engine.dump()["voucher_claims"]) == 2


async def test_what_cannot_be_claimed_is_refused_and_leaves_no_trace(store: Store, engine: Engine) -> None:
    await done(store, MakeVoucher(voucher(expires_at_us=NOON_US)))
    before = engine.dump()
    for command, code in (
        (claim(), "voucher_expired"),
        (claim(name="other"), "voucher_unknown"),
        (MakeVoucher(voucher()), "conflict"),
        (MakeVoucher(voucher(0, name="none")), "invalid_value"),
    ):
        assert (await expect(store, Refused, command)).code == code
    assert engine.dump() == before
