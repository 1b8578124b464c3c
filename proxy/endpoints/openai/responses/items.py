"""The input of a response: which items it may have, and what each may hold."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.endpoints.content import ContentTable, HiddenInMessages, Object, PartRule, head_of, is_address
from proxy.endpoints.features import WITHIN, Feature, ObjectName, hidden_input
from proxy.endpoints.kept import OBJECTS_MAX, id_text
from proxy.endpoints.openai.members import RESPONSES
from proxy.endpoints.reading.body import JsonBody, beginning
from proxy.endpoints.reading.body_faults import too_many
from proxy.metering.parts import Media
from proxy.metering.prompts import media_total
from proxy.metering.responses import parts_of

ITEMS_MAX: Final = 65_536
PARTS_MAX: Final = 65_536
"""How many parts all items may have together."""

_IMAGE_HEADERS: Final = ("data:image/", "data:;", "data:,")
_ANY: Final = frozenset(
    {"type", "id", "status", "call_id", "caller", "created_by", "prompt_cache_breakpoint"}
)


def _names(text: str) -> frozenset[str]:
    return _ANY | frozenset(text.split())


def _hides_in_image(part: Object) -> bool:
    """A picture takes no more than so much, wherever it is; a data URL of another kind is no picture."""
    head = head_of(part.get("image_url"))
    is_other = head.startswith("data:") and not head.startswith(_IMAGE_HEADERS)
    return is_other or part.get("file_id") is not None


def _hides_in_file(part: Object) -> bool:
    data = part.get("file_data")
    return bool(part.get("file_id") or part.get("file_url")) or not isinstance(data, str) or is_address(data)


def _hides_in_sound(part: Object) -> bool:
    sound = part.get("input_audio")
    return not isinstance(sound, dict) or is_address(sound.get("data"))


def _hides_in_picture(item: Object) -> bool:
    """Without the picture itself, the upstream takes the one that it has under this id."""
    return not isinstance(item.get("result"), str)


def _hides(_item: Object) -> bool:
    return True


_TEXT: Final = PartRule(_names("text refusal annotations logprobs transcript"))
_RULES: Final[Mapping[str, PartRule]] = {
    # Content.
    **dict.fromkeys(
        ("input_text", "output_text", "refusal", "text", "summary_text", "reasoning_text"), _TEXT
    ),
    "input_image": PartRule(_names("image_url file_id detail"), {}, _hides_in_image),
    "computer_screenshot": PartRule(_names("image_url file_id detail"), {}, _hides_in_image),
    "input_file": PartRule(_names("file_data file_id file_url filename detail"), {}, _hides_in_file),
    "input_audio": PartRule(
        _names("input_audio"), {"input_audio": frozenset({"data", "format"})}, _hides_in_sound
    ),
    # Items that have content.
    "message": PartRule(_names("role content phase"), parts="content"),
    "function_call_output": PartRule(_names("output name namespace"), parts="output"),
    "custom_tool_call_output": PartRule(_names("output name"), parts="output"),
    "computer_call_output": PartRule(_names("output acknowledged_safety_checks"), parts="output"),
    # Items that are text, or came from the upstream: they are as long as what is read of them.
    "reasoning": PartRule(_names("summary content encrypted_content")),
    "function_call": PartRule(_names("name namespace arguments")),
    "custom_tool_call": PartRule(_names("name namespace input")),
    "web_search_call": PartRule(_names("action")),
    "file_search_call": PartRule(_names("queries results")),
    "computer_call": PartRule(_names("action actions pending_safety_checks")),
    "code_interpreter_call": PartRule(_names("code container_id outputs")),
    "local_shell_call": PartRule(_names("action")),
    "local_shell_call_output": PartRule(_names("output")),
    "shell_call": PartRule(_names("action environment")),
    "shell_call_output": PartRule(_names("output max_output_length")),
    "apply_patch_call": PartRule(_names("operation")),
    "apply_patch_call_output": PartRule(_names("output")),
    **dict.fromkeys(("tool_search_output", "additional_tools"), PartRule(_names("role tools execution"))),
    "tool_search_call": PartRule(_names("arguments execution")),
    "mcp_list_tools": PartRule(_names("server_label tools error")),
    "mcp_approval_request": PartRule(_names("arguments name server_label")),
    "mcp_approval_response": PartRule(_names("approval_request_id approve reason")),
    "mcp_call": PartRule(_names("arguments name server_label approval_request_id error output")),
    "compaction": PartRule(_names("encrypted_content")),
    "program": PartRule(_names("code fingerprint")),
    "program_output": PartRule(_names("result")),
    "image_generation_call": PartRule(
        _names("result action background error output_format quality revised_prompt size svg_usage"),
        {},
        _hides_in_picture,
    ),
    # What the upstream has kept, or does when it reads this.
    "item_reference": PartRule(_ANY, {}, _hides),
    "compaction_trigger": PartRule(_ANY, {}, _hides),
}

ITEMS: Final = ContentTable(frozenset(), _RULES, untyped="message")
"""The items of an input, and the parts of their content. What is in no row takes the card's allowance."""

