"""A file of the database is taken away under a server: it refuses calls, says so, and ends with an error."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.storage.locations import database_at
from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account, Server, config_for, eventually
from tests.acceptance.raw_upstream import Streaming
from tests.acceptance.scripted_upstream import ScriptedUpstream, chunk, streams
from tests.storage.losses import LOSSES, SUFFIXES
from tests.storage.whole import differences

CALL: Any = {"model": "f-whole", "messages": HELLO}


def answered(account: Account) -> str | None:
    """The id of a call that was answered whole; None for one that was refused, or met a process that ends."""
    with contextlib.suppress(OSError):
        status, headers, answer = account.api.ask("POST", "/v1/chat/completions", CALL)
        if status == 200:
            return headers["x-request-id"]
        assert status == 503
        assert answer["error"]["code"] in ("ledger_unavailable", "shutting_down")
    return None


def ended(server: Server) -> int:
    """The exit code of a server that ends by itself."""
    assert server.process is not None
    code = server.process.wait(WAIT_SECONDS)
    server.log.close()
    return code


def receipts(server: Server, account: Account) -> set[str]:
    rows = server.admin.get(f"/admin/v1/receipts?account_id={account.id}&limit=100")["data"]
    return {row["id"] for row in rows}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_server_whose_file_is_taken_away_ends_by_itself_with_an_error(
    upstream: ScriptedUpstream, tmp_path: Path, suffix: str, workers: int
) -> None:
    """A call in flight is broken off. What was answered before is there, unless the database itself went."""

    async def stalls(response: Any) -> None:
        await asyncio.sleep(WAIT_SECONDS)

    upstream.behaviours["l-stalls"] = streams(chunk("hello"), then=stalls)
    server = Server(config_for(upstream.port, tmp_path, server={"workers": workers}), tmp_path).start()
    if workers > 1:
        eventually(lambda: "all workers serve" in server.log_text())
    account = server.account("1.00")
    calls = {answered(account) for _ in range(20)}
    assert None not in calls
    file = tmp_path / f"farebox.db{suffix}"
    with Streaming(account, "l-stalls") as client:
        assert client.event()
        file.unlink()
        assert ended(server) == 1
        assert b"[DONE]" not in client.rest()
    assert f"{file} was taken away" in server.log_text()
    assert "Traceback" not in server.log_text()
    if suffix:
        server.start()
        eventually(lambda: server.admin.get("/admin/v1/holds?state=open")["data"] == [])
        assert calls <= receipts(server, account)
        assert server.stop() == 0
        assert differences(database_at(server.config["storage"])) == []


@pytest.mark.parametrize("lose", [LOSSES["replaced by a copy"], LOSSES["moved away"]])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_calls_that_go_on_meet_refusals_and_none_is_lost_in_silence(
    upstream: ScriptedUpstream, tmp_path: Path, suffix: str, lose: Callable[[Path], None]
) -> None:
    """Until the process has ended each call is answered and on the ledger, or refused."""
    server = Server(config_for(upstream.port, tmp_path), tmp_path).start()
    account = server.account("1.00")
    before = {answered(account) for _ in range(10)}
    lose(tmp_path / f"farebox.db{suffix}")
    eventually(lambda: answered(account) is None)
    assert not [call for call in (answered(account) for _ in range(5)) if call]
    assert ended(server) == 1
    assert None not in before
