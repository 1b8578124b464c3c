"""Reads what is answered to a request for a response: the events of a stream, and whole responses.

Text, reasoning and the arguments of tools are output. What a tool found that the upstream carried out is not:
it is read as input. What is told piece by piece is told again as a whole, and counts once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from proxy.endpoints.openai.responses.items import is_shown
from proxy.endpoints.openai.responses.usage import ResponseUsage
from proxy.endpoints.tallies.members import Choice, Function, Message, OddPart, Part, ToolCall
from proxy.endpoints.tallies.part import json_of, object_of
from proxy.endpoints.tallies.payload import Payload, payload_of
from proxy.endpoints.tallies.sighted import Sighting, State, is_id

Object = Mapping[str, Any]
_Key = int | str

_END: Final[Mapping[str, str]] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.cancelled": "cancelled",
    "response.failed": "failed",
    "response.done": "completed",
}
"""The events that end a stream, each with the response as a whole."""
_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
"""The events that tell of a response before anything of it is there."""
_RUNNING: Final = frozenset({"queued", "in_progress"})
UNREPORTED: Final = "output_tokens"
"""What a response has produced that has ended without telling its usage."""
KEPT_MAX: Final = 256
"""How many items of a response can be named by later requests."""
_CODE: Final = "code_interpreter_call"
_PICTURE: Final = "image_generation_call"
_SOUND: Final = "response.audio.delta"
_CALLS: Final[Mapping[str, str]] = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "mcp_call": "arguments",
    "mcp_approval_request": "arguments",
}
"""Items that call a tool by its name, with the member that the tool gets."""
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "message": ("content",),
    "reasoning": ("content", "summary"),
    "code_interpreter_call": ("code",),
    "computer_call": ("action", "actions"),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation",),
    "tool_search_call": ("arguments",),
    "program": ("code",),
}
"""Items of which some members are output. Of reasoning, the first that there is."""
_NO_OUTPUT: Final = frozenset(
    {
        "web_search_call", "file_search_call", "image_generation_call", "mcp_list_tools",
        "mcp_approval_response", "compaction", "additional_tools", "program_output", "x_search_call",
    }
)  # fmt: skip
"""Items that say what the upstream did or found, beside those whose type ends as below."""
_FOUND: Final = ("_output", "_results")
_BILLED: Final[Mapping[str, str]] = {
    "web_search_call": "web_searches",
    "x_search_call": "web_searches",
    "file_search_call": "file_searches",
    _PICTURE: "images",
    _CODE: "containers",
}
_NOT_DONE: Final = frozenset({"failed", "in_progress", "searching", "generating", "interpreting", "calling"})
_PLAIN_PARTS: Final[Mapping[str, str]] = {
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}


class ResponsePart(OddPart, frozen=True, gc=False, kw_only=True):
    """An event of a stream, or a whole response. `is_last` for the event that ends a stream.

    `tool_usage` is what the upstream tells of its own tools.
    """

    is_last: bool = False
    tool_usage: Any = None

    @property
    def usages(self) -> tuple[Any, ...]:
        """The response's own usage, and that of tools."""
        return (self.usage,) if self.tool_usage is None else (self.usage, {"tool_usage": self.tool_usage})

    @property
    def ends(self) -> bool:
        """Whether it is the end itself."""
        return self.is_last


