"""The quickstart's account with money and a key, and lines ready to paste."""

from typing import Final

import click

from proxy.clock import Clock
from proxy.config.load import Settings
from proxy.edge.auth import Secret, new_secret
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.commands import ChangeKey, CreateKey, Grant, OpenAccount
from proxy.ledger.ledger import Ledger
from proxy.ledger.rows import Limits
from proxy.ledger.store import Store
from proxy.money import to_nano

ACCOUNT_ID: Final = "acct_demo"

_LINES: Final = """
Farebox is serving {url}/v1 with the account `demo`: {balance} USD, at most {day} USD a day.

  export OPENAI_BASE_URL={url}/v1
  export OPENAI_API_KEY={secret}

  curl -si {url}/v1/chat/completions -H "Authorization: Bearer {secret}" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "demo-chat", "messages": [{{"role": "user", "content": "Say hello"}}]}}'

  python3 -c 'from openai import OpenAI
for chunk in OpenAI().chat.completions.create(
    model="demo-chat", stream=True, messages=[{{"role": "user", "content": "Tell me about fares"}}]
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)'

  curl -s {url}/v1/billing/balance -H "Authorization: Bearer {secret}"      # what that did to the balance
  curl -si "{url}/v1/demo/search?q=fares" -H "Authorization: Bearer {secret}"   # 0.25 USD a call: soon a 402
"""


async def welcome(ledger: Ledger, store: Store, clock: Clock, settings: Settings, port: int) -> None:
    """Make the demo account and a key for it, and print lines to paste."""
    demo = settings.quickstart
    assert demo is not None
    secret = await _demo_key(ledger, store, clock, settings)
    url = f"http://{settings.server.host}:{port}"
    click.echo(_LINES.format(url=url, secret=secret.text, balance=demo.balance, day=demo.day))


async def _demo_key(ledger: Ledger, store: Store, clock: Clock, settings: Settings) -> Secret:
    """The account `demo`, made at the first start; its keys of earlier starts are disabled."""
    assert settings.quickstart is not None
    demo, now_us = settings.quickstart, clock.now_us()
    limits = Limits(day_nano=to_nano(demo.day, settings.unit))
    amount_nano = to_nano(demo.balance, settings.unit)
    try:
        await ledger.command(OpenAccount(ACCOUNT_ID, "demo", now_us, limits=limits))
    except Refusal as refusal:
        if refusal.code != "conflict":
            raise
    try:
        await ledger.command(Grant(ACCOUNT_ID, "quickstart", new_id("lot", now_us), amount_nano, now_us))
    except Refusal as refusal:
        # Another amount was granted at an earlier start; that stands.
        if refusal.code != "idempotency_conflict":
            raise
    for row in await store.query("keys_of_account", {"account_id": ACCOUNT_ID, "cursor": "", "limit": 100}):
        if row["status"] == "active":
            await ledger.command(ChangeKey(ACCOUNT_ID, str(row["id"]), now_us, status="disabled"))
    secret = new_secret()
    key_id = new_id("key", now_us)
    await ledger.command(CreateKey(ACCOUNT_ID, key_id, "quickstart", secret.digest, secret.hint, now_us))
    return secret
