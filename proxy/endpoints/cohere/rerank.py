"""POST /v1/rerank and /v2/rerank: documents ranked by a query, as Cohere, Jina, Voyage, vLLM and TEI do."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Headers
from proxy.endpoints.cohere.ranking import RankingUsage, read_ranking
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.openai.members import RERANK
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, read_body
from proxy.endpoints.reading.steps import items
from proxy.endpoints.tallies.whole import WholeTally
from proxy.errors import Refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.ranking import ranking_bound, ranking_estimate
from proxy.metering.tokens import COUNTER
from proxy.metering.tools import value_items
from proxy.metering.usage import Usage

DOCUMENTS_MAX: Final = 16_384
_NAMES: Final = ("documents", "texts")
"""What documents are called; `texts` is TEI's name."""
_QUERY: Final = ("query", "instruction")
"""What is read with each document."""


class RerankCall(msgspec.Struct, frozen=True, kw_only=True):
    """A ranking as Cohere's API takes it; a document may be an object with texts, too."""

    model: str
    query: str
    documents: list[Any]


class RerankAsk(msgspec.Struct, frozen=True):
    """One request for a ranking of the `count` documents in the member `name`."""

    body: JsonBody
    model: str
    name: str
    count: int
    stream: bool = False
    end_user: str = ""
    labels: str = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def ceiling(self) -> Ceiling:
        """The most by the bytes: a token has one at least."""
        query = sum(self.body.bytes_of(name) for name in _QUERY)
        return Ceiling(ranking_bound(self.count, self.body.bytes_of(self.name), query), either=True)

    def ceiling_exact(self) -> Ceiling:
        """The most by the tokens as counted. Raises VocabularyError when there is no vocabulary."""
        documents = sum(self._documents(self.model))
        counted = ranking_bound(self.count, documents, self._query(self.model))
        fixed = {meter: min(most, counted[meter]) for meter, most in self.ceiling().fixed.items()}
        return Ceiling(fixed, either=True)

    def estimate(self, model: str) -> Usage:
        """The tokens as counted, and the search units that these make. Raises VocabularyError."""
        return ranking_estimate(self._documents(model), self._query(model))

    def input_text_length(self) -> int:
        """The bytes of the documents and of the query."""
        return sum(self.body.bytes_of(name) for name in (self.name, *_QUERY))

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name."""
        renamed = plan.model != self.model
        return self.body.patched({"model": msgspec.json.encode(plan.model)} if renamed else {})

    def tally(self, *, keep_usage: bool = False) -> WholeTally:
        """A fresh tally."""
        return WholeTally(read=read_ranking, report=RankingUsage, has_output=False, keep_usage=keep_usage)

    def _documents(self, model: str) -> Iterator[int]:
        return (COUNTER.total(value_items(each), model) for each in self.body.items_of(self.name))

    def _query(self, model: str) -> int:
        return sum(COUNTER.total(value_items(self.body.get(name)), model) for name in _QUERY)


class RerankEndpoint:
    """Rankings. They change nothing at an upstream; the versions differ in members that cost nothing."""

    upstream_path = "/rerank"
    meters = (("search_units", "input_tokens"),)
    repeatable = True
    request = RerankCall
    streams = False

    def __init__(self, name: str, path: str, summary: str) -> None:
        self.name = name
        self.path = path
        self.summary = summary

    def read(self, body: bytes, headers: Headers = ()) -> RerankAsk:  # noqa: ARG002 - they cost nothing.
        """Read a request for a ranking. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        fields.require(request, "query", (b'"', b"{"), "a string or an object")
        name = _name_of(request)
        fields.require(request, name, (b"[",), "an array of documents")
        request.bound_items(name, DOCUMENTS_MAX)
        for each in (name, *_QUERY):
            request.bound_values(each)
        count = sum(1 for _ in items(memoryview(request.members[name])))
        return RerankAsk(
            request,
            model,
            name,
            count,
            end_user=fields.end_user(request),
            features=RERANK.features(request),
        )


def _name_of(request: JsonBody) -> str:
    """What the documents are called. Raises Refusal for both names: upstreams differ in which they read."""
    given = [name for name in _NAMES if name in request and beginning(request.members[name]) != b"null"]
    if len(given) > 1:
        raise Refusal("invalid_value", "A call has either `documents` or `texts`, not both.", param="texts")
    return given[0] if given else _NAMES[0]