class ResponseReader:
    """Reads the parts of one reply, in their order: gives what each adds, None for what is no JSON object."""

    def __init__(self) -> None:
        self._id = self._status = ""
        self._kept: list[str] = []
        self._unshown: list[str] = []
        self._told: set[_Key] = set()
        self._named: set[_Key] = set()
        self._done: set[_Key] = set()
        self._billed: set[_Key] = set()
        self._ended = 0
        self._containers: set[str] = set()
        self._begun_id = ""

    def __call__(self, data: bytes) -> Part | None:
        """Read one part."""
        value = object_of(data)
        if value is None:
            return None
        kind = value.get("type")
        return self._event(value, kind) if isinstance(kind, str) else self._whole(value)

    @property
    def sighting(self) -> Sighting | None:
        """The response, with the items of its output; None before its end."""
        state: State = "running" if self._status in _RUNNING else "complete"
        within = tuple(dict.fromkeys([*self._kept, *self._unshown]))
        return Sighting(self._id, state, within=within) if self._id else None

    @property
    def begun(self) -> Sighting | None:
        """The response as soon as its stream has told its id."""
        return Sighting(self._begun_id, "running") if self._begun_id else None

    @property
    def unkept(self) -> Sighting | None:
        """The same of one that was not to be stored: only what requests have to name all the same."""
        return Sighting("", "complete", within=tuple(self._unshown)) if self._unshown else None

    def _event(self, event: Object, kind: str) -> Part:
        if kind in _END:
            return self._end(event, kind)
        if kind in _BEGINNINGS and not self._begun_id:
            self._begun_id, *_ = [*_ids([event.get("response")]), ""]
        if (read := _EVENTS.get(kind)) is not None:
            return read(self, event)
        if not kind.startswith("response."):
            # An error may come in another's form, from a server in between.
            return OddPart(error=event.get("error"), type="unknown")
        return self._delta(event) if kind.endswith(".delta") else ResponsePart(choices=[])

    def _whole(self, value: Object) -> Part:
        """A response that was not streamed; anything else has no output of this form."""
        if not isinstance(value.get("output"), list):
            return OddPart(error=value.get("error"), usage=value.get("usage"))
        return self._response(value, str(value.get("status") or "completed"), is_last=False)

    def _end(self, event: Object, kind: str) -> Part:
        response = event.get("response")
        if not isinstance(response, dict):
            response = {}
        return self._response(response, _END[kind], is_last=True)

    def _response(self, response: Object, status: str, *, is_last: bool) -> Part:
        """All of a response: what was not told before adds to it."""
        found = _Found()
        output = response.get("output")
        self._id, *_ = [*_ids([response]), ""]
        self._status = status
        self._kept = _ids(output)[:KEPT_MAX]
        self._unshown = _unshown(output)[:KEPT_MAX]
        for index, item in enumerate(output if isinstance(output, list) else ()):
            self._add_item(_keys({"output_index": index, "item": item}), item, found)
        if status == "failed":
            error = response.get("error") or True
        else:
            error = None
            found.choices.append(Choice(finish_reason=status))
        return found.part(
            usage=response.get("usage"),
            tool_usage=response.get("tool_usage"),
            error=error,
            is_last=is_last,
        )

    def _item_begun(self, event: Object) -> Part:
        """A call of a tool has its name from the beginning."""
        item, keys, found = event.get("item"), _keys(event), _Found()
        kind = item.get("type") if isinstance(item, dict) else None
        is_call = isinstance(kind, str) and kind in _CALLS
        name = item.get("name") if is_call and isinstance(item, dict) else None
        if isinstance(name, str) and self._named.isdisjoint(keys):
            self._named.update(keys)
            found.call(name, None)
        if isinstance(item, dict) and kind == _CODE and isinstance(item.get("container_id"), str):
            found.uses += self._uses(keys, _CODE, item)
        return found.part()

    def _item_ended(self, event: Object) -> Part:
        found = _Found()
        self._add_item(self._keys_of(event), event.get("item"), found)
        self._ended += 1
        return found.part()

    def _picture_shown(self, event: Object) -> Part:
        """Who has seen a part of a picture has had it made, also where the rest does not come."""
        found = _Found()
        found.uses += self._uses(_keys(event), _PICTURE, event)
        return found.part()

    def _keys_of(self, event: Object) -> tuple[_Key, ...]:
        """What tells which item an event is about; where nothing does, the one after those that ended."""
        return _keys(event) or (self._ended,)

    def _delta(self, event: Object) -> Part:
        """More of an item's text, or data."""
        self._told.update(self._keys_of(event))
        delta = event.get("delta")
        if event.get("type") == _SOUND:
            return _Found().data({"audio": delta}).part()
        if isinstance(delta, str):
            return ResponsePart(choices=[Choice(delta=Message(content=delta))])
        return _Found().data({"delta": delta}).part()

    def _found_by_tool(self, _event: Object) -> Part:
        """What a tool found is read as input."""
        return ResponsePart(choices=[])

    def _error(self, event: Object) -> Part:
        return ResponsePart(error=event.get("error") or True)

    def _add_item(self, keys: tuple[_Key, ...], item: object, found: "_Found") -> None:
        """An item as a whole: the upstream's own work, and what of its output was not told yet."""
        kind = item.get("type") if isinstance(item, dict) else None
        if isinstance(item, dict) and isinstance(kind, str) and _is_carried_out(item):
            found.uses += self._uses(keys, kind, item)
        if not self._done.isdisjoint(keys):
            return
        self._done.update(keys)
        if not isinstance(item, dict):
            found.data({"output": item})
            return
        is_named = not self._named.isdisjoint(keys)
        if self._told.isdisjoint(keys):
            _add_output(kind, item, found, is_named=is_named)
        elif isinstance(kind, str) and kind in _CALLS and not is_named:
            found.call(item.get("name"), None)

    def _uses(self, keys: tuple[_Key, ...], kind: str, item: Object) -> list[str]:
        """The meter of a tool that was carried out, once for each item; none for all others."""
        if kind not in _BILLED or not self._billed.isdisjoint(keys) or _is_opening(kind, item):
            return []
        self._billed.update(keys)
        if kind == _CODE:
            container = str(item.get("container_id"))
            if container in self._containers:
                return []
            self._containers.add(container)
        return [_BILLED[kind]]


def _is_carried_out(item: Object) -> bool:
    """Whether a tool has done its work. A picture that is there is made, whatever its item says."""
    return str(item.get("status")) not in _NOT_DONE or (
        item.get("type") == _PICTURE and bool(item.get("result"))
    )


