"""The API families that are served: a new one is a module and a line here."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.anthropic.members import MESSAGES
from proxy.endpoints.anthropic.messages import CountEndpoint, MessageEndpoint
from proxy.endpoints.base import Family
from proxy.endpoints.cohere.rerank import RerankEndpoint
from proxy.endpoints.members import MemberTable
from proxy.endpoints.openai.chat import ChatEndpoint
from proxy.endpoints.openai.completions import CompletionEndpoint
from proxy.endpoints.openai.embeddings import EmbeddingEndpoint
from proxy.endpoints.openai.members import CHAT, COMPLETION, EMBEDDING, MODERATION, RERANK
from proxy.endpoints.openai.moderations import FREE_MODELS, ModerationEndpoint
from proxy.endpoints.openai.responses.members import COMPACTION, RESPONSE
from proxy.endpoints.openai.responses.responses import (
    CompactionEndpoint,
    InputTokensEndpoint,
    ResponseEndpoint,
)
from proxy.endpoints.openai.responses.tools import PARAMETERS as RESPONSE_PARAMETERS

_FAMILIES: Final[tuple[Family, ...]] = (
    *(ChatEndpoint(), CompletionEndpoint(), EmbeddingEndpoint()),
    *(ResponseEndpoint(), CompactionEndpoint(), InputTokensEndpoint()),
    *(MessageEndpoint(), CountEndpoint()),
    ModerationEndpoint(),
    RerankEndpoint("rerank", "/v1/rerank", "Documents ranked by a query, charged when the ranking has come."),
    RerankEndpoint("rerank.v2", "/v2/rerank", "The same as the second version of Cohere's API has it."),
)

ENDPOINTS: Final[Mapping[str, Family]] = {endpoint.path: endpoint for endpoint in _FAMILIES}
"""The endpoints whose calls name a model, by path."""

ENDPOINT_NAMES: Final = tuple(endpoint.name for endpoint in _FAMILIES)
"""What they are called in configurations, in the same order."""

TABLES: Final[Mapping[str, MemberTable]] = {
    "chat.completions": CHAT,
    "completions": COMPLETION,
    "embeddings": EMBEDDING,
    "responses": RESPONSE,
    "responses.compact": COMPACTION,
    "messages": MESSAGES,
    "moderations": MODERATION,
    "rerank": RERANK,
    "rerank.v2": RERANK,
}
"""The members of their calls, by endpoint; a call that is free has none that matters."""

PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "responses": RESPONSE_PARAMETERS,
    "responses.compact": RESPONSE_PARAMETERS,
}
"""The parameters of calls that a price may depend on, by endpoint: what `Ask.parameters` can have."""

FREE: Final[Mapping[str, tuple[str, ...]]] = {"moderations": FREE_MODELS}
"""Globs of models that are free where no rate card prices them, by endpoint: their makers charge nothing."""


def forward_fault(name: str) -> str | None:
    """Why an upstream cannot forward a member by this name, or None."""
    for table in TABLES.values():
        row = table.rows.get(name)
        if row is not None and row.treatment == "bounded":
            return "is read by Farebox, and goes up as it was read"
    return None
