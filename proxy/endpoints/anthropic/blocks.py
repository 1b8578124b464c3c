"""What the blocks of a request hold that its bytes do not show: media, what is hidden, what is cached."""

from collections.abc import Iterator
from typing import Any, Final

from proxy.endpoints.anthropic.content import MESSAGE_CONTENT
from proxy.endpoints.anthropic.members import cache_write
from proxy.endpoints.content import HiddenInMessages, is_flat
from proxy.endpoints.features import Feature
from proxy.endpoints.reading.body import JsonBody, too_many
from proxy.metering.blocks import blocks_of
from proxy.metering.parts import Media
from proxy.metering.prompts import media_total

BLOCKS_MAX: Final = 65_536
"""How many blocks all messages may have together."""


class Blocks:
    """Looks through a request once. Raises Refusal `invalid_value` for what could be read in two ways."""

    def __init__(self, body: JsonBody, model: str) -> None:
        self._body = body
        self._left = BLOCKS_MAX
        self._writes: dict[tuple[str, str], Feature] = {}
        self._hidden: tuple[Feature, ...] = ()
        self.media = Media(0, 0)
        if not is_flat(body, "messages"):
            hidden = HiddenInMessages(MESSAGE_CONTENT, "messages")
            self.media = media_total(self._contents(hidden), model)
            self._hidden = tuple(hidden.features(body.members["messages"]))
        for name in ("system", "tools"):
            for block in body.items_of(name):
                self._note(block, name)

    @property
    def features(self) -> tuple[Feature, ...]:
        """What the blocks turn on."""
        return (*self._hidden, *self._writes.values())

    def _contents(self, hidden: HiddenInMessages) -> Iterator[list[Any]]:
        """The blocks of each message, which is decoded once and held no longer than it is needed."""
        for message in self._body.items_of("messages"):
            hidden.add(message)
            blocks = list(blocks_of(message.get("content") if isinstance(message, dict) else None))
            self._left -= len(blocks)
            if self._left < 0:
                raise too_many("messages", "blocks in all", BLOCKS_MAX)
            for block in blocks:
                self._note(block, "messages")
            yield blocks

    def _note(self, block: object, name: str) -> None:
        control = block.get("cache_control") if isinstance(block, dict) else None
        if control:
            ttl = control.get("ttl") if isinstance(control, dict) else None
            feature = cache_write(f"{name}[].cache_control", name, ttl)
            self._writes[name, feature.needs[0]] = feature
