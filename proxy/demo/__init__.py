"""The demo upstream: a local server shaped like OpenAI's API, to try Farebox without a key or a network."""

from proxy.demo.server import CHAT_MODEL, EMBEDDING_MODEL, build_demo, demo_upstream

__all__ = ["CHAT_MODEL", "EMBEDDING_MODEL", "build_demo", "demo_upstream"]
