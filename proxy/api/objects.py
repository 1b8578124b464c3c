"""GET /v1/videos and its like: the objects of an account, from what Farebox knows of them.

An upstream would list those of all accounts. So no list is forwarded, and none costs anything.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from proxy.clock import Clock
from proxy.edge.auth import account_key
from proxy.endpoints.members import shown_name
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.reading.fields import MODEL_CHARS_MAX
from proxy.endpoints.tallies.sighted import is_id
from proxy.errors import Refusal
from proxy.ledger.store import Store

LIMIT_MAX: Final = 100
LIMIT: Final = 20
_QUERIES: Final = {"desc": "objects_newest_first", "asc": "objects_oldest_first"}
_TAKEN: Final = ("limit", "after", "order", "model")


class ObjectList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of objects, as their upstreams described each last."""

    object: str = "list"
    data: list[msgspec.Raw]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ObjectLists:
    """The lists of all kinds that are listed."""

    def __init__(self, *, store: Store, clock: Clock, kinds: Sequence[ObjectKind]) -> None:
        self._store = store
        self._clock = clock
        self._kinds = [kind for kind in kinds if kind.is_listed]

    def routes(self) -> list[web.RouteDef]:
        """A route for each kind."""
        return [web.get(kind.path, partial(self._list, kind), allow_head=False) for kind in self._kinds]

    async def _list(self, kind: ObjectKind, request: web.Request) -> web.Response:
        key = await account_key(request, store=self._store, clock=self._clock)
        query, limit, wanted = _asked(request)
        params = {
            "account_id": key.account_id,
            "kind": kind.name,
            "now_us": self._clock.now_us(),
            "limit": limit + 1,
            **wanted,
        }
        rows = await self._store.query(query, params)
        page = rows[:limit]
        answer = ObjectList(
            data=[msgspec.Raw(str(row["seen"]).encode()) for row in page],
            first_id=str(page[0]["id"]) if page else None,
            last_id=str(page[-1]["id"]) if page else None,
            has_more=len(rows) > limit,
        )
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _asked(request: web.Request) -> tuple[str, int, dict[str, str]]:
    """The query, the limit, and which objects of a list are wanted. Raises Refusal `invalid_value`."""
    query = request.query
    for name in query:
        if name not in _TAKEN or len(query.getall(name)) > 1:
            raise _wrong(shown_name(name), f"A list takes {', '.join(_TAKEN)}, each once.")
    order, limit = query.get("order", "desc"), query.get("limit", str(LIMIT))
    if order not in _QUERIES:
        raise _wrong("order", "`order` must be asc or desc.")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= LIMIT_MAX):
        raise _wrong("limit", f"`limit` must be a whole number from 1 to {LIMIT_MAX}.")
    after, model = query.get("after", ""), query.get("model", "")
    if after and not is_id(after):
        raise _wrong("after", "`after` must be the id of an object.")
    if len(model) > MODEL_CHARS_MAX or not model.isprintable():
        raise _wrong("model", f"`model` must be a name of at most {MODEL_CHARS_MAX} characters.")
    return _QUERIES[order], int(limit), {"after": after, "model": model}


def _wrong(name: str, message: str) -> Refusal:
    return Refusal("invalid_value", message, param=name)
