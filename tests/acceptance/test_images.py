"""OpenAI's official SDK draws, edits and varies pictures with only base_url and key changed."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from aiohttp import web

from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.scripted_upstream import DONE, Behaviour, ScriptedUpstream, answers, streams
from tests.endpoints.openai.images.answers import (
    PICTURE,
    STREAM,
    completed,
    event,
    partial,
    png,
    usage,
    whole,
)

PROMPT = "A cat with a ticket in its paw"
SQUARE = png(1_024, 1_024, bytes(50_000))
FILES = [("a.png", SQUARE, "image/png"), ("b.png", png(1_536, 1_024), "image/png")]
CARDS: dict[str, Any] = {
    "gpt-image": {
        "match": ["gpt-image-*"],
        "max_output_tokens": 8_000,
        "input_allowance_tokens": 5_000,
        "rates": {
            "input_tokens": {"per_1m": "5"},
            "input_image_tokens": {"per_1m": "8"},
            "output_tokens": {"per_1m": "10"},
            "output_image_tokens": {"per_1m": "30"},
        },
    },
    "painter": {
        "match": ["painter-*"],
        "rates": {"images": {"per_unit": "0.02"}},
        "cases": [
            {"when": {"size": "1024x1024", "quality": "hd"}, "rates": {"images": {"per_unit": "0.08"}}}
        ],
    },
}
BIG = base64.b64encode(bytes(range(256)) * 12_000).decode()
"""A picture of four megabytes of base64."""


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has prices for pictures, over the scripted upstream."""
    folder: Path = tmp_path_factory.mktemp("images")
    config = config_for(upstream.port, folder)
    config["rate_cards"] = {**CARDS, **config["rate_cards"]}
    with running(config, folder) as started:
        yield started


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


@pytest.fixture
async def async_client(server: Server, account: Account) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as asynchronous:
        yield asynchronous


