"""The models that upstreams list themselves: asked for when somebody wants to know, and remembered."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from proxy.tasks import Tasks
from proxy.upstream.base import UpstreamClient, UpstreamFailure, UpstreamRequest
from proxy.upstream.routes import Target, Upstream

LIST_BYTES_MAX: Final = 2_097_152
MODELS_MAX: Final = 2_000
PAGES_MAX: Final = 16
ASK_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 30.0
"""How soon an upstream whose list could not be had is asked again."""
UPSTREAMS_MAX: Final = 256
NAME_CHARS_MAX: Final = 256
NUMBER_MAX: Final = 2**40

_PATH: Final = "/models"
_HEADERS: Final = (("Accept", "application/json"), ("anthropic-version", "2023-06-01"))
_CONTEXT: Final = ("context_length", "context_window", "max_model_len", "max_input_tokens")
"""What upstreams call the most tokens that a model reads at once."""


class ListedModel(msgspec.Struct, frozen=True):
    """What an upstream says of a model: when it was made, in seconds since 1970, and what it reads in tokens.

    Both are 0 where it does not say.
    """

    created: int = 0
    context: int = 0


Listed = Mapping[str, ListedModel]
"""Models by their names at the upstream."""

NOTHING: Final[Listed] = {}


class Unlisted(Exception):  # noqa: N818 - the list could not be had, which is no fault of ours.
    """An upstream has no list that can be read."""


class _Page(msgspec.Struct, frozen=True):
    data: list[Any] = []
    has_more: bool | None = None
    last_id: str | None = None


class _Kept(msgspec.Struct, frozen=True):
    models: Listed
    until: float


_DECODER: Final = msgspec.json.Decoder(_Page | list[Any])


class ModelLists:
    """The lists of upstreams, each asked for once at a time. `now` is in seconds and never goes back.

    `on_fault` is told the upstream and why its list could not be had; then the last one stands.
    """

    def __init__(
        self,
        *,
        client: UpstreamClient,
        tasks: Tasks,
        now: Callable[[], float],
        on_fault: Callable[[str, str], None],
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._now = now
        self._on_fault = on_fault
        self._kept: dict[Upstream, _Kept] = {}
        self._asked: dict[Upstream, asyncio.Task[Listed]] = {}

    async def of(self, upstream: Upstream) -> Listed:
        """What an upstream lists; nothing where the configuration does not want it asked."""
        if upstream.list_models_seconds is None:
            return NOTHING
        kept = self._kept.get(upstream)
        if kept is not None and self._now() < kept.until:
            return kept.models
        task = self._asked.get(upstream)
        if task is None:
            task = self._tasks.spawn(self._ask(upstream), name=f"models of {upstream.name}")
            self._asked[upstream] = task
        return await asyncio.shield(task)

    async def _ask(self, upstream: Upstream) -> Listed:
        seconds = upstream.list_models_seconds or RETRY_SECONDS
        try:
            async with asyncio.timeout(ASK_SECONDS):
                models = await self._read(upstream)
        except (UpstreamFailure, Unlisted, TimeoutError) as fault:
            self._on_fault(upstream.name, str(fault) or "it took too long")
            before = self._kept.get(upstream)
            models = before.models if before is not None else NOTHING
            seconds = min(seconds, RETRY_SECONDS)
        finally:
            del self._asked[upstream]
        while len(self._kept) >= UPSTREAMS_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(upstream, None)
        self._kept[upstream] = _Kept(models, self._now() + seconds)
        return models

    async def _read(self, upstream: Upstream) -> Listed:
        """All pages of a list. Raises Unlisted or UpstreamFailure."""
        models: dict[str, ListedModel] = {}
        query = ""
        for _ in range(PAGES_MAX):
            page = _page(await self._body(upstream, query))
            models.update(_models(page.data[:MODELS_MAX]))
            if not page.has_more or not page.last_id or len(models) >= MODELS_MAX:
                break
            query = f"limit=1000&after_id={quote(page.last_id[:NAME_CHARS_MAX], safe='')}"
        return models

    async def _body(self, upstream: Upstream, query: str) -> bytes:
        request = UpstreamRequest("GET", _PATH, query, _HEADERS, b"")
        answer = await self._client.send(Target(upstream), request)
        try:
            if answer.status != 200:
                raise Unlisted(f"it answered {answer.status}")
            body = bytearray()
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > LIST_BYTES_MAX:
                    raise Unlisted(f"its list has more than {LIST_BYTES_MAX} bytes")
            return bytes(body)
        finally:
            answer.close()


def _page(body: bytes) -> _Page:
    try:
        found = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Unlisted("its list cannot be read") from fault
    return found if isinstance(found, _Page) else _Page(found)


def _models(rows: list[Any]) -> Iterator[tuple[str, ListedModel]]:
    for row in rows:
        name = row.get("id") if isinstance(row, dict) else None
        if isinstance(name, str) and 0 < len(name) <= NAME_CHARS_MAX and name.isprintable():
            context = next((number for each in _CONTEXT if (number := _number(row.get(each)))), 0)
            yield name, ListedModel(_number(row.get("created")), context)


def _number(value: object) -> int:
    """A whole number that can be one; 0 for anything else."""
    return value if type(value) is int and 0 < value < NUMBER_MAX else 0
