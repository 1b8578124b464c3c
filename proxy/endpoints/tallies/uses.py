"""What an upstream tells of its own tools beside the tokens: each maker has a place and names of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.metering.usage import sane_quantity

_SEARCHES: Final = "web_searches"
_QUERIES: Final = "num_search_queries"

_HOLDERS: Final[Mapping[str, Mapping[str, str]]] = {
    "tool_usage": {"web_search": _SEARCHES},
    "server_tool_use": {"web_search_requests": _SEARCHES},
    "server_tool_use_details": {"web_search_requests": _SEARCHES},
    "server_side_tool_usage_details": {
        "web_search_calls": _SEARCHES,
        "x_search_calls": _SEARCHES,
        "file_search_calls": "file_searches",
        "document_search_calls": "file_searches",
        "code_interpreter_calls": "containers",
        "image_generation_calls": "images",
    },
    "tool_calls_details": {"search_web": _SEARCHES},
}
"""The members that hold such figures, by the meter of each: of OpenAI, OpenRouter, xAI and Perplexity."""
_WITHIN: Final = ("num_requests", "invocation")
"""What a figure is called that is in an object of its own."""

TELLING: Final = frozenset({*_HOLDERS, _QUERIES})
"""The members of a usage object that tell of tools."""


def told_uses(name: str, value: object) -> Iterator[tuple[str, int | None]]:
    """The figures within a member of `TELLING`, summed up by meter; None for one that is no sane quantity.

    What is null, or not told, is nothing. That there was none is told as well.
    """
    if name == _QUERIES:
        yield from _figure(_SEARCHES, value)
        return
    if not isinstance(value, dict):
        return
    found: dict[str, int | None] = {}
    for member, meter in _HOLDERS[name].items():
        for _, quantity in _figure(meter, value.get(member)):
            before = found.get(meter, 0)
            found[meter] = None if quantity is None or before is None else before + quantity
    yield from found.items()


def _figure(meter: str, value: Any) -> Iterator[tuple[str, int | None]]:
    if isinstance(value, dict):
        value = next((value[name] for name in _WITHIN if name in value), None)
    if value is not None:
        yield meter, sane_quantity(value)
