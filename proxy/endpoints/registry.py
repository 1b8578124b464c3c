"""The API families that are served: a new one is a module and a line here."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.base import Family
from proxy.endpoints.openai.chat import ChatEndpoint
from proxy.endpoints.openai.completions import CompletionEndpoint
from proxy.endpoints.openai.embeddings import EmbeddingEndpoint

_FAMILIES: Final[tuple[Family, ...]] = (ChatEndpoint(), CompletionEndpoint(), EmbeddingEndpoint())

ENDPOINTS: Final[Mapping[str, Family]] = {endpoint.path: endpoint for endpoint in _FAMILIES}
"""The endpoints whose calls name a model, by path."""

ENDPOINT_NAMES: Final = tuple(endpoint.name for endpoint in _FAMILIES)
"""What they are called in configurations, in the same order."""
