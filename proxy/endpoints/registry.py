"""The API families that are served: a new one is a module and a line here."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.base import Endpoint
from proxy.endpoints.openai.chat import ChatEndpoint
from proxy.endpoints.openai.completions import CompletionEndpoint
from proxy.endpoints.openai.embeddings import EmbeddingEndpoint

_FAMILIES: Final[tuple[Endpoint, ...]] = (ChatEndpoint(), CompletionEndpoint(), EmbeddingEndpoint())

ENDPOINTS: Final[Mapping[str, Endpoint]] = {endpoint.path: endpoint for endpoint in _FAMILIES}
"""The endpoints whose calls name a model, by path."""
