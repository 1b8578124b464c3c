"""Vouchers: made by the admin, redeemed with any key of an account, once by each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.api.admin.vouchers import digest_of_code
from proxy.ledger.vouchers import ClaimVoucher
from proxy.ledger.windows import DAY_US
from tests.api.apis import Answer, Apis, serving

PATH = "/v1/billing/vouchers/redeem"


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def made(apis: Apis, **members: object) -> str:
    answer = await apis.admin("POST", "/vouchers", {"amount": "5", **members})
    assert answer.status == 201, answer
    return str(answer.body["code"])


async def redeemed(apis: Apis, secret: str, code: str) -> Answer:
    return await apis.ask("POST", PATH, key=secret, body={"code": code})


async def newcomer(apis: Apis) -> tuple[str, str]:
    account_id = await apis.account()
    return account_id, (await apis.key(account_id))[1]


async def test_a_code_is_redeemed_for_credit_that_is_there_at_once(apis: Apis) -> None:
    code = await made(apis, prefix="SPRING", label="spring sale", days=30)
    account_id, secret = await newcomer(apis)
    answer = await redeemed(apis, secret, f" {code.upper()} ")
    assert (answer.status, answer.body["amount"], answer.body["available"]) == (201, "5.00", "5.00")
    assert answer.body["entry"]["note"] == "spring sale"
    (lot,) = (await apis.admin("GET", f"/accounts/{account_id}/lots")).data
    assert (lot["kind"], lot["remaining"], lot["expires_at"]) == ("voucher", "5.00", "2024-11-03T12:00:00Z")


async def test_a_code_is_shown_once_and_stored_as_a_digest(apis: Apis) -> None:
    code = await made(apis, prefix="SPRING")
    assert code.startswith("SPRING-")
    assert await made(apis, prefix="SPRING") != code
    listed = await apis.admin("GET", "/vouchers")
    assert [(row["uses"], row["used"], row["days"]) for row in listed.data] == [(1, 0, None)] * 2
    for file in apis.store.path.parent.iterdir():
        assert code.lower().encode() not in file.read_bytes().lower()


async def test_each_refusal_says_what_is_wrong(apis: Apis) -> None:
    single, many = await made(apis), await made(apis, uses=5, expires_at="2024-10-05T00:00:00Z")
    _, first = await newcomer(apis)
    _, second = await newcomer(apis)
    assert (await redeemed(apis, first, single)).status == 201
    assert (await redeemed(apis, first, many)).status == 201
    for secret, code, expected in (
        (first, single, (409, "voucher_redeemed")),
        (first, many, (409, "voucher_redeemed")),
        (second, single, (409, "voucher_used_up")),
        (second, "no-such-code", (404, "voucher_unknown")),
    ):
        answer = await redeemed(apis, secret, code)
        assert (answer.status, answer.error["code"]) == expected
    apis.clock.at_us += DAY_US
    late = await redeemed(apis, second, many)
    assert (late.status, late.error["code"]) == (409, "voucher_expired")


async def test_a_claim_without_its_grant_is_made_good_by_redeeming_again(apis: Apis) -> None:
    """As after a crash between the two; the credit lasts from the claim on."""
    code = await made(apis, days=30)
    account_id, secret = await newcomer(apis)
    await apis.ledger.command(ClaimVoucher(digest_of_code(code), account_id, apis.clock.at_us))
    apis.clock.at_us += DAY_US
    answer = await redeemed(apis, secret, code)
    assert (answer.status, answer.body["expires_at"]) == (201, "2024-11-03T12:00:00Z")
    assert (await redeemed(apis, secret, code)).error["code"] == "voucher_redeemed"
    assert (await apis.admin("GET", f"/accounts/{account_id}")).body["balance"] == "5.00"


async def test_guesses_are_bounded_for_an_account_and_for_no_other(apis: Apis) -> None:
    code = await made(apis, uses=2)
    _, guesser = await newcomer(apis)
    _, other = await newcomer(apis)
    for number in range(10):
        assert (await redeemed(apis, guesser, f"guess-{number}")).status == 404
    refused = await redeemed(apis, guesser, code)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["Retry-After"] == "60"
    assert (await redeemed(apis, other, code)).status == 201
    apis.clock.at_us += 60_000_000
    assert (await redeemed(apis, guesser, code)).status == 201


async def test_only_a_key_of_an_account_redeems(apis: Apis) -> None:
    code = await made(apis)
    assert (await apis.ask("POST", PATH, key=None, body={"code": code})).status == 401
    assert (await apis.ask("POST", PATH, key="wrong", body={"code": code})).status == 401


@pytest.mark.parametrize("members", [{"uses": 0}, {"days": 0}, {"prefix": "a b"}, {"amount": "0"}])
async def test_an_impossible_voucher_is_refused(apis: Apis, members: dict[str, object]) -> None:
    answer = await apis.admin("POST", "/vouchers", {"amount": "5", **members})
    assert (answer.status, answer.error["code"]) == (400, "invalid_value")
