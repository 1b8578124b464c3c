"""The least that a request has to have, by endpoint."""

from typing import Any

LEAST: dict[str, dict[str, Any]] = {
    "chat.completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "completions": {"model": "m", "prompt": "Hi"},
    "embeddings": {"model": "m", "input": "Hi"},
    "responses": {"model": "m", "input": "Hi"},
    "responses.compact": {"model": "m", "input": "Hi"},
    "moderations": {"model": "m", "input": "Hi"},
    "rerank": {"model": "m", "query": "Hi", "documents": ["a"]},
    "rerank.v2": {"model": "m", "query": "Hi", "documents": ["a"]},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
}
