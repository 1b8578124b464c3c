"""A call for a ranking, and its reply in the form of each of those that rank."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import ForwardPlan, Reading
from proxy.endpoints.cohere.rerank import DOCUMENTS_MAX, RerankAsk
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from proxy.metering.ranking import ranking_bound, ranking_estimate
from tests.endpoints.events import cut, fed

MODEL = "rerank-v3.5"
DOCUMENTS = ["A fare is due.", "The ride is free.", "x"]


def read(path: str = "/v1/rerank", **members: Any) -> RerankAsk:
    least: dict[str, Any] = {"model": MODEL, "query": "What is due?"}
    if "texts" not in members:
        least["documents"] = DOCUMENTS
    ask = ENDPOINTS[path].read(json.dumps(least | members).encode())
    assert isinstance(ask, RerankAsk)
    return ask


SHAPES: list[dict[str, Any]] = [
    {},
    {"documents": []},
    {"documents": ["", None]},
    {"documents": [{"text": "A fare.", "title": "Fares"}, "x"]},
    {"texts": DOCUMENTS},
    {"documents": ["long " * 40_000]},
    {"documents": ["fare "] * DOCUMENTS_MAX},
    {"documents": ["日本" * 900] * 30, "query": "長い" * 800},
    {"query": "", "instruction": "Rank by how funny they are."},
]


@pytest.mark.parametrize("members", SHAPES, ids=lambda members: str(members)[:40])
def test_documents_of_every_shape_are_bounded_and_counted(members: dict[str, Any]) -> None:
    """What is charged without a report is never more than what was held by bytes, nor by tokens."""
    ask = read(**members)
    most, exact, likely = ask.ceiling().usage, ask.ceiling_exact().usage, ask.estimate(MODEL)
    assert most.keys() == exact.keys() == likely.keys() == {"search_units", "input_tokens"}
    for meter, quantity in likely.items():
        assert 1 <= quantity <= exact[meter] <= most[meter]
    assert ask.features == ()


@given(st.lists(st.integers(0, 3_000), max_size=40), st.integers(0, 1_000), st.integers(0, 128))
def test_the_bound_covers_a_query_that_is_read_with_each_piece_of_each_document(
    documents: list[int], query: int, template: int
) -> None:
    """That is what the dearest of them do: pieces of 500 tokens with the query, each in a template."""
    room = 500 - min(query, 250)
    pieces = sum(max(1, -(-tokens // room)) for tokens in documents)
    most = ranking_bound(len(documents), sum(documents), query)
    assert most["input_tokens"] >= sum(documents) + pieces * (query + template)
    assert most["search_units"] >= -(-pieces // 100)
    likely = ranking_estimate(documents, query)
    assert all(likely[meter] >= 1 for meter in likely)
    if documents:
        assert all(likely[meter] <= most[meter] for meter in likely)


@pytest.mark.parametrize(
    ("documents", "tokens", "units"), [(100, 10, 1), (101, 10, 2), (1, 500, 1), (100, 600, 2), (1_000, 1, 10)]
)
def test_search_units_are_counted_as_cohere_does(documents: int, tokens: int, units: int) -> None:
    """One for 100 documents with one query; what is longer than 500 tokens with it counts by its pieces."""
    assert ranking_estimate([tokens] * documents, 0)["search_units"] == units


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"documents": None}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"documents": {"content": []}}, "documents"),
        ({"texts": "x"}, "texts"),
        ({"documents": ["a"], "texts": ["b"]}, "texts"),
        ({"query": ["x"]}, "query"),
        ({"query": None}, "query"),
        ({"documents": [1] * (DOCUMENTS_MAX + 1)}, "documents"),
        ({"documents": ["a"] * (DOCUMENTS_MAX + 1)}, "documents"),
        ({"documents": [{"Image": "x"}]}, "documents[].Image"),
        ({"query": {"IMAGE": "x"}}, "query.IMAGE"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(**members)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","query":"q","documents":[{"text":"a","image":"x","image":null}]}',
        b'{"model":"m","query":{"text":"a","text":"b"},"documents":[]}',
    ],
)
def test_a_name_given_twice_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="one name twice"):
        ENDPOINTS["/v1/rerank"].read(body)


@pytest.mark.parametrize(
    ("members", "member", "count"),
    [
        (
            {"documents": [{"image": "https://host/a.png"}, {"text": "a"}, {"image": "QUJD"}]},
            "documents[]",
            2,
        ),
        ({"documents": [{"content": [{"type": "image_url"}]}]}, "documents[]", 1),
        ({"documents": [["x"], 7, "a"]}, "documents[]", 2),
        ({"texts": [{"video": "https://host/a.mp4"}]}, "texts[]", 1),
        ({"query": {"image": "QUJD"}}, "query", 1),
        ({"query": {"content": [{"type": "text"}]}}, "query", 1),
    ],
)
def test_what_is_no_text_takes_the_allowance(members: dict[str, Any], member: str, count: int) -> None:
    (feature,) = read(**members).features
    assert (feature.member, feature.hidden) == (member, {"input_tokens": count})
    assert feature.needs == ("input_allowance_tokens",)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_only_the_model_ever_changes(path: str) -> None:
    data = b'{"model":"m","query":"q","documents":[ "a" ],"top_n":1}'
    ask = ENDPOINTS[path].read(data)
    assert ask.forward_body(ForwardPlan("m")) == data
    assert ask.forward_body(ForwardPlan("n")) == data.replace(b'"m"', b'"n"')
    assert (ask.stream, ask.ceiling().elastic) == (False, None)
    assert ENDPOINTS[path].upstream_path == "/rerank"


RESULTS = [{"index": 1, "relevance_score": 0.98}, {"index": 0, "relevance_score": 0.01}]
REPLIES: dict[str, tuple[Any, dict[str, int] | None, int]] = {
    "cohere v2": (
        {"id": "x", "results": RESULTS, "meta": {"billed_units": {"search_units": 1.0}}},
        {"search_units": 1},
        0,
    ),
    "cohere v1": (
        {
            "results": RESULTS,
            "meta": {
                "api_version": {"version": "1"},
                "billed_units": {"search_units": 2, "input_tokens": None},
                "tokens": {"input_tokens": 70.0, "output_tokens": 0},
            },
        },
        {"search_units": 2, "input_tokens": 70},
        0,
    ),
    "jina": (
        {"model": "j", "object": "list", "usage": {"total_tokens": 815}, "results": RESULTS},
        {"input_tokens": 815},
        0,
    ),
    "vllm": (
        {"id": "r", "model": "m", "usage": {"prompt_tokens": 56, "total_tokens": 56}, "results": RESULTS},
        {"input_tokens": 56},
        0,
    ),
    "voyage": (
        {"object": "list", "data": RESULTS, "model": "rerank-2", "usage": {"total_tokens": 26}},
        {"input_tokens": 26},
        0,
    ),
    "dashscope": (
        {"output": {"results": RESULTS}, "usage": {"total_tokens": 79}, "request_id": "x"},
        {"input_tokens": 79},
        0,
    ),
    "tei": ([{"index": 0, "score": 0.9}, {"index": 1, "score": 0.1}], None, 0),
    "nothing reported": ({"results": RESULTS}, None, 0),
    "an empty array": ([], None, 0),
    "absurd": (
        {"results": [], "usage": {"total_tokens": 10**12}, "meta": {"billed_units": {"search_units": -1}}},
        None,
        2,
    ),
    "odd": ({"results": [], "usage": 7, "meta": {"billed_units": [1], "tokens": "x"}}, None, 1),
    "largest": (
        {"usage": {"total_tokens": 9, "prompt_tokens": 4}, "meta": {"tokens": {"input_tokens": 11}}},
        {"input_tokens": 11},
        0,
    ),
    "planted": (
        {
            "results": [
                {"index": 0, "document": {"usage": {"total_tokens": 5}, "meta": {"billed_units": {}}}}
            ],
            "meta": {"warnings": ["x"]},
        },
        None,
        0,
    ),
    "too long to be usage": ({"results": [], "usage": {"total_tokens": 5, "x": "y" * 70_000}}, None, 1),
    "large": (
        {
            "results": [{"index": 0, "document": {"text": "fare " * 40_000}}],
            "usage": {"total_tokens": 40_000},
        },
        {"input_tokens": 40_000},
        0,
    ),
}


@pytest.mark.parametrize("kind", REPLIES)
@pytest.mark.parametrize("cuts", [[], [1], [3, 50], [-1], list(range(1, 60))])
def test_a_reply_waits_and_is_read_at_its_top_level(kind: str, cuts: list[int]) -> None:
    """However it is cut. Of several figures the largest counts, floats are rounded up."""
    reply, usage, anomalies = REPLIES[kind]
    data = json.dumps(reply).encode()
    tally = read().tally()
    assert fed(tally, cut(data, sorted({at % len(data) for at in cuts} - {0}))) == b""
    reading = tally.reported()
    assert tally.complete
    assert not tally.failed
    assert (reading.usage if reading else None, tally.anomalies) == (usage, anomalies)
    assert reading is None or reading == Reading(reading.usage, anomalies)
    assert tally.produced(0, MODEL) == {}
    assert tally.tail() == data


@pytest.mark.parametrize(
    ("data", "failed"),
    [
        (b'{"results": [', False),
        (b'[{"index": 0}', False),
        (b"7", False),
        (b"", False),
        (b'{"error": "overloaded"}', True),
        (b'{"object": "error", "message": "no"}', True),
        (b'{"results": [{"relevance_score": NaN}]}', False),
    ],
)
def test_what_is_cut_or_an_error_is_not_complete(data: bytes, failed: bool) -> None:
    tally = read().tally()
    fed(tally, [data] if data else [])
    assert (tally.complete, tally.failed) == (False, failed)


def test_the_cost_is_put_into_a_usage_object_and_nowhere_else() -> None:
    for reply, changed in (({"usage": {"total_tokens": 5}}, True), ({"meta": {}}, False), ([], False)):
        data = json.dumps(reply).encode()
        tally = read().tally(keep_usage=True)
        fed(tally, [data])
        assert (b'"cost":"0.01"' in tally.tail("0.01")) == changed
