"""What every storage engine does with the group of an account."""

from msgspec.structs import replace

from proxy.ledger.commands import Authorize, ChangeAccount, Granted, OpenAccount, Regrouped
from proxy.ledger.rows import Account
from tests.storage.conftest import OpenStore
from tests.storage.teller import ACCOUNT, KEY, NOON_US, account, call, done, opening


async def test_an_account_is_in_the_group_that_it_was_put_in_last(open_store: OpenStore) -> None:
    """Whoever asks for its key is told the group as well, and a call has to be of it."""
    first = await open_store()
    await first.apply(opening(1_000))
    grouped = OpenAccount("acct_2", "Another", NOON_US, group="vip")
    assert (await done(first, grouped)).account == Account("acct_2", "Another", NOON_US, group="vip")
    await done(first, ChangeAccount(ACCOUNT, NOON_US, group="vip"))
    second = await open_store()
    caller = await second.caller_by_digest(f"digest of {KEY}")
    assert caller is not None
    assert caller.group == (await account(second))["group"] == "vip"
    command = Authorize(call("call_1"), 300, 300, 0, NOON_US, second.owner)
    assert await second.apply([command]) == [Regrouped("vip")]
    assert (await second.apply([replace(command, group="vip")]))[0] == Granted(300, 700)
    in_group = await second.query("accounts_of_group", {"group": "vip", "cursor": "", "limit": 9})
    assert {row["id"] for row in in_group} == {ACCOUNT, "acct_2"}
    assert await second.query("accounts_of_group", {"group": "", "cursor": "", "limit": 9}) == []