def test_pictures_arrive_byte_for_byte_and_are_charged_by_their_tokens(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    sent = json.dumps(whole({"b64_json": PICTURE}, size="1024x1024", usage=usage(10, 272)), indent=2).encode()
    upstream.behaviours["gpt-image-a"] = answers(sent)
    raw = client.images.with_raw_response.generate(
        model="gpt-image-a", prompt=PROMPT, size="1024x1024", quality="low", background="opaque"
    )
    assert raw.http_response.content == sent
    answer = raw.parse()
    assert answer.data is not None
    assert answer.data[0].b64_json == PICTURE
    assert raw.headers["x-farebox-cost"] == "0.00821"
    row = account.last()
    assert (row["endpoint"], row["basis"], row["charged"]) == ("images.generations", "reported", "0.00821")
    assert row["usage"]["images"] == 1
    assert upstream.received[-1] == {
        "model": "gpt-image-a",
        "prompt": PROMPT,
        "size": "1024x1024",
        "quality": "low",
        "background": "opaque",
    }


@pytest.mark.parametrize(("more", "price"), [({}, "0.04"), ({"size": "1024x1024", "quality": "hd"}, "0.16")])
def test_pictures_are_charged_by_their_number_size_and_quality(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account, more: dict[str, Any], price: str
) -> None:
    """Those that came count, and not those that were asked for."""
    pictures = [{"url": "https://host/a.png", "revised_prompt": "A cat"}] * 2
    upstream.behaviours["painter-n"] = answers(whole(*pictures))
    answer = client.images.generate(model="painter-n", prompt=PROMPT, n=3, **more)
    assert answer.data is not None
    assert [picture.url for picture in answer.data] == ["https://host/a.png"] * 2
    row = account.last()
    assert (row["basis"], row["usage"]["images"], row["charged"]) == ("counted", 2, price)


def test_a_stream_of_pictures_arrives_whole(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """The unfinished pictures and the finished one, with its usage; no end is sent but the upstream's own."""
    upstream.behaviours["gpt-image-s"] = streams(*STREAM)
    stream = client.images.generate(model="gpt-image-s", prompt=PROMPT, stream=True, partial_images=2)
    found = list(stream)
    assert [each.type for each in found] == [
        *["image_generation.partial_image"] * 2,
        "image_generation.completed",
    ]
    assert [each.b64_json for each in found] == [PICTURE] * 3
    row = account.last()
    assert (row["outcome"], row["basis"]) == ("complete", "reported")
    assert row["usage"] == {
        "input_tokens": 50,
        "output_tokens": 1_256,
        "output_image_tokens": 1_256,
        "images": 1,
    }


@pytest.mark.parametrize("end", [b"", DONE])
def test_a_stream_of_large_pictures_is_the_upstreams_bytes(
    server: Server, account: Account, upstream: ScriptedUpstream, end: bytes
) -> None:
    """Each event is a line of megabytes."""
    events = [partial(0, picture=BIG), completed(picture=BIG, usage=usage(10, 4_160)), end]
    upstream.behaviours["gpt-image-big"] = streams(*events)
    received = httpx.post(
        f"{server.url}/v1/images/generations",
        json={"model": "gpt-image-big", "prompt": PROMPT, "stream": True, "partial_images": 1},
        headers={"Authorization": f"Bearer {account.secret}"},
    )
    assert received.content == b"".join(events)
    assert account.last()["charged"] == "0.12485"


async def test_a_finished_picture_is_nobodys_before_its_charge(
    async_client: openai.AsyncOpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """The unfinished ones come at once."""
    upstream.behaviours["gpt-image-async"] = streams(*STREAM)
    seen = []
    async for part in await async_client.images.generate(
        model="gpt-image-async", prompt=PROMPT, stream=True, partial_images=2
    ):
        rows = await asyncio.to_thread(account.requests)
        seen.append((part.type.rpartition(".")[2], bool(rows)))
    assert seen[-1] == ("completed", True)


def test_an_edit_goes_up_as_a_form_with_its_files(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    """Several pictures and a mask; the tokens of those that were given have their own rate."""
    told = usage(400, 272, input_tokens_details={"text_tokens": 12, "image_tokens": 388})
    upstream.behaviours["gpt-image-e"] = answers(whole({"b64_json": PICTURE}, usage=told))
    answer = client.images.edit(
        model="gpt-image-e", prompt=PROMPT, image=FILES, mask=("m.png", SQUARE, "image/png"), n=1
    )
    assert answer.usage is not None
    assert answer.usage.input_tokens == 400
    assert upstream.received[-1] == {
        "model": "gpt-image-e",
        "prompt": PROMPT,
        "n": "1",
        "image[]": [file[:2] for file in FILES],
        "mask": ("m.png", SQUARE),
    }
    row = account.last()
    assert (row["endpoint"], row["charged"]) == ("images.edits", "0.011324")


def test_an_edit_streams_as_well(client: openai.OpenAI, upstream: ScriptedUpstream, account: Account) -> None:
    upstream.behaviours["gpt-image-es"] = streams(
        partial(0, "image_edit"), completed("image_edit", usage=usage())
    )
    stream = client.images.edit(
        model="gpt-image-es", prompt=PROMPT, image=("a.png", SQUARE), stream=True, partial_images=1
    )
    assert [each.type for each in stream] == ["image_edit.partial_image", "image_edit.completed"]
    assert upstream.received[-1]["stream"] == "true"
    assert account.last()["outcome"] == "complete"


def test_an_edit_of_what_lies_elsewhere_needs_an_allowance(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """As JSON, by an address: the card of tokens allows for it, the other one does not."""
    upstream.behaviours |= dict.fromkeys(("gpt-image-j", "painter-j"), answers(whole({"b64_json": PICTURE})))
    images = [{"image_url": "https://host/a.png"}, {"image_url": "https://host/b.png"}]
    codes = []
    for model in ("gpt-image-j", "painter-j"):
        body = {"model": model, "prompt": PROMPT, "images": images}
        status, _, answer = account.api.ask("POST", "/v1/images/edits", body)
        codes.append((status, answer.get("error", {}).get("code")))
    assert codes == [(200, None), (403, "unpriced_feature")]


def test_variations_are_made_of_a_file(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account
) -> None:
    upstream.behaviours["painter-v"] = answers(whole(*[{"b64_json": PICTURE}] * 2))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer = client.images.create_variation(
            model="painter-v", image=("a.png", SQUARE), n=2, size="256x256", response_format="b64_json"
        )
    assert answer.data is not None
    assert len(answer.data) == 2
    row = account.last()
    assert (row["endpoint"], row["charged"]) == ("images.variations", "0.04")
    assert upstream.received[-1]["image"] == ("a.png", SQUARE)


async def break_off(response: web.StreamResponse) -> None:
    transport = response._req.transport if response._req else None
    assert transport is not None
    transport.abort()


@pytest.mark.parametrize(
    "behaviour",
    [
        streams(STREAM[0], then=break_off),
        streams(STREAM[0]),
        streams(STREAM[0], event("error", error={"code": "image_generation_failed", "message": "No."})),
    ],
    ids=["broken off", "not finished", "an error within"],
)
def test_a_stream_that_fails_raises_and_costs_what_came(
    client: openai.OpenAI, upstream: ScriptedUpstream, account: Account, behaviour: Behaviour
) -> None:
    """No client takes it for whole."""
    upstream.behaviours["gpt-image-f"] = behaviour
    found = []
    with pytest.raises(openai.APIError):  # noqa: PT012 - the stream raises while it is read.
        for part in client.images.generate(model="gpt-image-f", prompt=PROMPT, stream=True, partial_images=1):
            found.append(part.type)  # noqa: PERF401 - what came before the fault counts.
    assert found == ["image_generation.partial_image"]
    row = account.last()
    assert (row["outcome"], row["basis"]) == ("upstream_failed", "counted")
    assert (row["usage"]["output_tokens"], row["usage"]["images"]) == (100, 1)


def test_what_cannot_be_paid_for_is_refused_before_anything_is_drawn(
    server: Server, upstream: ScriptedUpstream
) -> None:
    """Nothing is clamped: no upstream could be told."""
    upstream.behaviours["gpt-image-poor"] = answers(whole({"b64_json": PICTURE}))
    poor, before = server.account("0.20"), len(upstream.received)
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=poor.secret) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.images.generate(model="gpt-image-poor", prompt=PROMPT)
    assert (caught.value.status_code, caught.value.code) == (402, "request_exceeds_balance")
    assert len(upstream.received) == before


def test_the_price_of_text_is_none_of_a_picture(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """A card for chats that matches every model does not make pictures cheap."""
    upstream.behaviours["other"] = answers(whole({"b64_json": PICTURE}))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.images.generate(model="other", prompt=PROMPT)
    assert caught.value.code == "model_not_priced"
