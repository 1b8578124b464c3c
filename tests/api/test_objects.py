"""A list has the objects of the key's account alone, whatever its query says: of every kind that has one."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.api.objects import LIMIT_MAX, ObjectLists
from proxy.edge.middleware import Edge
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.registry import KINDS
from proxy.ledger.store import Row
from tests.call.fakes import SECRET, Hands
from tests.call.videos import OTHER_SECRET, VideoStage
from tests.ledger.memory import MemoryStore

LISTED = [kind for kind in KINDS if kind.is_listed]
ROWS = 3


class Rows:
    """A store that has some objects of whatever is asked for, and notes what that is."""

    def __init__(self, store: MemoryStore) -> None:
        self.caller_by_digest = store.caller_by_digest
        self.asked: list[tuple[str, Mapping[str, object]]] = []

    async def query(self, name: str, params: Mapping[str, object]) -> list[Row]:
        self.asked.append((name, params))
        return [{"id": f"o{number}", "seen": f'{{"id":"o{number}"}}'} for number in range(ROWS)]


async def listed(kind: ObjectKind, secret: str, **query: str) -> tuple[int, dict[str, Any], Rows]:
    stage = VideoStage()
    rows = Rows(stage.store)
    edge = Edge(clock=Hands(), payment_status=lambda: 402, on_refusal=lambda _: None)
    app = web.Application(middlewares=[edge.middleware()])
    app.add_routes(ObjectLists(store=rows, clock=Hands(), kinds=KINDS).routes())  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        async with client.get(f"{kind.path}?{urlencode(query)}", headers=headers) as answer:
            body = await answer.json()
    await stage.rest()
    return answer.status, body, rows


@pytest.mark.parametrize("kind", LISTED, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("secret", "account_id"), [(SECRET, "acct_1"), (OTHER_SECRET, "acct_2")])
async def test_a_list_is_of_the_keys_own_account(kind: ObjectKind, secret: str, account_id: str) -> None:
    """Also where the place to go on from, or the model, is another's."""
    for query in ({}, {"after": "theirs", "order": "asc"}, {"model": "theirs", "limit": "2"}):
        status, body, rows = await listed(kind, secret, **query)
        ((name, params),) = rows.asked
        assert status == 200
        assert (params["account_id"], params["kind"]) == (account_id, kind.name)
        assert (params["after"], params["model"]) == (query.get("after", ""), query.get("model", ""))
        assert name == f"objects_{'oldest' if 'order' in query else 'newest'}_first"
        most = int(query.get("limit", LIMIT_MAX))
        assert ([each["id"] for each in body["data"]], body["has_more"]) == (
            ["o0", "o1", "o2"][:most],
            most < ROWS,
        )


@pytest.mark.parametrize("kind", LISTED, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "query",
    [{"account_id": "acct_2"}, {"metadata[a]": "b"}, {"after": "a\0b"}, {"after": "../x"}, {"model": "a\0"}],
)
async def test_a_list_refuses_what_it_cannot_take(kind: ObjectKind, query: dict[str, str]) -> None:
    """Nobody is asked then."""
    status, body, rows = await listed(kind, SECRET, **query)
    assert (status, body["error"]["code"], body["error"]["param"]) == (
        400,
        "invalid_value",
        next(iter(query)),
    )
    assert rows.asked == []
