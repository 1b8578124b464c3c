"""The demo upstream: canned answers in OpenAI's shapes, to try Farebox without a key or a network."""

from proxy.demo.server import build_demo, demo_upstream

__all__ = ["build_demo", "demo_upstream"]
