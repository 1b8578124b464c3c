"""The command line, as a real process: against a running server, and on files."""

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.ledger.groups import Group, Groups
from proxy.upstream.routes import Credential, Route, Routes, Target, Upstream
from tests.api.apis import ADMIN_KEY, ApiConfig, Apis, serving
from tests.fork_server import fork_server

FAREBOX = Path(sys.executable).with_name("farebox")
CONFIG = """
storage: sqlite:///farebox.db
admin: {key: 'b7c0e93d51f84a26'}
upstreams:
  main: {base_url: 'https://api.example.com/v1'}
routes:
  - models: ['gpt-4o-mini']
    targets: [{upstream: main, model: mini}]
  - {name: search, path: /v1/search, rate_card: search, targets: [{upstream: main}]}
rate_cards:
  mini:
    match: ['gpt-4o-mini']
    rates: {input_tokens: {per_1m: '0.15'}, output_tokens: {per_1m: '0.60'}}
    max_output_tokens: 4096
  search: {rates: {requests: {per_unit: '0.02'}}}
"""


@dataclass(frozen=True)
class Ran:
    """How a process ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        decoded: dict[str, Any] = json.loads(self.out)
        return decoded


async def farebox(*arguments: str, **variables: str) -> Ran:
    """Run the command with these environment variables, and none of Farebox's own beside them."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = fork_server().fork(
            "proxy.cli", *arguments, environ=environ | variables, output=out, errors=err
        )
        code = await asyncio.to_thread(command.wait)
        out.seek(0)
        err.seek(0)
        return Ran(code, out.read().decode(), err.read().decode())


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def ask(apis: Apis, *arguments: str) -> Ran:
    """Run a command against the server."""
    return await farebox(*arguments, FAREBOX_URL=apis.url, FAREBOX_ADMIN_KEY=ADMIN_KEY)


# --- against a server ---------------------------------------------------------------------------------------


async def test_an_account_is_opened_funded_and_used_from_the_command_line(apis: Apis) -> None:
    """What the commands make is what the API then shows."""
    account = (await ask(apis, "accounts", "create", "Ada", "--day", "10", "--rpm", "60", "--json")).json
    account_id = account["id"]
    key = (await ask(apis, "keys", "create", account_id, "--name", "ci", "--model", "demo*", "--json")).json
    entry = (await ask(apis, "grant", account_id, "25.5", "--note", "hello", "--json")).json
    assert (entry["amount"], entry["note"]) == ("25.50", "hello")
    balance = await apis.ask("GET", "/v1/billing/balance", key=key["secret"])
    assert balance.body["available"] == "25.50"
    await apis.call(account_id, key["id"], 1_000_000)
    usage = (await ask(apis, "usage", "--group-by", "model", "--json")).json
    assert [(row["group"], row["charged"]) for row in usage["data"]] == [("demo", "0.001")]
    months = (await ask(apis, "usage", "--group-by", "month", "--json")).json
    assert [(row["group"], row["charged"]) for row in months["data"]] == [("2024-10", "0.001")]


async def test_json_is_the_apis_answer_as_it_is(apis: Apis) -> None:
    account_id = await apis.account(limits={"day": "3"})
    ran = await ask(apis, "accounts", "show", account_id, "--json")
    assert ran.json == (await apis.admin("GET", f"/accounts/{account_id}")).body


async def test_tables_show_whole_ids_and_amounts_in_a_pipe(apis: Apis) -> None:
    account_id = await apis.account("Ada [bold] & Co", limits={"day": "3"})
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "5")
    call_id = await apis.call(account_id, key_id, 14_000)
    hold_id = (await apis.hold(account_id, key_id, 2_000_000)).id
    commands: dict[tuple[str, ...], tuple[str, ...]] = {
        ("accounts", "list"): (account_id, "Ada [bold] & Co", "4.999986", "0.000014 of 3.00"),
        ("accounts", "show", account_id): (account_id, "2024-10-05T00:00:00Z", "2.997986"),
        ("keys", "list", account_id): (key_id, "active", "all"),
        ("holds", "--state", "open"): (hold_id, "0.002"),
        ("receipts", "--account", account_id): (call_id, "completed", "reported", "0.000014"),
        ("receipts", call_id): ("output_tokens", "0.000014 / 7", "the-upstream"),
        ("usage",): ("2024-10-04", "total", "0.000014"),
    }
    for command, texts in commands.items():
        ran = await ask(apis, *command)
        assert ran.code == 0, ran.err
        assert all(text in ran.out for text in texts), ran.out


