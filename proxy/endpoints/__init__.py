"""API families, a module each, without I/O: how a request is read, what is sent on, what a reply used."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.base import Endpoint
from proxy.endpoints.chat import ChatEndpoint
from proxy.endpoints.completions import CompletionEndpoint
from proxy.endpoints.embeddings import EmbeddingEndpoint

_FAMILIES: Final[tuple[Endpoint, ...]] = (ChatEndpoint(), CompletionEndpoint(), EmbeddingEndpoint())

ENDPOINTS: Final[Mapping[str, Endpoint]] = {endpoint.path: endpoint for endpoint in _FAMILIES}
"""The endpoints whose calls name a model, by path."""
