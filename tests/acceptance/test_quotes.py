"""A quote tells what a call would cost, on every endpoint, and neither makes it nor holds anything."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.endpoints.registry import ENDPOINTS
from tests.acceptance.callers import audited
from tests.acceptance.harness import Account, Server, config_for, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion
from tests.endpoints.forms import HEADERS, form_of
from tests.endpoints.least import FORMS, LEAST

ASKED = {"n": 2, "max_completion_tokens": 100}
METERS = {
    "images": "0.04",
    "characters": "0.00001",
    "audio_seconds": "0.0001",
    "video_seconds": "0.1",
    "search_units": "0.002",
}
NOTHING: dict[str, Any] = {"data": [], "model": "m"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Server]:
    """A process that has a price for whatever is used, and one for pictures by their quality."""
    folder = tmp_path_factory.mktemp("quotes")
    config = config_for(upstream.port, folder)
    chat = config["rate_cards"]["chat"]
    chat["rates"] |= {meter: {"per_unit": price} for meter, price in METERS.items()}
    dear = {"when": {"quality": "high"}, "rates": {"images": {"per_unit": "0.12"}}}
    pictures = {"match": ["picture"], "rates": {"images": {"per_unit": "0.04"}}, "cases": [dear]}
    config["rate_cards"] = {"pictures": pictures, **config["rate_cards"]}
    with running(config, folder) as started:
        yield started


def quoted(account: Account, path: str, body: object, **headers: str) -> tuple[int, Any]:
    status, _, answer = account.api.ask("POST", f"/v1/billing/quote?path={path}", body, headers)
    return status, answer


@pytest.mark.parametrize("name", sorted(LEAST))
def test_each_endpoint_has_quotes(server: Server, upstream: ScriptedUpstream, name: str) -> None:
    """Also for who cannot pay the call. Nothing is forwarded, and nothing is left on the books."""
    account, before = server.account("0.000000001"), len(upstream.received)
    path = next(path for path, endpoint in ENDPOINTS.items() if endpoint.name == name)
    if name in FORMS:
        status, quote = quoted(account, path, form_of(LEAST[name]), **dict(HEADERS))
    else:
        status, quote = quoted(account, path, LEAST[name])
    assert (status, quote.get("object"), quote.get("endpoint")) == (200, "quote", name), quote
    assert nano(quote["floor"]["total"]) <= nano(quote["ceiling"]["total"]) <= nano(quote["hold"])
    assert quote["exact"] == (quote["floor"]["total"] == quote["hold"])
    for priced in (quote["floor"], quote["ceiling"]):
        assert sum(nano(line["amount"]) for line in priced["lines"]) == nano(priced["total"])
    assert (account.requests(), account.nano("held"), len(upstream.received)) == ([], 0, before)


@pytest.mark.parametrize(("quality", "price"), [("high", "0.24"), ("low", "0.08")])
def test_a_fixed_price_is_told_exactly_and_is_what_the_call_costs(
    server: Server, upstream: ScriptedUpstream, quality: str, price: str
) -> None:
    upstream.behaviours["picture"] = answers({"created": 1, "data": [{"b64_json": "AAAA"}] * 2})
    account = server.account("1.00")
    body = {"model": "picture", "prompt": "A cat", "n": 2, "quality": quality}
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as client:
        quote = client.post(
            "/billing/quote",
            cast_to=object,
            body=body,
            options={"params": {"path": "/v1/images/generations"}},
        )
        assert isinstance(quote, dict)
        assert (quote["exact"], quote["hold"], quote["floor"]["total"]) == (True, price, price)
        client.images.generate(model="picture", prompt="A cat", n=2, quality=quality)  # type: ignore[call-overload]
    assert account.last()["total"] == price
    assert account.last()["price_id"] == quote["price_id"]


def test_what_depends_on_the_answer_is_told_at_least_and_at_most(
    server: Server, upstream: ScriptedUpstream
) -> None:
    account = server.account("1.00")
    body = {**LEAST["chat.completions"], **ASKED}
    status, quote = quoted(account, "/v1/chat/completions", body)
    assert (status, quote["exact"]) == (200, False)
    assert quote["ceiling"]["usage"]["output_tokens"] == 200
    for output, edge, more_nano in ((1, "floor", 2_000), (200, "ceiling", 0)):
        prompt = quote[edge]["usage"]["input_tokens"]
        upstream.behaviours["m"] = answers(completion(prompt=prompt, output=output))
        account.api.post("/v1/chat/completions", body)
        assert nano(account.last()["total"]) == nano(quote[edge]["total"]) + more_nano
    assert nano(quote["floor"]["total"]) < nano(quote["ceiling"]["total"]) == nano(quote["hold"])


def test_a_tool_has_quotes_by_its_path_and_method(server: Server, upstream: ScriptedUpstream) -> None:
    account, before = server.account("1.00"), len(upstream.received)
    for query in ("/v1/search&method=GET", "/v1/search%3Fq%3Dcats&method=GET", "/v1/search"):
        status, quote = quoted(account, query, {"q": "cats"})
        assert (status, quote["billing_type"], quote["exact"]) == (200, "per_call", True)
        assert (quote["hold"], quote["floor"]["usage"]) == ("0.02", {"requests": 1})
    assert len(upstream.received) == before


REFUSED = [
    ("/v1/nothing", {}, 404, "not_found"),
    ("/v1/../v1/chat/completions", {}, 400, "invalid_path"),
    ("/v1/chat/completions", {"messages": []}, 400, "invalid_value"),
    ("/v1/chat/completions&method=GET", {}, 405, "method_not_allowed"),
    ("/v1/chat/completions&method=HEAD", {}, 400, "invalid_value"),
    ("/v1/chat/completions&mode=x", {}, 400, "invalid_value"),
    ("", {}, 400, "invalid_value"),
    ("/v1/organization/admin_api_keys", {}, 403, "endpoint_denied"),
    (
        "/v1/chat/completions",
        {**LEAST["chat.completions"], "web_search_options": {}},
        403,
        "unpriced_feature",
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), REFUSED)
def test_what_the_call_would_be_refused_for_refuses_the_quote(
    server: Server, path: str, body: object, status: int, code: str
) -> None:
    found, answer = quoted(server.account("1.00"), path, body)
    assert (found, answer["error"]["code"]) == (status, code), answer


def test_a_quote_is_for_keys_that_may_make_the_call(server: Server) -> None:
    body = LEAST["chat.completions"]
    narrow = server.key_of(server.account("1.00").id, models=["gpt-*"])
    status, answer = quoted(narrow, "/v1/chat/completions", body)
    assert (status, answer["error"]["code"]) == (403, "model_not_allowed")
    narrow.api.key = "sk-fbx-unknown"
    status, answer = quoted(narrow, "/v1/chat/completions", body)
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert audited(server) == []
