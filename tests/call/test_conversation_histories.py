"""Whatever two accounts do with conversations, no upstream hears of one by whom it is not."""

import asyncio
import itertools
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.upstream.base import UpstreamRequest
from proxy.upstream.routes import Target
from tests.call.fakes import SECRET, Answered
from tests.call.test_conversations import ASK, ITEM, PATH, on, staged, upstream
from tests.call.test_response_jobs import told
from tests.call.videos import OTHER_SECRET, VideoStage
from tests.endpoints.openai.responses.replies import text, usage

IDS = st.sampled_from(["conv_1", "conv_2", "conv_3"])
WHO = st.sampled_from([SECRET, OTHER_SECRET])
MODELS = st.sampled_from(["a", "b"])
BELOW = st.sampled_from(
    [
        *(("GET", "", None), ("DELETE", "", None), ("POST", "", {"metadata": {"a": "b"}})),
        *(("GET", "/items", None), ("POST", "/items", {"items": [ITEM]})),
        *(("GET", "/items/msg_1", None), ("DELETE", "/items/msg_1", None)),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("create"), WHO, MODELS),
    st.tuples(st.just("ask"), WHO, IDS, BELOW),
    st.tuples(st.just("respond"), WHO, IDS, MODELS, st.booleans(), st.booleans()),
    st.tuples(st.just("poll"), WHO, st.integers(1, 6)),
)


class Halls:
    """Two upstreams that count their conversations from 1, so that both have the same ids, and check each."""

    def __init__(self) -> None:
        self.owners: dict[tuple[str, str], str] = {}
        self.asking = ""
        self.faults: list[str] = []
        self._conversations = {name: itertools.count(1) for name in ("one", "two")}
        self._responses = itertools.count(1)

    async def send(self, target: Target, request: UpstreamRequest) -> Answered:
        status, data = 200, self._answer(target.upstream.name, request)
        return Answered([data], status, breaks=False, end=None, then=[])

    def _answer(self, name: str, request: UpstreamRequest) -> bytes:
        body = json.loads(request.body or b"{}")
        if request.path == "/conversations":
            id_ = f"conv_{next(self._conversations[name])}"
            self.owners[name, id_] = self.asking
            return json.dumps({"id": id_, "object": "conversation"}).encode()
        if found := re.match(r"/conversations/([^/]+)(/items)?", request.path):
            self._check(name, found[1])
            if request.method == "DELETE" and not found[2]:
                del self.owners[name, found[1]]
                return json.dumps({"id": found[1], "deleted": True}).encode()
            return json.dumps({"id": found[1]}).encode()
        if request.path.startswith("/responses/"):
            id_ = request.path.split("/")[2]
            return told("completed", text("Hi"), usage=usage(5, 5), id=id_)
        named = body["conversation"]
        self._check(name, named if isinstance(named, str) else named["id"])
        id_ = f"resp_{next(self._responses)}"
        if body.get("background"):
            return told("queued", id=id_)
        return told("completed", text("Hi"), usage=usage(5, 5), id=id_)

    def _check(self, name: str, id_: str) -> None:
        if self.owners.get((name, id_)) != self.asking:
            self.faults.append(f"{self.asking} reached {id_} of {name}")


async def lived(steps: list[Any]) -> tuple[VideoStage, Halls, dict[str, int]]:
    halls = Halls()
    stage = staged(on("a", upstream("one")), on("b", upstream("two")))
    stage.studio.send = halls.send  # type: ignore[method-assign]
    counts = dict.fromkeys(("passed", "refused", "failed"), 0)
    for what, who, *rest in steps:
        halls.asking = who
        match what:
            case "create":
                asked: tuple[Any, ...] = ("POST", PATH, {"model": rest[0]})
            case "ask":
                method, below, body = rest[1]
                asked = (method, f"{PATH}/{rest[0]}{below}", body)
            case "respond":
                id_, model, as_object, in_background = rest
                named = {"id": id_} if as_object else id_
                body = {"model": model, "conversation": named, "background": in_background}
                asked = ("POST", "/v1/responses", ASK | body)
            case _:
                asked = ("GET", f"/v1/responses/resp_{rest[0]}")
        try:
            await stage.ask(*asked, secret=who)
            counts["passed"] += 1
        except Refusal as refusal:
            counts["refused" if refusal.kind.status in {400, 404} else "failed"] += 1
    return stage, halls, counts


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
def test_no_history_of_two_accounts_brings_one_to_anothers_conversation(steps: list[Any]) -> None:
    """Though two upstreams give the same ids. What is held is let go when the jobs have ended."""

    async def live() -> None:
        stage, halls, counts = await lived(steps)
        assert (halls.faults, counts["failed"]) == ([], 0)
        for who in (SECRET, OTHER_SECRET):
            halls.asking = who
            for number in range(1, 30):
                try:
                    await stage.ask("GET", f"/v1/responses/resp_{number}", secret=who)
                except Refusal:
                    continue
        for account_id in ("acct_1", "acct_2"):
            account = stage.store.books.accounts[account_id]
            assert (account.held_nano, account.open_holds) == (0, 0)
        await stage.rest()

    asyncio.run(live())


def test_histories_reach_what_they_are_about() -> None:
    """Some steps pass, and some are refused."""
    steps = [("create", SECRET, "a"), ("create", OTHER_SECRET, "b")]
    more = [
        ("respond", who, "conv_1", model, False, False) for who in (SECRET, OTHER_SECRET) for model in "ab"
    ]

    async def live() -> None:
        stage, halls, counts = await lived([*steps, *more])
        assert (halls.faults, counts) == ([], {"passed": 4, "refused": 2, "failed": 0})
        await stage.rest()

    asyncio.run(live())
