"""What a request holds that its bytes do not show: media, what is hidden, what is cached, further tools."""

from collections.abc import Iterator
from typing import Any, Final

from proxy.endpoints.anthropic.content import MESSAGE_CONTENT, objects_in
from proxy.endpoints.anthropic.members import cache_write
from proxy.endpoints.content import HiddenInMessages, is_flat
from proxy.endpoints.features import Feature
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.body_faults import too_many
from proxy.metering.blocks import blocks_of
from proxy.metering.parts import Media
from proxy.metering.prompts import media_total

BLOCKS_MAX: Final = 65_536
"""How many blocks all messages may have together."""
_TOOLS_WITHIN: Final = ("tool_addition", "tool_removal")


class Blocks:
    """Looks through a request once. Raises Refusal `invalid_value` for what could be read in two ways."""

    def __init__(self, body: JsonBody, model: str) -> None:
        self._body = body
        self._left = BLOCKS_MAX
        self._found: dict[tuple[str, ...], Feature] = {}
        self._hidden: list[Feature] = []
        self.media = Media(0, 0)
        media: list[Media] = []
        for name in ("messages", "system"):
            if name in body and not is_flat(body, name):
                hidden = HiddenInMessages(MESSAGE_CONTENT, name)
                media.append(media_total(self._contents(name, hidden), model))
                self._hidden += hidden.features(body.members[name])
        for tool in body.items_of("tools"):
            self._note(tool, "tools")
        self.media = Media(sum(each.tokens for each in media), sum(each.payload_chars for each in media))

    @property
    def features(self) -> tuple[Feature, ...]:
        """What the blocks turn on."""
        return (*self._hidden, *self._found.values())

    def _contents(self, name: str, hidden: HiddenInMessages) -> Iterator[list[Any]]:
        """The blocks of each message, which is decoded once and held no longer than it is needed."""
        for item in self._body.items_of(name):
            if name == "system":
                hidden.add_part(item)
                content: object = [item]
            else:
                hidden.add(item)
                content = item.get("content") if isinstance(item, dict) else None
            blocks = list(blocks_of(content))
            self._left -= len(blocks)
            if self._left < 0:
                raise too_many(name, "blocks in all", BLOCKS_MAX)
            self._note(item, name)
            yield blocks

    def _note(self, value: object, name: str) -> None:
        """Note what is to be cached, at any depth, and tools that come with a message: none is bounded."""
        for each in objects_in(value):
            control = each.get("cache_control")
            if control:
                ttl = control.get("ttl") if isinstance(control, dict) else None
                feature = cache_write(f"{name}[].cache_control", name, ttl)
                self._found[name, *feature.needs] = feature
            if each.get("tool_changes") or each.get("type") in _TOOLS_WITHIN:
                self._found[name, "tools"] = Feature(f"{name}[].content[].tool_changes", name)
