"""No account reaches what another has made: by no endpoint, no path, and no member of any request.

All places where an official SDK can name something are tried, as are all paths of all kinds of objects.
"""

import json
from typing import Any

import pytest

from proxy.call.policy import Catalog
from proxy.endpoints.features import WITHIN
from proxy.endpoints.openai.members import CONVERSATIONS, RESPONSES
from proxy.endpoints.registry import ENDPOINTS, KINDS
from proxy.errors import Refusal
from proxy.ledger.groups import Groups
from proxy.ledger.rows import NEVER_US, Object
from proxy.metering.usage import METERS
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.rates import Rate
from tests.acceptance.scripted_upstream import completion
from tests.call.fakes import NOW_US
from tests.call.videos import OTHER_SECRET, VideoStage
from tests.endpoints.least import LEAST
from tests.endpoints.sdk_ids import MARK, Place
from tests.endpoints.test_isolation import PLACES, expected, request_of

PATHS = {endpoint.name: path for path, endpoint in ENDPOINTS.items()}
PATHS |= {f"{kind.endpoint}.{each.name}": each.path for kind in KINDS for each in kind.derivations}
PATHS |= {
    f"{kind.endpoint}.{route.name}": f"{kind.path}/{{id}}{route.below}"
    for kind in KINDS
    for route in kind.routes
}
PATHS |= {f"{kind.endpoint}.{kind.creation.name}": kind.path for kind in KINDS if kind.creation is not None}
KEPT = [*(kind.name for kind in KINDS), f"{RESPONSES}{WITHIN}", "file"]
"""Every kind of thing that an account can have."""
NAMING = [place for place in PLACES if "passed" not in expected(place)]
ALL_PRICED = RateCard(
    "card",
    ("*",),
    tuple(Rate(meter, parse_amount("0.000001"), 1_000) for meter in METERS),
    default_bound=10,
    input_allowance=10,
)


def stage_with(kind: str | None, account_id: str = "acct_1") -> VideoStage:
    """A stage whose rate card prices all there is, with something of a kind that is an account's."""
    stage = VideoStage()
    before = stage.stage.relay.catalog
    stage.stage.relay.catalog = Catalog(before.routes, PriceBook([ALL_PRICED]), Groups(), before.policy)
    if kind is not None:
        seen = '{"seconds":"4","size":"720x1280"}'
        row = Object(account_id, MARK, kind, "up", "key_1", "call_1", "m", NOW_US, seen, NEVER_US)
        stage.store.books.objects.put(row)
    return stage


async def refused(stage: VideoStage, place: Place) -> Refusal:
    """Why the other account's request is refused; no upstream may hear of it."""
    path = PATHS[place.endpoint].replace("{id}", MARK)
    refusal = await stage.refused("POST", path, request_of(place), secret=OTHER_SECRET)
    assert stage.studio.requests == [], str(place)
    assert stage.held_nano("acct_2") == 0
    return refusal


@pytest.mark.parametrize("endpoint", sorted({place.endpoint for place in NAMING}))
async def test_no_member_of_a_request_reaches_what_another_account_has(endpoint: str) -> None:
    """Of whatever kind that is: the answer is the one that there is when nobody has it."""
    for place in (place for place in NAMING if place.endpoint == endpoint):
        nobodys = stage_with(None)
        answer = (await refused(nobodys, place)).body("req")
        await nobodys.rest()
        for kind in KEPT:
            stage = stage_with(kind)
            assert (await refused(stage, place)).body("req") == answer, str(place)
            await stage.rest()


