"""A configuration without a fault, to be spoiled one section at a time."""

from collections.abc import Callable

from proxy.config.load import Settings

LoadText = Callable[..., Settings]
"""Loads a configuration from its text, with the environment as keywords."""
Reported = Callable[..., list[str]]
"""The faults of a text, each as `path: what is wrong`."""

ADMIN_KEY = "c0ffee5b1e55ed0ddba11"
URL = "base_url: 'https://host'"
UPSTREAMS = "upstreams: {openai: {base_url: 'https://api.openai.com/v1'}}"
CHAT_CARD = """
rate_cards:
  chat:
    match: [gpt-4o*]
    rates: {input_tokens: {per_1m: '2.50'}, output_tokens: {per_1m: '10'}}
    max_output_tokens: 16384
  search:
    rates: {requests: {per_unit: '0.02'}}
"""
CHAT_ROUTE = "routes: [{models: [gpt-4o], targets: [{upstream: openai}]}]"
SECTIONS = {
    "admin": f"admin: {{key: {ADMIN_KEY}}}",
    "upstreams": UPSTREAMS,
    "rate_cards": CHAT_CARD,
    "routes": CHAT_ROUTE,
}

NAME = "a name: letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
"""What a name must be, as faults say it."""


def text_of(**sections: str) -> str:
    """A configuration without a fault, with `sections` in place of its own or beside them."""
    return "\n".join({**SECTIONS, **sections}.values())


def upstream(text: str) -> str:
    return f"upstreams: {{openai: {{{text}}}}}"


def route(text: str) -> str:
    return f"routes: [{{targets: [{{upstream: openai}}], {text}}}]"


def card(text: str) -> str:
    return f"rate_cards: {{chat: {{match: ['gpt-4o*'], {text}}}}}"