def _is_opening(kind: str, item: Object) -> bool:
    """Whether a page was only opened, or looked through: that is no search."""
    action = item.get("action")
    return kind == "web_search_call" and isinstance(action, dict) and action.get("type", "search") != "search"


class _Found:
    """What is found in a part."""

    def __init__(self) -> None:
        self.choices: list[Choice] = []
        self.payloads: list[Payload] = []
        self.uses: list[str] = []

    def text(self, text: str) -> None:
        self.choices.append(Choice(delta=Message(content=text)))

    def call(self, name: object, given: str | None) -> None:
        name = name if isinstance(name, str) else None
        self.choices.append(Choice(delta=Message(tool_calls=[ToolCall(Function(name, given))])))

    def data(self, members: Object) -> "_Found":
        self.payloads.append(payload_of(members.items()))
        return self

    def part(self, **members: Any) -> ResponsePart:
        return ResponsePart(
            choices=self.choices,
            payloads=tuple((0, payload) for payload in self.payloads if payload),
            uses=tuple(self.uses),
            **members,
        )


def _add_output(kind: object, item: Object, found: _Found, *, is_named: bool) -> None:
    if not isinstance(kind, str):
        found.data(item)
    elif (given := _CALLS.get(kind)) is not None:
        name, value = item.get("name"), item.get(given)
        text = value if isinstance(value, str) or value is None else json_of(value)
        found.call(None if is_named else name, text)
    elif (names := _TEXTS.get(kind)) is not None:
        # A conversation that was made shorter begins with what its user has said.
        for name in names if item.get("role") in (None, "assistant") else ():
            if value := item.get(name):
                _add_value(name, value, found)
                if kind == "reasoning":
                    break
    elif kind not in _NO_OUTPUT and not kind.endswith(_FOUND):
        found.data(item)


def _add_value(name: str, value: object, found: _Found) -> None:
    """A text, the parts of a content, or what a model has made up as JSON."""
    if isinstance(value, str):
        found.text(value)
    elif name not in ("content", "summary"):
        found.text(json_of(value))
    elif not isinstance(value, list):
        found.data({name: value})
    else:
        for part in value:
            field = _PLAIN_PARTS.get(str(part.get("type"))) if isinstance(part, dict) else None
            text = part.get(field) if isinstance(part, dict) and field is not None else None
            if isinstance(text, str):
                found.text(text)
            else:
                found.data({name: part})


def _keys(event: Object) -> tuple[_Key, ...]:
    """What tells which item an event is about: its place, its id, or both."""
    item = event.get("item")
    told = (
        event.get("output_index"),
        event.get("item_id"),
        item.get("id") if isinstance(item, dict) else None,
    )
    return tuple(key for key in told if type(key) is int or type(key) is str)


def read_response(data: bytes) -> Sighting | None:
    """What the JSON of a response says of it, and of what it used once it has ended; None for anything else.

    One that has failed is charged as far as that is reported.
    """
    reader, report = ResponseReader(), ResponseUsage()
    part = reader(data)
    sighting = reader.sighting
    if part is None or sighting is None or sighting.state == "running":
        return sighting
    for usage in part.usages:
        report.add(usage)
    used = report.reading()
    if used is None:
        return replace(sighting, state="failed") if part.failed else replace(sighting, unreported=UNREPORTED)
    seen: dict[str, int] = {}
    for meter in part.uses if isinstance(part, OddPart) else ():
        seen[meter] = seen.get(meter, 0) + 1
    return replace(sighting, used=replace(used, usage={**seen, **used.usage}))


def _unshown(output: object) -> list[str]:
    """The ids of what items do not hold, though a response was made with it: requests name it by them."""
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    places = [place for item in items for place in (item, item.get("environment")) if isinstance(place, dict)]
    containers = [{"id": place.get("container_id")} for place in places]
    return _ids([*(item for item in items if not is_shown(item.get("type"), item)), *containers])


def _ids(values: object) -> list[str]:
    """The ids of objects in a list, those that can be one."""
    objects = [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    told = dict.fromkeys(value.get("id") for value in objects if isinstance(value.get("id"), str))
    return [id_ for id_ in told if isinstance(id_, str) and is_id(id_)]


_EVENTS: Final[Mapping[str, Callable[[ResponseReader, Object], Part]]] = {
    "response.output_item.added": ResponseReader._item_begun,  # noqa: SLF001 - a table of the class's own.
    "response.output_item.done": ResponseReader._item_ended,  # noqa: SLF001 - as above.
    "response.shell_call_output_content.delta": ResponseReader._found_by_tool,  # noqa: SLF001 - as above.
    "response.image_generation_call.partial_image": ResponseReader._picture_shown,  # noqa: SLF001 - as above.
    "error": ResponseReader._error,  # noqa: SLF001 - as above.
}
"""What some kinds of events are read by, by their `type`."""