_WITH_TOOLS: Final = frozenset({"additional_tools", "configuration_update", "tool_search_output"})
"""Items that can give a model tools, or choose how it works, as the members of a request do."""
KEPT: Final = f"{RESPONSES}{WITHIN}"
"""What items are called that the upstream has kept."""
_REFERENCE: Final = "item_reference"
_TRIGGER: Final = "compaction_trigger"
"""An item that has the upstream read all once more: it is held for in the call that has it alone."""
_UNKNOWN: Final = ""
_INPUT: Final = "input"
_OWNED: Final[Mapping[str, str]] = {"container_id": KEPT}
"""Members of items that name what the upstream has made for a response."""
_COMPLETED: Final = frozenset(
    {"code_interpreter_call", "file_search_call", "image_generation_call", "mcp_call", "web_search_call"}
)
"""Items that an upstream may complete from what it has under their ids: they do not hold all of it."""
_MESSAGE: Final = "message"
_PICTURE: Final = "image_generation_call"
_HELD_IN: Final[Mapping[str, str]] = {_MESSAGE: "content", "reasoning": "encrypted_content"}
"""Items that hold all that there is of them where they have this member."""
_APPROVAL: Final = "mcp_approval_request"
_OWN_TOOLS: Final = frozenset({"function", "custom", "namespace"})


def is_given(body: JsonBody, name: str) -> bool:
    """Whether a body has a member that is not null."""
    return name in body and beginning(body.members[name]) != b"null"


class Items:
    """Looks through the items of a request once. Raises Refusal `invalid_value` for what has two readings.

    They are in the member `name`. What goes into a conversation can be found there by its id later: so each
    id that such an item has must be that of one of the account's own.
    """

    def __init__(self, body: JsonBody, model: str, name: str = _INPUT) -> None:
        self._name = name
        self._goes_into_conversation = name != _INPUT or is_given(body, "conversation")
        self._left = PARTS_MAX
        self._kinds: Counter[str] = Counter()
        self._references: dict[tuple[str, str], int] = {}
        self._untyped = 0
        self._approvals: set[str] = set()
        self.media = Media(0, 0)
        self.features: tuple[Feature, ...] = ()
        raw = body.members.get(name)
        if raw is not None and beginning(raw).startswith(b"["):
            hidden = HiddenInMessages(ITEMS, name, _OWNED)
            self.media = media_total(self._contents(body, hidden), model)
            self.features = (*hidden.features(raw), *self._turned_on())

    def _contents(self, body: JsonBody, hidden: HiddenInMessages) -> Iterator[list[Any]]:
        """The parts of each item, which is decoded once and held no longer than it is needed."""
        for item in body.items_of(self._name):
            hidden.add_part(item)
            parts = parts_of(item)
            self._left -= len(parts)
            if self._left < 0:
                raise too_many(self._name, "parts in all", PARTS_MAX)
            self._note(item)
            yield parts

    def _note(self, item: object) -> None:
        if isinstance(item, list):
            # Some upstream may flatten it, and find items in it.
            for inner in item:
                self._note(inner)
        if not isinstance(item, dict):
            return
        kind = item.get("type")
        if kind is None:
            # With neither a type nor a content it is one by reference.
            is_named = item.get("id") is not None and item.get("content") is None
            kind = _REFERENCE if is_named else _MESSAGE
            self._untyped += is_named
        if not isinstance(kind, str):
            kind = _UNKNOWN
        if kind == _APPROVAL and isinstance(item.get("id"), str):
            self._approvals.add(item["id"])
        self._refer(kind, item)
        is_costly = kind in _WITH_TOOLS and not _is_harmless(kind, item)
        if is_costly or (kind == _TRIGGER and self._name != _INPUT):
            self._kinds[kind] += 1

    def _refer(self, kind: str, item: Object) -> None:
        """Note what an item names that the upstream has."""
        shows_all = is_shown(kind, item)
        if kind == _REFERENCE or (
            item.get("id") is not None and (self._goes_into_conversation or not shows_all)
        ):
            is_hidden = shows_all or kind not in _RULES or kind in (_REFERENCE, _PICTURE)
            self._references["id", id_text(item.get("id"))] = 0 if is_hidden else 1
        if (approved := item.get("approval_request_id")) is not None:
            self._references["approval_request_id", id_text(approved)] = 1
        if len(self._references) > OBJECTS_MAX:
            raise too_many(self._name, "items by their ids", OBJECTS_MAX)

    def _turned_on(self) -> Iterator[Feature]:
        """No rate card can price tools within the input; what is referred to has to be the account's.

        What such an item holds that it does not show is held for where the card has an allowance.
        """
        yield from (Feature(f"{self._name}[].type: {kind}", self._name) for kind in self._kinds)
        for (name, id_), unseen in self._references.items():
            if name == "id" or id_ not in self._approvals:
                hidden = {"input_tokens": unseen}
                refers = ObjectName(KEPT, id_)
                where = f"{self._name}[].{name}"
                yield Feature(where, self._name, hidden=hidden, optional=True, refers=refers)
        if self._untyped:
            yield hidden_input(f"{self._name}[].id", self._name, self._untyped)


def is_shown(kind: object, item: Object) -> bool:
    """Whether an item of a known kind holds all that there is of it: nothing else is read under its id."""
    if not isinstance(kind, str) or kind not in _RULES or kind in _COMPLETED or kind == _REFERENCE:
        return False
    return kind not in _HELD_IN or bool(item.get(_HELD_IN[kind]))


def _is_harmless(kind: str, item: Object) -> bool:
    """Whether the tools that an item brings are all the caller's own, which are but text."""
    tools = item.get("tools")
    if kind == "configuration_update" or not isinstance(tools, list):
        return False
    return all(isinstance(tool, dict) and tool.get("type") in _OWN_TOOLS for tool in tools)