async def test_updates_change_what_they_name(apis: Apis) -> None:
    account_id = await apis.account(limits={"day": "3", "rpm": 5})
    key_id, _ = await apis.key(account_id, models=["a"], expires_at="2030-01-01T00:00:00Z")
    account = (
        await ask(apis, "accounts", "update", account_id, "--day", "default", "--tpm", "none", "--json")
    ).json
    limits = account["limits"]
    assert (limits["day"], limits["rpm"], limits["tpm"]) == (None, 5, "none")
    key = (await ask(apis, "keys", "update", key_id, "--all-models", "--expires-at", "never", "--json")).json
    assert (key["models"], key["expires_at"]) == ([], None)
    for command, status in (("suspend", "suspended"), ("resume", "active")):
        assert (await ask(apis, "accounts", command, account_id, "--json")).json["status"] == status
    assert (await ask(apis, "keys", "disable", key_id, "--json")).json["status"] == "disabled"


async def test_an_account_is_put_in_a_group_and_found_there(apis: Apis) -> None:
    apis.settings = ApiConfig(groups=Groups(groups={name: Group(name) for name in ("vip", "beta")}))
    account = (await ask(apis, "accounts", "create", "Ada", "--group", "vip", "--json")).json
    other_id = await apis.account("Bob")
    assert account["group"] == "vip"
    listed = await ask(apis, "accounts", "list", "--group", "vip")
    assert account["id"] in listed.out
    assert other_id not in listed.out
    for options, group in ((("--group", "beta"), "beta"), (("--name", "Eve"), "beta"), (("--no-group",), "")):
        ran = await ask(apis, "accounts", "update", account["id"], *options, "--json")
        assert ran.json["group"] == group
    ran = await ask(apis, "accounts", "update", other_id, "--group", "gold")
    assert (ran.code, "the groups are vip, beta" in ran.err) == (1, True)
    ran = await ask(apis, "accounts", "update", other_id, "--group", "vip", "--no-group")
    assert (ran.code, "contradict" in ran.err) == (2, True)


async def test_an_idempotency_key_makes_a_repeated_grant_harmless(apis: Apis) -> None:
    account_id = await apis.account()
    for _ in range(2):
        await ask(apis, "grant", account_id, "5", "--idempotency-key", "order-1")
    await ask(apis, "grant", account_id, "1")
    await ask(apis, "grant", account_id, "1")
    assert (await apis.admin("GET", f"/accounts/{account_id}")).body["balance"] == "7.00"


