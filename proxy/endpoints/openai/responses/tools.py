"""The tools of a response: the caller's own, and those that the upstream carries out itself."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from proxy.endpoints.features import ALLOWANCE, Feature, hidden_input, rate_key, surcharged
from proxy.endpoints.kept import kept_features
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, Members, items_of, listed, members_of, patched
from proxy.endpoints.reading.repeats import has_repeats, repeats_within

USES_MAX: Final = 16
"""How many tools are carried out in one call at most, where the caller does not say."""
MOST_USES: Final = 1_000
USES: Final = "max_tool_calls"

_FUNCTION: Final = frozenset(
    {
        "type", "name", "description", "parameters", "strict", "defer_loading", "allowed_callers",
        "output_schema", "format",
    }
)  # fmt: skip
_CALLERS: Final[Mapping[str, frozenset[str]]] = {
    "function": _FUNCTION,
    "custom": _FUNCTION,
    "namespace": frozenset({"type", "name", "description", "tools"}),
    "tool_search": frozenset({"type", "execution", "description", "parameters"}),
    "computer": frozenset({"type"}),
    "computer_use_preview": frozenset({"type", "display_height", "display_width", "environment"}),
    "local_shell": frozenset({"type"}),
    "apply_patch": frozenset({"type", "allowed_callers"}),
}
"""The kinds of tools that the caller carries out, or that only choose among others, with their members."""

_SERVED: Final[Mapping[str, str | None]] = {
    "web_search": "web_searches",
    "x_search": "web_searches",
    "openrouter:web_search": "web_searches",
    "file_search": "file_searches",
    "code_interpreter": "containers",
    "image_generation": "images",
    "mcp": None,
}
"""Kinds that the upstream carries out, each with the meter that it is billed by, if there is one."""
_NEW_CONTAINERS: Final[Mapping[str, frozenset[str]]] = {
    "container": frozenset({"auto"}),
    "environment": frozenset({"local", "container_auto"}),
}
"""Where a tool says in which container it works, with the types of those that are made for it."""
_DATED: Final = re.compile(r"(web_search)(?:_preview)?(?:_\d{4}_\d{2}_\d{2})?\Z")

_PICTURE: Final = frozenset(
    {
        "type", "model", "size", "quality", "background", "output_format", "output_compression", "moderation",
        "action", "input_fidelity", "input_image_mask", "partial_images",
    }
)  # fmt: skip
"""The members of a tool that makes pictures with which each of its results is one picture."""
_DECIDING: Final = ("model", "size", "quality")
_PICTURES: Final = "image_generation"
PARAMETERS: Final = tuple(f"{_PICTURES}.{name}" for name in _DECIDING)
"""The parameters that the price of pictures depends on."""
_NO_PICTURES: Final[Mapping[str, str]] = dict.fromkeys(PARAMETERS, "none")
_FORMATS: Final = frozenset({None, "png", "jpeg", "webp"})


def tools(body: JsonBody, name: str) -> Iterator[Feature]:
    """What the tools of a request turn on. Each tool is put back as it was read.

    Raises Refusal `invalid_value`.
    """
    items = items_of(body.members[name])
    read = [members_of(item) for item in items or ()]
    found = [tool for tool in read if tool is not None]
    if items is None or len(found) < len(read):
        raise fields.wrong(body, name, "an array of objects")
    if has_repeats(memoryview(body.members[name]), body[name]):
        raise repeats_within(name)
    if sum(1 for _ in _pictures(body)) > 1:
        raise fields.wrong(body, name, "an array with at most one tool that makes pictures")
    uses = fields.whole(body, USES, MOST_USES, least=1) or USES_MAX
    body.put(name, listed(patched(tool, {}) for tool in found))
    served = [feature for tool in found for feature in _turned_on(name, tool, uses)]
    yield from served
    yield from kept_features(f"{name}[]", body.items_of(name))
    if any(feature.allowed or feature.hidden for feature in served):
        # What they find is read as input, however many of them there are: all together have so many uses.
        yield hidden_input(f"{name}[].type", name, uses)


def carries_out(features: tuple[Feature, ...]) -> bool:
    """Whether the upstream carries out tools by itself, so that their uses have to be bounded."""
    return any(feature.allowed or (feature.name == "tools" and feature.hidden) for feature in features)


def parameters_of(body: JsonBody) -> Mapping[str, str]:
    """What decides the price of pictures that a tool makes, by the names in `PARAMETERS`."""
    tool = next(_pictures(body), None)
    if tool is None:
        return _NO_PICTURES
    told = {name: fields.text_of(tool[name]) if name in tool else None for name in _DECIDING}
    return {f"{_PICTURES}.{name}": text or "auto" for name, text in told.items()}


def _pictures(body: JsonBody) -> Iterator[Members]:
    """The tools that make pictures."""
    for item in items_of(body.members["tools"]) or () if "tools" in body else ():
        tool = members_of(item)
        if tool is not None and _kind(tool) == _PICTURES:
            yield tool


def _turned_on(name: str, tool: Members, uses: int) -> Iterator[Feature]:
    kind = _kind(tool)
    where = f"{name}[].type: {kind[: fields.SHOWN_CHARS]}"
    if (own := _CALLERS.get(kind)) is not None:
        refuse_other_cases(tool, own, f"{name}[]")
        if tool.keys() <= own and all(_is_function(inner) for inner in _within(tool)):
            return
    if kind == "shell" and _is_local(tool):
        return
    match = _DATED.match(kind)
    kind = match[1] if match else kind
    if _names_container(tool) or (kind == _PICTURES and not _is_one_picture(tool)):
        yield Feature(where, name)
    elif kind not in _SERVED:
        yield surcharged(where, name, "server_tools")
    elif (meter := _SERVED[kind]) is None:
        yield hidden_input(where, name, 0)
    else:
        yield Feature(where, name, (rate_key(meter), ALLOWANCE), allowed={meter: uses})


def _kind(tool: Members) -> str:
    raw = tool.get("type")
    return (fields.text_of(raw) if raw is not None else None) or "?"


def _within(tool: Members) -> list[msgspec.Raw]:
    inner = tool.get("tools")
    return [] if inner is None else items_of(inner) or [inner]


def _is_function(raw: msgspec.Raw) -> bool:
    tool = members_of(raw)
    return tool is not None and _kind(tool) in ("function", "custom") and tool.keys() <= _FUNCTION


def _is_local(tool: Members) -> bool:
    """Whether a shell is the caller's own: then there is no container of the upstream's."""
    raw = tool.get("environment")
    environment = members_of(raw) if raw is not None else None
    if environment is None or not tool.keys() <= {"type", "environment", "allowed_callers"}:
        return False
    return _kind(environment) == "local" and environment.keys() <= {"type", "skills"}


def _names_container(tool: Members) -> bool:
    """Whether a tool works in a container that is there already: nobody can tell whose that is."""
    for name, new in _NEW_CONTAINERS.items():
        if (raw := tool.get(name)) is not None:
            place = members_of(raw)
            if place is None or _kind(place) not in new:
                return True
    return False


def _is_one_picture(tool: Members) -> bool:
    """Whether each use makes one picture, as a rate card prices it: no frames, and no drawing by a model."""
    raw = tool.get("output_format")
    return tool.keys() <= _PICTURE and (fields.text_of(raw) if raw is not None else None) in _FORMATS
