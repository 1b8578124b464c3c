"""What an upstream carries out by itself within a call: tools of its own kind, searches, plugins."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.endpoints.features import Feature, surcharged
from proxy.endpoints.kept import kept_features, kept_within
from proxy.endpoints.members import is_on, refuse_other_cases
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import (
    LARGE_BYTES,
    JsonBody,
    Members,
    beginning,
    items_of,
    listed,
    members_of,
    patched,
)
from proxy.endpoints.reading.steps import holds

_SEARCH: Final = re.compile(rb'search|brows|"web"', re.IGNORECASE)

_FUNCTION: Final = frozenset(
    {
        "type", "function", "custom", "name", "description", "parameters", "strict", "format", "input_schema",
        "cache_control", "defer_loading", "allowed_callers", "input_examples", "eager_input_streaming",
    }
)  # fmt: skip
_KINDS: Final = frozenset({b'"function"', b'"custom"'})

USES_MAX: Final = 16
"""How often OpenRouter carries a tool out in one call at most, where the caller does not say."""
MOST_USES: Final = 1_000
_USES: Final = "max_uses"
_PARAMETERS: Final = "parameters"
_OPENROUTERS: Final = "openrouter:"


def server_tools(body: JsonBody, name: str) -> Iterator[Feature]:
    """The tools that the caller does not carry out itself. Each tool is put back as it was read."""
    tools = _tools(body.members[name])
    if tools is None:
        # It is no list of objects, so that it is nothing of the caller's own.
        yield from extras(body, name)
        return
    own = [at for at, tool in enumerate(tools) if not _is_function(tool, f"{name}[]")]
    uses = Counter[str]()
    for at in own:
        uses[_meter_of(tools[at])] += _bound_uses(body, name, tools[at])
    is_large = len(memoryview(body.members[name])) > LARGE_BYTES
    body.put(name, listed(patched(tool, {}) for tool in tools) if is_large else msgspec.json.encode(tools))
    for meter, count in Counter(_meter_of(tools[at]) for at in own).items():
        feature = surcharged(f"{name}[].type", name, meter, count)
        hidden = dict.fromkeys(feature.hidden, uses[meter])
        yield replace(feature, hidden=hidden, allowed={meter: max(0, uses[meter] - count)})
    if own:
        read = list(body.items_of(name))
        yield from kept_features(f"{name}[]", (read[at] for at in own))


def extras(body: JsonBody, name: str) -> Iterator[Feature]:
    """What an upstream adds to a call: each item of a list, or the value as one."""
    raw = body.members[name]
    if is_on(raw):
        for meter, count in Counter(map(_meter_of, items_of(raw) or [raw])).items():
            yield surcharged(name, name, meter, count)
        yield from kept_within(body, name)


def search(body: JsonBody, name: str) -> Iterator[Feature]:
    """A search of the web, however it is described."""
    if is_on(body.members[name]):
        yield surcharged(name, name, "web_searches")
        yield from kept_within(body, name)


def _tools(raw: msgspec.Raw) -> list[Members] | None:
    """The members of each tool; None for what is no list of objects."""
    tools = [members_of(item) for item in items_of(raw) or ()]
    found = [tool for tool in tools if tool is not None]
    return found if len(found) == len(tools) and beginning(raw).startswith(b"[") else None


def _is_function(tool: Members, where: str) -> bool:
    """Whether a tool is a function of the caller's, which is but text to the model."""
    if not tool.keys() <= _FUNCTION:
        refuse_other_cases(tool, _FUNCTION, where)
        return False
    kind = tool.get("type")
    return kind is None or bytes(kind) in _KINDS


def _bound_uses(body: JsonBody, name: str, tool: Members) -> int:
    """How often a tool may be carried out: as the tool says, or once. OpenRouter's always says it.

    Raises Refusal `invalid_value`.
    """
    within = members_of(tool[_PARAMETERS]) if _PARAMETERS in tool else None
    kind = fields.text_of(tool["type"]) if "type" in tool else None
    is_openrouters = kind is not None and kind.startswith(_OPENROUTERS)
    if within is None and is_openrouters:
        within = {}
    told = [fields.whole_number(holder[_USES]) for holder in (tool, within or {}) if _is_told(holder, name)]
    if not all(uses is not None and 0 <= uses <= MOST_USES for uses in told):
        raise fields.wrong(body, name, f"tools whose `{_USES}` is a whole number up to {MOST_USES}")
    most = max((uses for uses in told if uses is not None), default=USES_MAX if is_openrouters else 1)
    if within is not None:
        changes = {_USES: b"%d" % most} if is_openrouters else {}
        tool[_PARAMETERS] = msgspec.Raw(patched(within, changes))
    return most


def _is_told(holder: Members, name: str) -> bool:
    refuse_other_cases(holder, {_USES}, f"{name}[]")
    return _USES in holder and beginning(holder[_USES]) != b"null"


def _meter_of(value: msgspec.Raw | Members) -> str:
    raw = memoryview(value if isinstance(value, msgspec.Raw) else patched(value, {}))
    return "web_searches" if holds(raw, _SEARCH) else "server_tools"
