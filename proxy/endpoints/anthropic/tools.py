"""The tools of Anthropic's API: the caller's own, and those that it carries out itself."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from proxy.endpoints.features import ALLOWANCE, Feature, hidden_input, rate_key, surcharged
from proxy.endpoints.kept import kept_features
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, Members, beginning, items_of, listed, members_of, patched
from proxy.endpoints.reading.repeats import has_repeats, repeats_within

_CUSTOM: Final = "custom"
USES_MAX: Final = 16
"""How often a tool is carried out in one call at most, where the caller does not say."""
MOST_USES: Final = 1_000

_CALLERS: Final = re.compile(
    r"(?:custom|(?:bash|text_editor|computer|memory|computer_toolset|browser_toolset)_[0-9]+"
    r"|tool_search_tool_[a-z0-9]+(?:_[0-9]+)?)\Z"
)
"""The types of tools that the caller carries out, or that only choose among others: they are but text."""
_ADVISERS: Final = "advisor_"
"""Tools that are another model, whose rates no card of this one has."""
_OWN: Final = frozenset(
    {
        "type", "name", "description", "input_schema", "cache_control", "defer_loading", "allowed_callers",
        "input_examples", "strict", "eager_input_streaming", "display_width_px", "display_height_px",
        "display_number", "enable_zoom", "max_characters", "configs",
    }
)  # fmt: skip
_SERVED: Final[Mapping[str, str | None]] = {"web_search": "web_searches", "web_fetch": None}
"""Tools that are carried out a number of times, each with the meter that it is billed by, if there is one."""


def tools(body: JsonBody, name: str) -> Iterator[Feature]:
    """What the tools of a request turn on; each is put back as it was read, and how often it may be used.

    Raises Refusal `invalid_value`.
    """
    read = [members_of(item) for item in items_of(body.members[name]) or ()]
    found = [tool for tool in read if tool is not None]
    if len(found) < len(read) or items_of(body.members[name]) is None:
        raise fields.wrong(body, name, "an array of objects")
    if has_repeats(memoryview(body.members[name]), body[name]):
        raise repeats_within(name)
    kept: list[bytes] = []
    for tool in found:
        kind = _kind(tool)
        refuse_other_cases(tool, _OWN | {"max_uses"}, f"{name}[]")
        changes: dict[str, bytes] = {}
        if not _CALLERS.match(kind) or not tool.keys() <= _OWN:
            feature, changes = _served(body, name, tool, kind)
            yield feature
        kept.append(patched(tool, changes))
    yield from kept_features(f"{name}[]", body.items_of(name))
    body.put(name, listed(kept))


def own_kinds(body: JsonBody, name: str) -> int:
    """How many tools are of a kind that Anthropic has the description of: the body does not show it."""
    tools = [tool.get("type") for tool in body.items_of(name) if isinstance(tool, dict)]
    return sum(1 for kind in tools if kind not in (None, _CUSTOM))


def _kind(tool: Members) -> str:
    """The type of a tool: without one it is the caller's own, and what is no string is of no known kind."""
    raw = tool.get("type")
    if raw is None or beginning(raw) == b"null":
        return _CUSTOM
    return fields.text_of(raw) or "?"


def _served(body: JsonBody, name: str, tool: Members, kind: str) -> tuple[Feature, dict[str, bytes]]:
    """A tool that is carried out at Anthropic, and what of it goes up changed."""
    where = f"{name}[].type: {kind[: fields.SHOWN_CHARS]}"
    served = next((word for word in _SERVED if kind.startswith(f"{word}_")), None)
    if kind.startswith(_ADVISERS):
        return Feature(where, name), {}
    if served is None:
        return surcharged(where, name, "server_tools"), {}
    uses, changes = USES_MAX, {"max_uses": b"%d" % USES_MAX}
    if (raw := tool.get("max_uses")) is not None and bytes(raw) != b"null":
        told = fields.whole_number(raw)
        if told is None or not 0 <= told <= MOST_USES:
            raise fields.wrong(body, name, f"tools whose `max_uses` is a whole number up to {MOST_USES}")
        uses, changes = told, {"max_uses": b"%d" % told}
    meter = _SERVED[served]
    if meter is None:
        return hidden_input(where, name, uses), changes
    needs = (rate_key(meter), ALLOWANCE)
    return Feature(where, name, needs, hidden={"input_tokens": uses}, allowed={meter: uses}), changes