OWNED: list[tuple[str, dict[str, Any], str]] = [
    ("responses", {"input": "Go on", "previous_response_id": MARK}, RESPONSES),
    ("responses", {"input": "x", "prompt_cache_options": {"comparison_response_id": MARK}}, RESPONSES),
    *(
        ("responses", {"input": [{"role": "user", "content": "x"}, item]}, f"{RESPONSES}{WITHIN}")
        for item in (
            {"type": "item_reference", "id": MARK},
            {"id": MARK},
            {"id": MARK, "type": None},
            [{"type": "item_reference", "id": MARK}],
            [[{"role": "user", "content": "x"}, {"id": MARK}]],
            {"id": MARK, "type": 7, "content": "x"},
            {"id": MARK, "type": ["item_reference"]},
            {"type": "message", "id": MARK, "role": "assistant", "content": []},
            {"type": "reasoning", "id": MARK, "summary": []},
            {"type": "reasoning", "id": MARK, "content": [{"type": "reasoning_text", "text": "x"}]},
            {"type": "web_search_call", "id": MARK, "status": "completed", "action": {"type": "search"}},
            {"type": "image_generation_call", "id": MARK, "result": "QUJD", "status": "completed"},
            {"type": "code_interpreter_call", "code": "1", "container_id": MARK, "outputs": None},
            {"type": "mcp_approval_response", "approval_request_id": MARK, "approve": True},
            {"type": "unheard_of", "id": MARK},
        )
    ),
    ("responses", {"input": "Go on", "conversation": MARK}, CONVERSATIONS),
    ("responses", {"input": "Go on", "conversation": {"id": MARK}}, CONVERSATIONS),
    ("responses.input_tokens", {"input": "Go on", "conversation": {"id": MARK}}, CONVERSATIONS),
    *(
        ("conversations.create", {"items": [{"role": "user", "content": "x"}, item]}, f"{RESPONSES}{WITHIN}")
        for item in (
            {"type": "item_reference", "id": MARK},
            [{"type": "item_reference", "id": MARK}],
            {"type": "message", "id": MARK, "role": "assistant", "content": "x"},
            {"type": "web_search_call", "id": MARK, "status": "completed", "action": {"type": "search"}},
            {"type": "code_interpreter_call", "code": "1", "container_id": MARK, "outputs": None},
            {"type": "mcp_approval_response", "approval_request_id": MARK, "approve": True},
        )
    ),
    ("chat.completions", {"messages": [], "previous_response_id": MARK}, RESPONSES),
    ("videos", {"prompt": "x", "input_reference": {"file_id": MARK}}, "file"),
]  # fmt: skip


@pytest.mark.parametrize(("endpoint", "body", "kind"), OWNED)
async def test_what_is_ones_own_goes_up_where_it_is_and_nowhere_else(
    endpoint: str, body: dict[str, Any], kind: str
) -> None:
    """So that nothing above is refused for another reason; nor is the id of another kind taken."""
    path = PATHS[endpoint]
    for account_id, known_as in (("acct_2", kind), ("acct_1", kind), ("acct_2", "another kind"), ("", None)):
        stage = stage_with(known_as, account_id)
        stage.studio.says("POST", path.removeprefix("/v1"), b"what is no answer")
        refusal = await stage.refused("POST", path, {"model": "m", **body}, secret=OTHER_SECRET)
        if (account_id, known_as) == ("acct_2", kind):
            (heard,) = stage.studio.requests
            assert MARK.encode() in heard.body
            assert refusal.code.startswith("upstream_")
        else:
            assert refusal.code == "not_found"
            assert stage.studio.requests == []
        await stage.rest()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/messages"])
async def test_a_key_for_repeats_is_an_accounts_own_whatever_is_asked(path: str) -> None:
    """An upstream answers a repeat as it did before: that must not be what another account was told."""
    endpoint = ENDPOINTS[path]
    stage = stage_with(None)
    stage.studio.says("POST", endpoint.upstream_path, json.dumps(completion()).encode())
    ask = LEAST[endpoint.name]
    sent = []
    for secrets in ({}, {"secret": OTHER_SECRET}, {}):
        headers = (("Idempotency_Key", "1"), ("x-idempotency-key", "1"), ("X-Other", "1"))
        await stage.ask("POST", path, ask, headers=headers, **secrets)
        sent.append(dict(stage.studio.requests[-1].headers))
    for name in ("Idempotency_Key", "x-idempotency-key"):
        assert sent[0][name] == sent[2][name] != sent[1][name]
        assert sent[0][name] != "1"
    assert {each["X-Other"] for each in sent} == {"1"}
    await stage.rest()
