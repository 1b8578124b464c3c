"""Bad input gets a clear error in OpenAI's shape; nothing is charged and nothing is forwarded."""

import json
import socket

import httpx2 as httpx
import pytest

from tests.acceptance.harness import HELLO, WAIT_SECONDS, Account, Server
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion

CHAT = "/v1/chat/completions"


@pytest.fixture
def account(server: Server, upstream: ScriptedUpstream) -> Account:
    upstream.behaviours["m"] = answers(completion())
    return server.account("1.00")


CASES: list[tuple[str, object, int, str, str | None]] = [
    ("not json", b'{"model": ', 400, "invalid_json", None),
    ("empty", b"", 400, "invalid_json", None),
    ("an array", b"[1]", 400, "invalid_json", None),
    ("not utf-8", b'{"model": "\xff"}', 400, "invalid_json", None),
    ("no model", {"messages": HELLO}, 400, "invalid_value", "model"),
    ("model of a wrong type", {"model": 5, "messages": HELLO}, 400, "invalid_value", "model"),
    (
        "half a token",
        {"model": "m", "messages": HELLO, "max_tokens": 0.5},
        400,
        "invalid_value",
        "max_tokens",
    ),
    (
        "tokens as text",
        {"model": "m", "messages": HELLO, "max_tokens": "9"},
        400,
        "invalid_value",
        "max_tokens",
    ),
    ("n below zero", {"model": "m", "messages": HELLO, "n": -1}, 400, "invalid_value", "n"),
    ("an unknown member", {"model": "m", "messages": HELLO, "wings": 2}, 403, "unpriced_feature", "wings"),
    (
        "a search without a price",
        {"model": "m", "messages": HELLO, "web_search_options": {}},
        403,
        "unpriced_feature",
        "web_search_options",
    ),
    (
        "a member in another case",
        {"model": "m", "messages": HELLO, "Max_Tokens": 9},
        400,
        "invalid_value",
        "Max_Tokens",
    ),
    (
        "stream of a wrong type",
        {"model": "m", "messages": HELLO, "stream": "yes"},
        400,
        "invalid_value",
        "stream",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_bad_body(
    server: Server,
    account: Account,
    upstream: ScriptedUpstream,
    body: object,
    status: int,
    code: str,
    param: str | None,
) -> None:
    """The error names the field; the balance and the upstream are untouched."""
    before = len(upstream.received)
    got, headers, answer = account.api.ask("POST", CHAT, body)
    assert (got, answer["error"]["code"], answer["error"]["param"]) == (status, code, param)
    assert set(answer["error"]) >= {"message", "type", "param", "code"}
    assert headers["x-request-id"] == answer["error"]["request_id"]
    assert len(upstream.received) == before
    assert account.nano("available") == 1_000_000_000


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/../admin/v1/accounts", 400, "invalid_path"),
        ("POST", "/v1/%2e%2e/admin/v1/accounts", 400, "invalid_path"),
        ("POST", "/v1/chat%2fcompletions", 400, "invalid_path"),
        ("POST", "/v1//chat/completions", 400, "invalid_path"),
        ("POST", "/v1/chat/completions/", 404, "not_found"),
        ("POST", "/v1/fine_tuning/jobs", 403, "endpoint_denied"),
        ("POST", "/v1/realtime/client_secrets", 403, "endpoint_denied"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/search", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/billing/balance", 405, "method_not_allowed"),
        ("GET", "/v1/billing/nothing", 404, "not_found"),
        ("PUT", "/admin/v1/accounts", 405, "method_not_allowed"),
        ("GET", "/admin/v1/nothing", 401, "invalid_api_key"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("DELETE", "/openapi.json", 405, "method_not_allowed"),
    ],
)
def test_a_bad_path(
    server: Server,
    account: Account,
    upstream: ScriptedUpstream,
    method: str,
    path: str,
    status: int,
    code: str,
) -> None:
    """Only listed paths pass, and only as they are written."""
    before = len(upstream.received)
    body = json.dumps({"model": "m", "messages": HELLO})
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n"
    answer = send_raw(
        server, f"{request}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
    )
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code
    assert len(upstream.received) == before


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/admin/v1/accounts", "GET, HEAD, POST"),
        ("POST", "/admin/v1/accounts/acct_1", "GET, HEAD, PATCH"),
        ("POST", "/readyz", "GET, HEAD"),
    ],
)
def test_another_method_is_told_what_the_path_takes(
    server: Server, method: str, path: str, allowed: str
) -> None:
    """405 names every method of the path, in the message and in `Allow`."""
    status, headers, body = server.admin.ask(method, path, {})
    assert (status, headers["Allow"]) == (405, allowed)
    assert allowed in body["error"]["message"]


