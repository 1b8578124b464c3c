"""Many callers at once, and an upstream that does anything at all: each call costs what its own outcome does.

Connections to the upstream are kept and shared, so that what one call's answer leaves behind is in the way of
the next one, which must notice neither that nor the company it has.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.callers import all_calls, audited
from tests.acceptance.faults import BROKEN_NANO, FAULTS, FIRST_BYTE_SECONDS, HELLO, SMUGGLED, Fault
from tests.acceptance.harness import Server, config_for, nano, running
from tests.acceptance.raw_upstream import Act, RawUpstream
from tests.acceptance.scripted_upstream import DONE

CALLERS = 48
CALLS_EACH = 10
ACCOUNTS = 3
GRANT_NANO = 1_000_000_000


class Storm(RawUpstream):
    """Does to each call what its model says, which is a fault's name and the call's own."""

    def act_of(self, name: str) -> Act:
        return FAULTS[name.partition("~")[0]].act(name)


@pytest.fixture
def storm() -> Iterator[Storm]:
    upstream = Storm()
    yield upstream
    upstream.stop()


@pytest.fixture
def server(storm: Storm, tmp_path: Path) -> Iterator[Server]:
    config = config_for(storm.port, tmp_path)
    # Only what has to time out is given little time: a slow machine takes long for everything else.
    config["upstreams"]["hasty"] = config["upstreams"]["scripted"] | {
        "first_byte_seconds": FIRST_BYTE_SECONDS,
        "idle_seconds": FIRST_BYTE_SECONDS,
    }
    silent = [f"{name}~*" for name, fault in FAULTS.items() if fault.times_out]
    config["routes"].insert(0, {"models": silent, "targets": [{"upstream": "hasty"}]})
    with running(config, tmp_path) as started:
        yield started


async def called(client: aiohttp.ClientSession, fault: Fault, name: str) -> tuple[str, int, bytes, bool]:
    """The id, the status and the body of a call, and whether that came to a proper end."""
    messages = [{"role": "user", "content": "Say hello"}]
    body: Any = {"model": name, "messages": messages, "stream": fault.stream, "max_tokens": 50}
    pieces: list[bytes] = []
    async with client.post("/v1/chat/completions", json=body) as response:
        try:
            pieces += [piece async for piece in response.content.iter_any()]
        except aiohttp.ClientPayloadError:
            return response.headers["x-request-id"], response.status, b"".join(pieces), False
        return response.headers["x-request-id"], response.status, b"".join(pieces), True


def assert_seen(fault: Fault, name: str, status: int, seen: bytes, ended: bool) -> None:
    """The client has its own answer or a refusal, and cannot take what is broken for whole."""
    assert SMUGGLED.encode() not in seen
    if fault.breaks:
        # With nothing delivered a refusal could take the place of the stream.
        assert (DONE not in seen, b'"error"' in seen, ended) == (True, True, True)
        assert status == 200 if HELLO.encode() in seen else status in (200, 502, 504)
        return
    assert (status, ended) == (fault.status, True)
    if status == 200:
        assert name.encode() in seen
        assert seen.endswith(DONE if fault.stream else b"}")


def charges_of(fault: Fault, seen: bytes) -> set[tuple[str, int]]:
    """What the ledger may say of the call: its outcome and its charge."""
    if HELLO.encode() in seen and fault.breaks:
        return {(fault.outcome, BROKEN_NANO)}
    if fault.breaks or (fault.outcome == "upstream_failed" and not fault.charge_nano):
        # On a slow machine the end may overtake what came before it.
        return {(fault.outcome, 0), ("unreachable", 0)}
    return {(fault.outcome, fault.charge_nano)}


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_call_of_a_storm_costs_what_its_own_outcome_does(
    storm: Storm, server: Server, seed: int
) -> None:
    """One receipt for each, with its outcome's charge; sums agree, nothing is held, the audit is clean."""
    accounts = [server.account("1.00") for _ in range(ACCOUNTS)]
    names = list(FAULTS) * (CALLERS * CALLS_EACH // len(FAULTS) + 1)
    random.Random(seed).shuffle(names)
    expected: dict[str, tuple[str, set[tuple[str, int]]]] = {}

    async def caller(number: int) -> None:
        headers = {"Authorization": f"Bearer {accounts[number % ACCOUNTS].secret}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as client:
            for place in range(number, CALLERS * CALLS_EACH, CALLERS):
                fault, name = FAULTS[names[place]], f"{names[place]}~{place}"
                call_id, status, seen, ended = await called(client, fault, name)
                assert_seen(fault, name, status, seen, ended)
                expected[call_id] = name, charges_of(fault, seen)

    await asyncio.gather(*map(caller, range(CALLERS)))
    for account in accounts:
        rows = await asyncio.to_thread(all_calls, server, account.id)
        for row in rows:
            name, charges = expected.pop(row["id"])
            assert row["model"] == name
            assert (row["outcome"], nano(row["charged"])) in charges, name
        assert account.nano("held") == 0
        assert account.nano("balance") == GRANT_NANO - sum(nano(row["charged"]) for row in rows)
    assert expected == {}
    assert max(Counter(name for name, _ in storm.received).values()) <= 2, "sent again more than once"
    assert server.admin.get("/admin/v1/holds?state=open")["data"] == []
    assert audited(server) == []