async def test_a_negative_amount_is_an_amount_and_no_option(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.grant(account_id, "5")
    ran = await ask(apis, "adjust", account_id, "-1.25", "--reason", "typo", "--json")
    assert ran.json["balance_after"] == "3.75"


async def test_upstreams_are_listed_with_where_their_calls_come_from(apis: Apis) -> None:
    """The table has the route of each target and the name of the credential's header."""
    upstream = Upstream("main", "https://api.example.com/v1", Credential("Bearer hidden"))
    target, plain = Target(upstream, model="mini"), Target(upstream)
    routes = Routes([Route("chat", (target,), models=("a",)), Route("more", (plain,), models=("b",))])
    apis.settings = ApiConfig(upstreams={"main": upstream}, routes=routes)
    ran = await ask(apis, "upstreams")
    for text in ("main", "https://api.example.com/v1", "header Authorization", "chat (mini), more"):
        assert text in ran.out
    assert "hidden" not in ran.out
    assert (await ask(apis, "upstreams", "--json")).json["data"][0]["name"] == "main"


async def test_a_list_tells_how_to_go_on(apis: Apis) -> None:
    made = []
    for _ in range(3):
        made.append(await apis.account())
        apis.clock.at_us += 1_000
    first = await ask(apis, "accounts", "list", "--limit", "2")
    found = re.search(r"--cursor (\S+)", first.err)
    assert found
    rest = await ask(apis, "accounts", "list", "--limit", "2", "--cursor", found[1])
    assert (made[2] in first.out, made[0] in first.out, made[0] in rest.out) == (True, False, True)


async def test_a_secret_is_printed_once_with_a_word_about_it(apis: Apis) -> None:
    account_id = await apis.account()
    ran = await ask(apis, "keys", "create", account_id)
    assert re.search(r"sk-fbx-[\w-]{43}", ran.out)
    assert "cannot be shown again" in ran.err
    assert "sk-fbx-" not in (await ask(apis, "keys", "list", account_id)).out


# --- what goes wrong ----------------------------------------------------------------------------------------


async def test_a_refusal_is_told_on_standard_error_with_exit_code_1(apis: Apis) -> None:
    ran = await ask(apis, "accounts", "show", "acct_none", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert re.search(r"There is no account acct_none\. \(404 not_found, request req_\w+\)", ran.err)


async def test_a_wrong_admin_key_is_told_and_never_repeated(apis: Apis) -> None:
    ran = await farebox("accounts", "list", "--url", apis.url, FAREBOX_ADMIN_KEY="wrong-key-of-mine")
    assert (ran.code, ran.out) == (1, "")
    assert "invalid_api_key" in ran.err
    assert "wrong-key-of-mine" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (("accounts", "list"), {}, 1, "FAREBOX_ADMIN_KEY is not set"),
        (
            ("accounts", "list", "--url", "http://127.0.0.1:1"),
            {"FAREBOX_ADMIN_KEY": "k"},
            1,
            "could not be reached",
        ),
        (("accounts", "list", "--url", "here"), {"FAREBOX_ADMIN_KEY": "k"}, 1, "is not an address"),
        (("accounts", "list"), {"FAREBOX_ADMIN_KEY": "two\nlines"}, 1, "could not be reached"),
        (("accounts", "list", "--admin-key", "x"), {}, 2, "No such option"),
        (("accounts", "update", "a"), {"FAREBOX_ADMIN_KEY": "k"}, 2, "Nothing to change"),
        (("accounts", "create", "a", "--rpm", "x"), {"FAREBOX_ADMIN_KEY": "k"}, 2, "is not a number"),
        (("accounts", "list", "--limit", "0"), {"FAREBOX_ADMIN_KEY": "k"}, 2, "--limit"),
        (("adjust", "a", "-5"), {"FAREBOX_ADMIN_KEY": "k"}, 2, "--reason"),
        (("receipts", "c", "--model", "m"), {"FAREBOX_ADMIN_KEY": "k"}, 2, "do not apply to one call"),
        (("serve",), {}, 2, "FILE"),
    ],
)
async def test_what_cannot_be_done_is_said_and_shown_by_the_exit_code(
    arguments: tuple[str, ...], variables: dict[str, str], code: int, said: str
) -> None:
    ran = await farebox(*arguments, **variables)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


# --- files --------------------------------------------------------------------------------------------------


async def test_check_prints_what_is_served_and_at_which_prices(tmp_path: Path) -> None:
    file = tmp_path / "farebox.yaml"
    file.write_text(CONFIG)
    ran = await farebox("check", str(file))
    assert ran.code == 0, ran.err
    for text in ("gpt-4o-mini", "main: mini", "/v1/search", "0.15", "1000000", "per_call", "0.02"):
        assert text in ran.out


