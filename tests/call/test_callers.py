"""Who is refused before a body is waited for, as a table; the ledger decides about everybody else."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from proxy.errors import Refusal
from proxy.ledger.commands import ChangeAccount, ChangeKey, Command
from proxy.money import parse_amount
from proxy.pricing.rates import Rate
from tests.call.fakes import GRANT_NANO, NOW_US, RATES, SECRET, WHOLE, Asked, Sent, Stage, Upstreams

FREE = tuple(Rate(rate.meter, parse_amount("0"), rate.per) for rate in RATES)
FREE_INPUT = (FREE[0], RATES[1])
PER_CALL = (Rate("requests", parse_amount("0.01"), 1),)
FREE_CALLS = (Rate("requests", parse_amount("0"), 1),)


class Late(Asked):
    """A request whose body has to be waited for."""

    def __init__(self, secret: str | None = SECRET) -> None:
        super().__init__(stream=False)
        self.secret = secret
        self.was_read = False

    async def body_at_hand(self) -> bytes | None:
        return None

    async def body(self) -> bytes:
        self.was_read = True
        return await super().body()


def changed(**changes: object) -> Command:
    return ChangeAccount("acct_1", NOW_US, **changes)  # type: ignore[arg-type]


def key_changed(**changes: object) -> Command:
    return ChangeKey("acct_1", "key_1", NOW_US, **changes)  # type: ignore[arg-type]


async def came_to(
    commands: Sequence[Command], rates: tuple[Rate, ...] = RATES, secret: str | None = SECRET
) -> tuple[str, bool]:
    """The code of the refusal, or "served"; and whether the body was waited for.

    The key was used just before, so that it is remembered as it was.
    """
    stage = Stage(Upstreams(WHOLE), rates=rates)
    await stage.admission.identify(Late())
    stage.store.commit(commands)
    request, code = Late(secret), "served"
    try:
        await stage.relay.relay(request, Sent())
    except Refusal as refusal:
        code = refusal.code
    await stage.rest()
    return code, request.was_read


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        ([], "served"),
        ([key_changed(status="disabled")], "api_key_disabled"),
        ([key_changed(expires_at_us=NOW_US)], "api_key_expired"),
        ([changed(status="suspended")], "account_suspended"),
    ],
)
async def test_who_may_not_call_is_refused_before_the_body_is_read(
    commands: list[Command], code: str
) -> None:
    """Also within the seconds in which the key is remembered."""
    assert await came_to(commands) == (code, code == "served")


@pytest.mark.parametrize(("secret", "code"), [(None, "missing_api_key"), ("sk-fbx-x", "invalid_api_key")])
async def test_a_stranger_is_refused_before_the_body_is_read(secret: str | None, code: str) -> None:
    assert await came_to([], secret=secret) == (code, False)


async def test_no_form_is_waited_for_or_read_without_funds() -> None:
    """Nothing is looked for in a form before its caller could pay for the call."""
    stage, request = Stage(Upstreams(WHOLE)), Late()
    request.path = "/v1/audio/transcriptions"
    request.headers = (("content-type", "multipart/form-data; boundary=b"),)
    accounts = stage.store.books.accounts
    accounts["acct_1"] = replace(accounts["acct_1"], balance_nano=0)
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(request, Sent())
    await stage.rest()
    assert (refused.value.code, request.was_read) == ("credit_balance_exhausted", False)


@pytest.mark.parametrize(
    ("rates", "code"),
    [
        (RATES, "credit_balance_exhausted"),
        (PER_CALL, "credit_balance_exhausted"),
        (FREE_INPUT, "credit_balance_exhausted"),
        (FREE, "served"),
        (FREE_CALLS, "served"),
    ],
)
async def test_without_funds_a_body_is_read_only_where_calls_may_be_free(
    rates: tuple[Rate, ...], code: str
) -> None:
    """A call that costs nothing passes; one that costs something is refused unread."""
    stage, request, result = Stage(Upstreams(WHOLE), rates=rates), Late(), "served"
    accounts = stage.store.books.accounts
    accounts["acct_1"] = replace(accounts["acct_1"], balance_nano=0)
    try:
        await stage.relay.relay(request, Sent())
    except Refusal as refusal:
        result = refusal.code
    await stage.rest()
    assert (result, request.was_read) == (code, code == "served")


async def test_money_that_is_only_held_is_worth_another_try() -> None:
    """The refusal says so, as the ledger would."""
    stage, request = Stage(Upstreams(WHOLE)), Late()
    accounts = stage.store.books.accounts
    accounts["acct_1"] = replace(accounts["acct_1"], held_nano=GRANT_NANO)
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(request, Sent())
    await stage.rest()
    assert refused.value.code == "in_flight_budget_exhausted"
    assert "Retry-After" in refused.value.headers
    assert refused.value.details["held"] == "1.00"
    assert request.facts == {"account_id": "acct_1", "key_id": "key_1"}


async def test_what_is_known_of_a_call_is_noted_for_the_log() -> None:
    """Whose it is, which model it asks for, and the route that serves that."""
    stage, request = Stage(Upstreams(WHOLE)), Late()
    await stage.relay.relay(request, Sent())
    await stage.rest()
    assert request.facts == {"account_id": "acct_1", "key_id": "key_1", "model": "m", "route": "all"}
