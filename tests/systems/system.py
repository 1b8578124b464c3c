"""A system: a real process with a configuration of `config/systems/`, and calls to it with OpenAI's SDK."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import yaml

from tests.acceptance.harness import Account, Server, nano, running
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)
from tests.acceptance.stage import Stage
from tests.sources import ROOT

HOLDINGS_SECRET = "whsec_" + "A" * 32
FOLDER = ROOT / "config/systems"
HI: list[Any] = [{"role": "user", "content": "Hi"}]


@dataclass
class System:
    """A running system, and the upstream behind it."""

    server: Server
    upstream: ScriptedUpstream

    def account(self, amount: str = "100.00", **settings: Any) -> Account:
        """An account with so many US dollars."""
        return self.server.account(amount, **settings)

    def client(self, account: Account) -> openai.OpenAI:
        """OpenAI's SDK with a key of the account."""
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=account.secret, max_retries=0)

    def bought(self, account: Account, body: dict[str, Any], reference: str) -> dict[str, Any]:
        """What an account buys and pays for, once the operator has confirmed it."""
        headers = {"Idempotency-Key": reference.replace(" ", "-")}
        status, _, asked = account.api.ask("POST", "/v1/billing/top_ups", body, headers)
        assert (status, asked["state"]) == (201, "pending"), asked
        path = f"/admin/v1/accounts/{account.id}/top_ups/{asked['id']}/confirm"
        paid: dict[str, Any] = self.server.admin.post(path, {"reference": reference, "paid": asked["price"]})
        return paid

    def chat(self, account: Account, model: str, prompt: int, output: int, **members: Any) -> int:
        """What a chat is charged whose upstream reports so many tokens, in nano-USD."""
        whole = answers(completion(prompt=prompt, output=output))
        streamed = streams(chunk("Hi"), chunk(finish="stop"), usage_chunk(prompt, output), DONE)
        self.upstream.behaviours[model] = streamed if members.get("stream") else whole
        with self.client(account) as client:
            made: Any = client.chat.completions.create(
                model=model, **{"messages": HI, "max_tokens": max(1, output), **members}
            )
            if members.get("stream"):
                list(made)
        return nano(account.last()["charged"])


@contextlib.contextmanager
def system_of(name: str, folder: Path, upstream: ScriptedUpstream) -> Iterator[System]:
    """The system of a file, with its upstreams scripted and its database in a folder."""
    with running(config_of(name, folder), folder, **environ_of(upstream)) as server:
        yield System(server, upstream)


@contextlib.contextmanager
def system_with_a_clock(
    name: str, folder: Path, upstream: ScriptedUpstream
) -> Iterator[tuple[System, Stage]]:
    """The same, and what sets the time of its process."""
    stage = Stage(config_of(name, folder), folder)
    stage.environ |= environ_of(upstream)
    stage.start()
    try:
        yield System(stage, upstream), stage
    finally:
        stage.stop()


def config_of(name: str, folder: Path) -> dict[str, Any]:
    """The configuration of a system, with its database in a folder."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    config["server"] |= {"host": "127.0.0.1", "port": 0}
    config["storage"] = f"sqlite:///{folder}/{name}.db"
    return config


def environ_of(upstream: ScriptedUpstream) -> dict[str, str]:
    """Where its upstreams are."""
    host = f"http://127.0.0.1:{upstream.port}"
    return {"UPSTREAM_URL": f"{host}/v1", "DATA_URL": host, "HOLDINGS_SECRET": HOLDINGS_SECRET}
