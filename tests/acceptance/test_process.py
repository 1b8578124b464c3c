"""The life of the process: readiness, drain on SIGTERM, reload on SIGHUP, metrics, and the quickstart."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
import yaml
from aiohttp import web

from tests.acceptance.harness import (
    HELLO,
    WAIT_SECONDS,
    Server,
    config_for,
    eventually,
    free_port,
    running,
    spawned,
)
from tests.acceptance.scripted_upstream import DONE, ScriptedUpstream, answers, chunk, completion, usage_chunk

ROOT = Path(__file__).parents[2]


def test_sigterm_lets_streams_finish_and_refuses_new_calls(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """While draining new calls get 503; the running stream ends whole, is settled, the exit is clean."""
    gate, begun = threading.Event(), threading.Event()

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk("one"))
        begun.set()
        while not gate.is_set():
            await asyncio.sleep(0.01)
        await response.write(chunk(finish="stop") + usage_chunk(2, 1) + DONE)
        return response

    upstream.behaviours["p-drain"] = behaviour
    with running(config_for(upstream.port, tmp_path), tmp_path) as server:
        account = server.account()
        headers = {"Authorization": f"Bearer {account.secret}"}
        body = {"model": "p-drain", "messages": HELLO, "stream": True}
        kept = httpx.Client(headers=headers)
        assert kept.get(f"{server.url}/v1/models").status_code == 200
        received: list[bytes] = []
        reader = threading.Thread(
            target=lambda: received.append(
                httpx.post(
                    f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=WAIT_SECONDS
                ).content
            )
        )
        reader.start()
        assert begun.wait(WAIT_SECONDS)
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: kept.get(f"{server.url}/readyz").status_code == 503)
        refused = kept.post(f"{server.url}/v1/chat/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        gate.set()
        reader.join(WAIT_SECONDS)
        assert received[0].endswith(DONE)
        kept.close()
        assert server.process.wait(WAIT_SECONDS) == 0
    with running(config_for(upstream.port, tmp_path), tmp_path) as again:
        rows = again.admin.get(f"/admin/v1/receipts?account_id={account.id}")["data"]
        assert [(row["outcome"], row["charged"]) for row in rows] == [("complete", "0.000004")]
        assert again.admin.get("/admin/v1/holds?state=open")["data"] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_during_the_start_is_not_the_end_of_it(tmp_path: Path, workers: int) -> None:
    """An operator who reloads cannot know how far the start is. A pipe holds it up here."""
    config = config_for(1, tmp_path, server={"port": free_port(), "workers": workers})
    path = tmp_path / "farebox.yaml"
    os.mkfifo(path)
    process = spawned(path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with path.open("w") as pipe:
            process.send_signal(signal.SIGHUP)
            yaml.safe_dump(config, pipe)
        eventually(lambda: is_alive(config["server"]["port"]))
    finally:
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0


def is_alive(port: int) -> bool:
    """Whether a Farebox answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def test_sigterm_cuts_what_does_not_finish_in_time(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """After `drain_seconds` what still runs is cut and charged; no hold stays open."""

    async def behaviour(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk("Hello there"))
        await asyncio.sleep(60)
        return response

    upstream.behaviours["p-stuck"] = behaviour
    config = config_for(upstream.port, tmp_path, server={"drain_seconds": 0.3})
    server = Server(config, tmp_path).start()
    account = server.account()
    headers = {"Authorization": f"Bearer {account.secret}"}
    body = {"model": "p-stuck", "messages": HELLO, "stream": True}
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=WAIT_SECONDS
    ) as stream:
        next(stream.iter_lines())
        assert server.stop() == 0
    server.start()
    try:
        receipt = account.last()
        assert (receipt["charged"], receipt["basis"]) == ("0.000013", "counted")
    finally:
        server.stop()


