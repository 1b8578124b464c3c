"""The least that a request has to have, by endpoint."""

import json
from typing import Any

from proxy.endpoints.base import Ask
from proxy.endpoints.registry import ENDPOINTS, MEDIA
from tests.endpoints.forms import HEADERS, form_of

FORMS = {name for name, (takes, _) in MEDIA.items() if takes == "multipart/form-data"}
"""The endpoints whose requests are forms alone."""

LEAST: dict[str, dict[str, Any]] = {
    "chat.completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "completions": {"model": "m", "prompt": "Hi"},
    "embeddings": {"model": "m", "input": "Hi"},
    "responses": {"model": "m", "input": "Hi"},
    "responses.compact": {"model": "m", "input": "Hi"},
    "audio.speech": {"model": "m", "input": "Hi"},
    "audio.transcriptions": {"model": "m", "file": b"OggS"},
    "audio.translations": {"model": "m", "file": b"OggS"},
    "moderations": {"model": "m", "input": "Hi"},
    "rerank": {"model": "m", "query": "Hi", "documents": ["a"]},
    "rerank.v2": {"model": "m", "query": "Hi", "documents": ["a"]},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "images.generations": {"model": "m", "prompt": "A cat"},
    "images.edits": {"model": "m", "prompt": "A cat"},
}


def asked(name: str, **members: Any) -> Ask:
    """The least request on an endpoint of this name, with these members, read."""
    (endpoint,) = [each for each in ENDPOINTS.values() if each.name == name]
    request = LEAST[name] | members
    if name in FORMS:
        return endpoint.read(form_of(request), HEADERS)
    return endpoint.read(json.dumps(request).encode())
