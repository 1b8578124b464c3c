"""The messages of Anthropic's API: which blocks their content may have, and what each may hold."""

from collections.abc import Iterator, Mapping
from typing import Final

from proxy.endpoints.content import ContentTable, Object, PartRule, is_address

_ANY_BLOCK: Final = frozenset({"type", "id", "cache_control", "citations", "caller", "toolset_name"})
_SOURCE: Final = frozenset({"type", "media_type", "data", "url", "content"})
_RESULT: Final = _ANY_BLOCK | {"tool_use_id", "content", "is_error"}


def _hides_in_image(block: Object) -> bool:
    """A picture takes no more than so much, wherever it is."""
    source = block.get("source")
    return not isinstance(source, dict) or source.get("type") not in ("base64", "url")


_REFERRING: Final = frozenset({"source", "file_id"})


_OF_THE_CALLER: Final = frozenset({"input", "input_schema", "input_examples"})
"""Members that hold what a caller has thought up: no name in them means anything to the API."""


def objects_in(value: object) -> Iterator[Object]:
    """Every object of a decoded value, at all depths, but for what a caller has thought up."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(member for name, member in item.items() if name not in _OF_THE_CALLER)
        elif isinstance(item, list):
            waiting.extend(item)


def _is_odd(block: object) -> bool:
    """Whether a block within a document is anything but text, or a picture that is bounded."""
    if not isinstance(block, dict) or block.get("type") not in ("text", "image"):
        return True
    return block["type"] == "image" and _hides_in_image(block)


def _listed(content: object) -> list[object]:
    return content if isinstance(content, list) else []


def _hides(_block: Object) -> bool:
    return True


def _hides_in_result(block: Object) -> bool:
    """Whether what a tool found has more in it than text: a document, a picture, a file."""
    return any(not _REFERRING.isdisjoint(each) for each in objects_in(block.get("content")))


def _hides_in_document(block: Object) -> bool:
    source = block.get("source")
    if not isinstance(source, dict):
        return True
    if source.get("type") == "content":
        return "data" in source or "url" in source or any(map(_is_odd, _listed(source.get("content"))))
    data = source.get("data")
    return source.get("type") not in ("base64", "text") or not isinstance(data, str) or is_address(data)


_TEXT: Final = PartRule(
    _ANY_BLOCK | {"text", "thinking", "signature", "data", "name", "input", "server_name"}
)
_NESTED: Final = PartRule(_RESULT, parts="content")
_BLOCKS: Final[Mapping[str, PartRule]] = {
    **dict.fromkeys(
        ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use"), _TEXT
    ),
    **dict.fromkeys(("tool_result", "mcp_tool_result"), _NESTED),
    "image": PartRule(_ANY_BLOCK | {"source", "transformations"}, {"source": _SOURCE}, _hides_in_image),
    "document": PartRule(
        _ANY_BLOCK | {"source", "title", "context"}, {"source": _SOURCE}, _hides_in_document
    ),
    "search_result": PartRule(_RESULT | {"source", "title"}, parts="content"),
    "tool_reference": PartRule(_ANY_BLOCK | {"tool_name"}),
    "compaction": PartRule(_ANY_BLOCK | {"content", "encrypted_content", "signature", "tool_changes"}),
    "fallback": PartRule(_ANY_BLOCK | {"from", "to", "trigger"}),
    "mcp_tool_listing": PartRule(_ANY_BLOCK | {"mcp_server_name", "tools"}),
    "container_upload": PartRule(_ANY_BLOCK | {"file_id"}, {}, _hides),
    # What these hold came from Anthropic, encrypted: it is as long as what is read of it.
    **dict.fromkeys(
        (
            "web_search_tool_result",
            "web_fetch_tool_result",
            "bash_code_execution_tool_result",
            "code_execution_tool_result",
            "text_editor_code_execution_tool_result",
            "tool_search_tool_result",
            "advisor_tool_result",
        ),
        PartRule(_RESULT, {}, _hides_in_result),
    ),
}

MESSAGE_CONTENT: Final = ContentTable(frozenset({"role", "content", "id", "type"}), _BLOCKS)
"""The messages, and the blocks of their content. What is in no row takes the rate card's allowance."""