def test_sigterm_lets_a_slow_reader_have_a_large_answer(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """What is sent when the drain begins arrives to its last byte, however slowly the client reads it."""
    sent = json.dumps(completion(padding="x" * 20_000_000)).encode()
    upstream.behaviours["p-large"] = answers(sent)
    body = json.dumps({"model": "p-large", "messages": HELLO})
    with running(config_for(upstream.port, tmp_path), tmp_path) as server:
        headers = {"Authorization": f"Bearer {server.account().secret}"}
        kept = httpx.Client()
        assert kept.get(f"{server.url}/readyz").status_code == 200
        reader = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
        with contextlib.closing(reader):
            reader.request("POST", "/v1/chat/completions", body, headers)
            answer = reader.getresponse()
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: kept.get(f"{server.url}/readyz").status_code == 503)
            received = b""
            while piece := answer.read(1_000_000):
                received += piece
                time.sleep(0.05)  # Slower than what handlers get that are cut, so that only a drain helps.
            assert received == sent
        kept.close()
        assert server.process.wait(WAIT_SECONDS) == 0


def test_a_broken_log_stops_no_call(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """When nobody reads standard error any more, lines are lost, and calls are answered and charged."""
    upstream.behaviours["p-log"] = answers(completion())
    upstream.behaviours["p-log-error"] = answers({"error": {"message": "no"}}, status=500)
    config = config_for(upstream.port, tmp_path, log={"level": "debug", "calls": True})
    server = Server(config, tmp_path, port=free_port())
    config["server"]["port"] = server.port
    path = tmp_path / "farebox.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    process = spawned(path, stderr=subprocess.PIPE)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, b"")
    assert any(b"listening" in line for line in lines)
    process.stderr.close()
    try:
        account = server.account()
        for _ in range(5):
            for model, status in (("p-log", 200), ("p-log-error", 500), ("p-log", 200)):
                ask = {"model": model, "messages": HELLO}
                assert account.api.ask("POST", "/v1/chat/completions", ask)[0] == status
            assert account.api.ask("POST", "/v1/chat/completions", b"broken")[0] == 400
        eventually(lambda: len(account.requests()) == 15)
        assert account.nano("balance") == 1_000_000_000 - 10 * 25_000
        assert account.nano("held") == 0
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(WAIT_SECONDS)
    assert status == 0


def test_sighup_reloads_and_a_bad_file_changes_nothing(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """A new price holds for the next call; a broken file is refused with its reason and the old one stays."""
    upstream.behaviours["p-price"] = answers(completion(prompt=10, output=10))
    with running(config_for(upstream.port, tmp_path), tmp_path) as server:
        account = server.account()
        ask = {"model": "p-price", "messages": HELLO}

        def cost() -> str:
            return account.api.ask("POST", "/v1/chat/completions", ask)[1]["x-farebox-cost"]

        def reload(config: dict[str, Any], word: str) -> None:
            (tmp_path / "farebox.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
            assert server.process is not None
            lines = server.log_text().count(word)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.log_text().count(word) > lines)

        assert cost() == "0.00003"
        dearer = config_for(upstream.port, tmp_path)
        dearer["server"]["port"] = server.port
        dearer["rate_cards"]["chat"]["rates"]["output_tokens"] = {"per_1m": "4.00"}
        reload(dearer, "reloaded")
        assert cost() == "0.00005"
        broken = {**dearer, "rate_cards": {**dearer["rate_cards"], "chat": {"rates": {"output_tokenz": {}}}}}
        reload(broken, "reload refused")
        assert "output_tokenz" in server.log_text()
        assert cost() == "0.00005"


def test_metrics_count_calls_money_and_refusals(server: Server, upstream: ScriptedUpstream) -> None:
    """Prometheus text with what an operator alerts on."""
    upstream.behaviours["p-metrics"] = answers(completion())
    account = server.account()
    account.api.ask("POST", "/v1/chat/completions", {"model": "p-metrics", "messages": HELLO})
    account.api.ask("POST", "/v1/chat/completions", b"broken")
    with urllib.request.urlopen(f"{server.url}/metrics") as reply:
        text = reply.read().decode()
    assert 'farebox_calls_total{basis="reported",endpoint="chat.completions",outcome="complete"}' in text
    assert 'farebox_refusals_total{code="invalid_json"}' in text
    assert "farebox_charge_nano_usd_total" in text


@pytest.mark.parametrize("key", ["", "changeme"])
def test_a_default_admin_key_is_refused(upstream: ScriptedUpstream, tmp_path: Path, key: str) -> None:
    """Outside the quickstart the server does not start with an empty or well-known admin key."""
    path = tmp_path / "farebox.yaml"
    path.write_text(yaml.safe_dump(config_for(upstream.port, tmp_path, admin={"key": key}), sort_keys=False))
    environ = {**os.environ, "UPSTREAM_KEY": "x"}
    run = subprocess.run(
        [sys.executable, "-m", "proxy.cli", "serve", str(path)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert run.returncode == 1
    assert "admin.key" in run.stderr


def test_the_quickstart_serves_the_main_job_with_no_key_and_no_service(tmp_path: Path) -> None:
    """`farebox serve config/quickstart.yaml` prints lines that work as they are, and a limit that bites."""
    config = yaml.safe_load((ROOT / "config/quickstart.yaml").read_text())
    demo_port = free_port()
    config["quickstart"]["port"] = demo_port
    config["upstreams"]["demo"]["base_url"] = f"http://127.0.0.1:{demo_port}/v1"
    config["storage"] = f"sqlite:///{tmp_path}/quickstart.db"
    (tmp_path / "quickstart.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "FAREBOX"))
    }
    environ["FAREBOX_PORT"] = str(free_port())
    log = tmp_path / "out"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy.cli", "serve", str(tmp_path / "quickstart.yaml")],
            cwd=ROOT,
            env=environ,
            stdout=out,
            stderr=out,
        )
    try:
        eventually(lambda: "OPENAI_API_KEY" in log.read_text())
        text = log.read_text()
        url = re.search(r"export OPENAI_BASE_URL=(\S+)", text)
        secret = re.search(r"export OPENAI_API_KEY=(\S+)", text)
        assert url is not None
        assert secret is not None
        with openai.OpenAI(base_url=url[1], api_key=secret[1]) as client:
            names = [model.id for model in client.models.list()]
            assert names == ["demo-chat", "demo-embedding"]
            said = client.chat.completions.create(model="demo-chat", messages=HELLO)
            assert said.choices[0].message.content
            streamed = client.chat.completions.create(model="demo-chat", messages=HELLO, stream=True)
            assert "".join(part.choices[0].delta.content or "" for part in streamed)
        with httpx.Client(headers={"Authorization": f"Bearer {secret[1]}"}) as http:
            statuses = [http.get(f"{url[1]}/demo/search?q=fares").status_code for _ in range(5)]
            assert statuses == [200, 200, 200, 402, 402]
            assert http.get(f"{url[1]}/billing/balance").json()["held"] == "0.00"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0


def test_memory_stays_flat_with_a_thousand_slow_streams(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """1,000 concurrent slow streams, and then a body of 50 MB: memory stays within a fixed bound."""

    async def slow(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(10):
            await response.write(chunk("word " * 20))
            await asyncio.sleep(0.2)
        await response.write(chunk(finish="stop") + usage_chunk(2, 200) + DONE)
        return response

    upstream.behaviours["p-slow"] = slow
    upstream.behaviours["p-huge"] = answers(completion())
    with running(config_for(upstream.port, tmp_path), tmp_path) as server:
        account = server.account("1000.00")
        before = resident_bytes(server)
        endings = asyncio.run(thousand(server, account.secret))
        assert endings == [DONE] * 1_000
        grown = resident_bytes(server) - before
        assert grown < 1_000 * 150_000, grown
        image = "data:image/png;base64," + "A" * 50_000_000
        parts = [{"type": "image_url", "image_url": {"url": image}}]
        body = {"model": "p-huge", "messages": [{"role": "user", "content": parts}]}
        for _ in range(3):
            assert account.api.ask("POST", "/v1/chat/completions", body)[0] == 200
        assert resident_bytes(server) - before < 450_000_000


async def thousand(server: Server, secret: str) -> list[bytes]:
    """1,000 streams at once; gives how each ended."""
    body = json.dumps({"model": "p-slow", "messages": HELLO, "stream": True, "max_tokens": 400})
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: here",
        f"Authorization: Bearer {secret}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        "Connection: close",
    )
    asked = "\r\n".join((*lines, "", body)).encode()

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(asked)
        answer = await reader.read()
        writer.close()
        return answer.removesuffix(b"\r\n0\r\n\r\n")[-len(DONE) :]

    return await asyncio.wait_for(asyncio.gather(*(one() for _ in range(1_000))), WAIT_SECONDS)


def resident_bytes(server: Server) -> int:
    """Resident memory of the server process."""
    assert server.process is not None
    time.sleep(0.2)
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")
