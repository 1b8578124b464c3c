"""A chat is sighted where it was to be stored and came to its end, however its bytes come."""

import json
from typing import Any

import pytest

from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.openai.chat import ChatEndpoint
from proxy.endpoints.openai.stored_chats import METADATA_BYTES_MAX, STORED_CHATS, StoredChatAsk, read_chat
from proxy.endpoints.tallies.sighted import Sighting
from proxy.errors import Refusal
from tests.acceptance.scripted_upstream import DONE, chunk, completion, usage_chunk

SIZES = (1, 7, 64, 1_000, 10**9)


def asked(**members: object) -> GenerationAsk:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    return ChatEndpoint().read(json.dumps(body).encode())


def sighted(reply: bytes, size: int = 10**9, **members: object) -> Sighting | None:
    """What is sighted of a reply that comes in pieces of this size; only where the whole is complete."""
    ask = asked(store=True, **members)
    assert isinstance(ask, StoredChatAsk)
    tally: Any = ask.tally()
    for at in range(0, len(reply), size):
        tally.feed(reply[at : at + size])
    tally.finish()
    sighting: Sighting | None = tally.sighting if tally.complete else None
    return sighting


STREAM = b"".join((chunk("Hello"), chunk(finish="stop"), usage_chunk(1, 2), DONE))
WHOLE = json.dumps(completion(metadata={"a": "c"})).encode()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("reply", "stream", "metadata"), [(WHOLE, False, {"a": "c"}), (STREAM, True, {"a": "b"})]
)
def test_pieces_do_not_matter(size: int, reply: bytes, stream: bool, metadata: object) -> None:
    """What the answer tells of its metadata counts, or else what the request says."""
    sighting = sighted(reply, size, stream=stream, metadata={"a": "b"})
    assert sighting is not None
    assert (sighting.id, sighting.state, sighting.used) == ("chatcmpl-1", "complete", None)
    assert json.loads(sighting.seen) == {
        "object": "chat.completion",
        "choices": [],
        "id": "chatcmpl-1",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "metadata": metadata,
    }


@pytest.mark.parametrize("members", [{}, {"store": False}, {"store": None}])
def test_a_chat_that_is_not_to_be_stored_makes_no_object(members: dict[str, object]) -> None:
    """It is the plain request that it would be if nothing were ever stored."""
    ask = asked(**members)
    assert type(ask) is GenerationAsk
    assert not STORED_CHATS.made_by(ask)
    assert STORED_CHATS.made_by(asked(store=True))


@pytest.mark.parametrize("store", ["true", 1, [], {}])
def test_what_two_servers_could_read_differently_is_refused(store: object) -> None:
    """Some take other values for true, and would store what nobody then has."""
    with pytest.raises(Refusal) as caught:
        asked(store=store)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "store")


@pytest.mark.parametrize(
    "reply", [chunk("Hello"), chunk("Hello") + b'data: {"error":{"message":"x"}}\n\n' + DONE, b"", DONE]
)
def test_a_stream_that_did_not_come_to_its_end_is_none(reply: bytes) -> None:
    assert sighted(reply, stream=True) is None


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"x",
        b"{}",
        b'{"id":7}',
        b'{"id":null}',
        b'{"id":"../x"}',
        b'{"id":""}',
        b'{"id":"a b"}',
        b'{"id":"a\\u0000"}',
        b'{"id":"chatcmpl-1","model":"\xff"}',
    ],
)
def test_what_has_no_id_that_can_be_asked_for_is_none(data: bytes) -> None:
    assert read_chat(data) is None


def test_nothing_long_is_kept() -> None:
    """Neither what was said, nor names or metadata beyond their bounds."""
    long = "x" * METADATA_BYTES_MAX
    reply = completion(long, id="chat_1", model=long, metadata={"a": long}, created=long, user=long)
    sighting = read_chat(json.dumps(reply).encode())
    assert sighting is not None
    assert json.loads(sighting.seen) == {"object": "chat.completion", "choices": [], "id": "chat_1"}
    again = sighted(json.dumps(completion()).encode(), metadata={"a": long})
    assert again is not None
    assert "metadata" not in json.loads(again.seen)
