"""Cohere's official SDK ranks documents with only base_url and key changed, and so do other clients."""

import json
from collections.abc import Iterator
from typing import Any

import cohere
import httpx2 as httpx
import pytest
from aiohttp import web
from cohere.core.api_error import ApiError

from tests.acceptance.callers import audited
from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers

UNIT_NANO = 2_000_000
DOCUMENTS = ["A fare is due.", "The ride is free.", "No fares are taken here."]
RESULTS = [{"index": 2, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.4}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Server]:
    """A process that prices some models by search units, and all others by tokens."""
    folder = tmp_path_factory.mktemp("rerank")
    config = config_for(upstream.port, folder)
    units = {"match": ["unit-*"], "rates": {"search_units": {"per_1k": "2.00"}}}
    config["rate_cards"] = {"units": units, **config["rate_cards"]}
    with running(config, folder) as started:
        yield started


@pytest.fixture
def account(server: Server) -> Account:
    return server.account("1.00")


def billed(units: float, **more: object) -> dict[str, Any]:
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": units}}
    return {"id": "r-1", "results": RESULTS, "meta": meta, **more}


def test_coheres_second_version_is_charged_by_search_units(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["unit-2"] = answers(billed(1.0))
    with cohere.ClientV2(api_key=account.secret, base_url=server.url, max_retries=0) as client:
        raw = client.with_raw_response.rerank(
            model="unit-2", query="What is due?", documents=DOCUMENTS, top_n=2, max_tokens_per_doc=512
        )
    assert [result.index for result in raw.data.results] == [2, 0]
    assert raw.data.meta is not None
    assert raw.headers["x-farebox-cost"] == "0.002"
    row = account.last()
    assert (row["endpoint"], row["basis"], row["usage"]) == ("rerank.v2", "reported", {"search_units": 1})
    assert upstream.received[-1]["top_n"] == 2
    assert audited(server) == []


def test_coheres_first_version_may_have_objects_for_documents(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["unit-1"] = answers(billed(2.0))
    with cohere.Client(api_key=account.secret, base_url=server.url, max_retries=0) as client:
        ranking = client.rerank(
            model="unit-1",
            query="What is due?",
            documents=[{"text": text, "title": "Fares"} for text in DOCUMENTS],
            rank_fields=["title", "text"],
            return_documents=False,
        )
    assert ranking.results[0].relevance_score == 0.9
    row = account.last()
    assert (row["endpoint"], row["charged"]) == ("rerank", "0.004")


def test_a_call_without_funds_is_refused_before_it_is_forwarded(
    server: Server, upstream: ScriptedUpstream
) -> None:
    """The hold is for what the documents can come to, and the SDK raises what is said of it."""
    poor = server.account("0.001")
    upstream.behaviours["unit-poor"] = answers(billed(1.0))
    sent = len(upstream.received)
    with (
        cohere.ClientV2(api_key=poor.secret, base_url=server.url) as client,
        pytest.raises(ApiError) as caught,
    ):
        client.rerank(model="unit-poor", query="What is due?", documents=DOCUMENTS)
    assert caught.value.status_code == 402
    body: Any = caught.value.body
    assert (body["error"]["code"], body["error"]["required"]) == ("request_exceeds_balance", "0.002")
    assert len(upstream.received) == sent


FORMS: dict[str, tuple[dict[str, Any], Any, dict[str, int], str]] = {
    "jina": (
        {"query": "q", "documents": DOCUMENTS, "top_n": 2, "return_documents": True},
        {"model": "j", "object": "list", "usage": {"total_tokens": 30}, "results": RESULTS},
        {"input_tokens": 30},
        "reported",
    ),
    "voyage": (
        {"query": "q", "documents": DOCUMENTS, "top_k": 2, "truncation": True},
        {"object": "list", "data": RESULTS, "usage": {"total_tokens": 31}},
        {"input_tokens": 31},
        "reported",
    ),
    "vllm": (
        {"query": "q", "documents": DOCUMENTS, "truncate_prompt_tokens": 99, "user": "someone"},
        {"id": "r", "usage": {"prompt_tokens": 32, "total_tokens": 32}, "results": RESULTS},
        {"input_tokens": 32},
        "reported",
    ),
    "tei": (
        {"query": "q", "texts": DOCUMENTS, "raw_scores": True, "return_text": True, "truncate": True},
        [{"index": 2, "score": 0.9, "text": DOCUMENTS[2]}],
        {"input_tokens": 16 + 3 * 1},
        "counted",
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("indent", [None, 3])
def test_a_ranking_arrives_byte_for_byte_and_is_charged_by_its_tokens(
    server: Server, account: Account, upstream: ScriptedUpstream, form: str, indent: int | None
) -> None:
    """What reports nothing is counted: the documents, and the query once with each."""
    asked, reply, usage, basis = FORMS[form]
    sent = json.dumps(reply, indent=indent).encode()
    upstream.behaviours[f"rank-{form}"] = answers(sent)
    got = httpx.post(
        f"{server.url}/v1/rerank",
        json={"model": f"rank-{form}", **asked},
        headers={"Authorization": f"Bearer {account.secret}"},
    )
    assert (got.status_code, got.content) == (200, sent)
    row = account.last()
    assert (row["usage"], row["basis"], row["outcome"]) == (usage, basis, "complete")
    assert account.nano("balance") == 10**9 - 1_000 * usage["input_tokens"]
    assert upstream.received[-1] == {"model": f"rank-{form}", **asked}


@pytest.mark.parametrize(
    ("status", "reply", "outcome"),
    [
        (429, {"message": "slow down"}, "upstream_refused"),
        (200, b'{"results": [{"index": 0', "upstream_failed"),
        (200, {"error": "overloaded"}, "upstream_failed"),
    ],
)
def test_what_is_no_ranking_costs_nothing(
    server: Server,
    account: Account,
    upstream: ScriptedUpstream,
    status: int,
    reply: dict[str, Any] | bytes,
    outcome: str,
) -> None:
    upstream.behaviours["unit-none"] = answers(reply, status)
    body = {"model": "unit-none", "query": "q", "documents": DOCUMENTS}
    account.api.ask("POST", "/v2/rerank", body)
    row = account.last()
    assert (row["outcome"], row["charged"], row["basis"]) == (outcome, "0.00", "void")


def test_a_picture_by_its_address_is_refused_where_no_allowance_is_priced(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    async def never(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        raise AssertionError("it was forwarded")

    upstream.behaviours["unit-picture"] = never
    body = {"model": "unit-picture", "query": "q", "documents": [{"image": "https://host/a.png"}]}
    status, _, refused = account.api.ask("POST", "/v1/rerank", body)
    assert (status, refused["error"]["code"], refused["error"]["param"]) == (
        403,
        "unpriced_feature",
        "documents[]",
    )
    assert refused["error"]["rate_card_keys"] == ["input_allowance_tokens"]