async def test_check_prints_the_prices_of_each_case_and_warns_of_what_no_call_meets(tmp_path: Path) -> None:
    """A case has its conditions for its name, and all its rates."""
    file = tmp_path / "farebox.yaml"
    dear = "cases: [{when: {size: large}, rates: {requests: {per_unit: '0.77'}}}]"
    file.write_text(CONFIG.replace("{per_unit: '0.02'}}}", f"{{per_unit: '0.02'}}}}, {dear}}}"))
    ran = await farebox("check", str(file))
    assert ran.code == 0, ran.err
    (line,) = (line for line in ran.out.splitlines() if "0.77" in line)
    assert "size=large" in line
    assert "cases[0].when.size" in ran.err


async def test_check_prints_the_prices_of_each_window_and_when_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "farebox.yaml"
    night = "hours: {windows: {night: {from: '20:00', to: '06:00', rates: {requests: {per_unit: '0.77'}}}}}"
    file.write_text(CONFIG.replace("{per_unit: '0.02'}}}", f"{{per_unit: '0.02'}}}}, {night}}}"))
    ran = await farebox("check", str(file), COLUMNS="200")
    assert ran.code == 0, ran.err
    (line,) = (line for line in ran.out.splitlines() if "0.77" in line)
    assert "+hours=night" in line
    assert "20:00-06:00 UTC" in line


async def test_check_prints_what_is_sold_and_what_groups_get_otherwise(tmp_path: Path) -> None:
    """A row for a group where it differs; what is as for all has none."""
    file = tmp_path / "farebox.yaml"
    own = "pro: {bonus: 15%}, team: {discount: 0%}"
    plus = f"plus: {{amount: '50', bonus: 5%, groups: {{{own}}}}}"
    sold = f"payments: {{fee: {{minimum: '0.80'}}, packages: {{{plus}, large: {{amount: '500'}}}}}}"
    file.write_text(f"{CONFIG}\n{sold}\ngroups: {{pro: {{}}, team: {{}}}}\n")
    ran = await farebox("check", str(file), COLUMNS="200")
    assert ran.code == 0, ran.err
    rows = [" ".join(line.replace("│", " ").split()) for line in ran.out.splitlines()]
    assert [row for row in rows if row.startswith(("plus", "large"))] == [
        "plus 50.00 2.50 50.80 0.80",
        "large 500.00 0.00 500.80 0.80",
        "plus pro 50.00 7.50 50.80 0.80",
    ]


async def test_check_prints_each_fault_with_its_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "farebox.yaml"
    file.write_text(CONFIG.replace("upstream: main, model", "upstream: mian, model").replace("0.15", "cheap"))
    ran = await farebox("check", str(file))
    assert (ran.code, ran.out) == (1, "")
    lines = file.read_text().splitlines()
    for word in ("mian", "cheap"):
        number = next(number for number, line in enumerate(lines, 1) if word in line)
        assert f"{file}:{number}: " in ran.err


@pytest.mark.parametrize("command", ["check", "serve"])
async def test_a_file_that_is_not_there_is_a_fault_and_no_traceback(tmp_path: Path, command: str) -> None:
    ran = await farebox(command, str(tmp_path / "none.yaml"))
    assert (ran.code, ran.out) == (1, "")
    assert "none.yaml" in ran.err
    assert "Traceback" not in ran.err


async def test_schema_prints_a_json_schema(tmp_path: Path) -> None:
    schema = (await farebox("schema")).json
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "rate_cards" in schema["properties"]


@pytest.mark.parametrize("answer", ["hello", '{"data": 5}', "[]", '{"name": "x"}'])
async def test_an_answer_that_is_not_fareboxs_is_told_in_one_line(answer: str) -> None:
    """Another server answers 200 there: the command says so, and shows no trace."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        ran = await farebox(
            "accounts", "list", FAREBOX_URL=str(server.make_url("")), FAREBOX_ADMIN_KEY=ADMIN_KEY
        )
    assert (ran.code, ran.out) == (1, "")
    assert "not one of Farebox" in ran.err
    assert "Traceback" not in ran.err