def test_an_unknown_path_of_the_admin_api_is_404_for_the_admin(server: Server) -> None:
    """The admin key gets 404; without it nobody learns what exists."""
    status, _, body = server.admin.ask("GET", "/admin/v1/nothing")
    assert (status, body["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: identity",
        "Content-Length : 5",
        "Content-Length: +5",
    ],
)
def test_a_smuggled_body_is_refused(
    server: Server, account: Account, upstream: ScriptedUpstream, head: str
) -> None:
    """Requests that two parsers could read differently end at ours."""
    before = len(upstream.received)
    request = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n{head}\r\n\r\nhello"
    )
    answer = send_raw(server, request.encode())
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert len(upstream.received) == before


BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
PLAIN = f"Content-Length: {len(BODY)}"


@pytest.mark.parametrize(
    ("version", "head", "body", "said"),
    [
        ("1.1", f"{PLAIN}\r\nContent-Encoding: identity\r\nContent-Encoding: gzip", BODY, "Content-Encoding"),
        ("1.1", f"{PLAIN}\r\nContent-Encoding: gzip\r\ncontent-encoding: identity", BODY, "Content-Encoding"),
        ("1.1", f"{PLAIN}\r\nAuthorization: Bearer another", BODY, "Authorization"),
        ("1.1", f"{PLAIN}\r\nExpect: 100-continue\r\nExpect: x", BODY, "Expect"),
        ("1.1", "Transfer-Encoding: gzip, chunked", CHUNKED, "Transfer-Encoding"),
        ("1.1", "Transfer-Encoding: x, chunked", CHUNKED, "Transfer-Encoding"),
        ("1.1", "Transfer-Encoding:", b"", "Transfer-Encoding"),
        ("1.0", "Transfer-Encoding: chunked", CHUNKED, "Transfer-Encoding"),
        ("2.0", PLAIN, BODY, "HTTP/2.0"),
        ("0.9", PLAIN, BODY, "HTTP/0.9"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/search", "/admin/v1/accounts", "/healthz"])
def test_a_request_that_two_servers_could_read_differently_is_refused(
    server: Server,
    account: Account,
    upstream: ScriptedUpstream,
    path: str,
    version: str,
    head: str,
    body: bytes,
    said: str,
) -> None:
    """On every path: a 400 that says why, and the connection ends with it, so that nothing can follow."""
    before = len(upstream.received)
    request = f"POST {path} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n{head}\r\n"
    answers = until_closed(server, request.encode() + b"\r\n" + body)
    assert answers.startswith(b"HTTP/1.1 400 ")
    head_sent, _, sent = answers.partition(b"\r\n\r\n")
    assert b"connection: close" in head_sent.lower()
    error = json.loads(sent)["error"]
    assert error["code"] == "invalid_request"
    assert said in error["message"]
    assert len(upstream.received) == before


def test_a_chunked_body_by_itself_is_taken(server: Server, account: Account) -> None:
    """However `chunked` is written."""
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\nConnection: close\r\n"
    )
    request = head.encode() + b"Transfer-Encoding: Chunked\r\n\r\n" + CHUNKED
    assert until_closed(server, request).startswith(b"HTTP/1.1 200 ")


def test_a_body_too_large_is_refused_before_it_is_sent(server: Server, account: Account) -> None:
    """100 MB announced: 413 at once, without `100 Continue`."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n"
    answer = send_raw(server, f"{head}Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "body_too_large"


def test_a_chunked_body_too_large_is_refused(server: Server, account: Account) -> None:
    """A body that does not announce its size is cut at the limit."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.secret}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as client:
        client.sendall(head.encode())
        try:
            for _ in range(80):
                client.sendall(piece)
        except OSError:
            return  # It was refused while we were still sending, which is as good.
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_keys_are_checked(server: Server, account: Account) -> None:
    """No key, an unknown key, a disabled key and an expired one each have their own code."""

    def code_of(secret: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {"Authorization": ""}
        status, _, body = account.api.ask("POST", CHAT, {"model": "m", "messages": HELLO}, headers)
        return status, body["error"]["code"]

    assert code_of("") == (401, "missing_api_key")
    assert code_of("sk-fbx-nobody") == (401, "invalid_api_key")
    assert code_of(server.admin.key) == (401, "invalid_api_key")
    server.admin.ask("PATCH", f"/admin/v1/keys/{account.key_id}", {"status": "disabled"})
    assert code_of(account.secret) == (401, "api_key_disabled")


def test_a_key_disabled_after_use_is_refused_at_the_next_call(server: Server, account: Account) -> None:
    """What is remembered of a key never lets a call through that the ledger would refuse."""
    body = {"model": "m", "messages": HELLO}
    assert account.api.ask("POST", CHAT, body)[0] == 200
    server.admin.ask("PATCH", f"/admin/v1/keys/{account.key_id}", {"status": "disabled"})
    status, _, answer = account.api.ask("POST", CHAT, body)
    assert (status, answer["error"]["code"]) == (401, "api_key_disabled")
    server.admin.ask("PATCH", f"/admin/v1/keys/{account.key_id}", {"status": "active"})
    server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"status": "suspended"})
    status, _, answer = account.api.ask("POST", CHAT, body)
    assert (status, answer["error"]["code"]) == (402, "account_suspended")


def test_a_model_outside_the_keys_list_is_refused(server: Server, account: Account) -> None:
    """An allow-list of globs holds for calls."""
    narrow = server.key_of(account.id, models=["other-*"])
    status, _, answer = narrow.api.ask("POST", CHAT, {"model": "m", "messages": HELLO})
    assert (status, answer["error"]["code"]) == (403, "model_not_allowed")


def test_client_credentials_never_go_up(server: Server, account: Account, upstream: ScriptedUpstream) -> None:
    """The client's key, its cookies and what Connection names stay here; the upstream's own key goes up."""
    headers = {
        "Cookie": "a=b",
        "X-HTTP-Method-Override": "DELETE",
        "X-Original-URL": "/admin",
        "X_Auth_Token": account.secret,
        "X-Amz-Security-Token": account.secret,
        "X-Api-Key": account.secret,
        "X-Secret-Hop": "1",
        "Connection": "x-secret-hop",
        "X-Farebox-Include": "cost",
        "OpenAI-Beta": "kept",
    }
    headers["Authorization"] = f"Bearer {account.secret}"
    body = {"model": "m", "messages": HELLO}
    assert httpx.post(server.url + CHAT, json=body, headers=headers).status_code == 200
    sent = {name.lower(): value for name, value in upstream.headers[-1].items()}
    assert sent["authorization"] == "Bearer upstream-secret-credential"
    assert sent["openai-beta"] == "kept"
    assert not {name.lower() for name in headers} - {"authorization", "connection", "openai-beta"} & set(sent)
    assert account.secret not in json.dumps(sent)


def test_no_secret_is_ever_logged(server: Server, account: Account) -> None:
    """Neither a caller's key, nor the admin's, nor an upstream's credential appears in the log."""
    account.api.ask("POST", CHAT, {"model": "m", "messages": HELLO})
    account.api.ask("POST", f"{CHAT}?key={account.secret}", b"broken")
    text = server.log_text()
    for secret in (account.secret, server.admin.key, "upstream-secret-credential"):
        assert secret not in text


@pytest.mark.parametrize("status", [200, 302, 400])
def test_an_upstream_that_echoes_its_request_does_not_tell_our_credential(
    server: Server, account: Account, upstream: ScriptedUpstream, status: int
) -> None:
    """Neither in the body nor in a header, whether it succeeds, redirects or fails."""
    secret = "upstream-secret-credential"
    echo = {"headers": {"Authorization": f"Bearer {secret}"}}
    upstream.behaviours["/v1/search"] = answers(
        echo, status, Location=f"/x?key={secret}", Link=f"</next?key={secret}>; rel=next", Vary="kept"
    )
    got, headers, body = account.api.ask("GET", "/v1/search")
    assert (got, headers.get("Vary")) == (status, "kept")
    assert secret not in json.dumps([headers, body])
    assert body == {"headers": {"Authorization": "Bearer " + "*" * len(secret)}}


def until_closed(server: Server, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def send_raw(server: Server, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes or the body is whole."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as client:
        client.sendall(data)
        received = b""
        while True:
            piece = client.recv(65_536)
            received += piece
            head, _, body = received.partition(b"\r\n\r\n")
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                None,
            )
            if not piece or (length is not None and len(body) >= length):
                return received
