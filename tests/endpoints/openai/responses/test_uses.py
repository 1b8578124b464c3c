"""What the upstream did by itself for a response: each thing once, seen by its items or told by its usage."""

from typing import Any

import pytest

from tests.endpoints.events import fed
from tests.endpoints.openai.responses.read import REPORTED, read_whole, streamed, tally
from tests.endpoints.openai.responses.replies import event, response, text


@pytest.mark.parametrize(
    ("item", "meters"),
    [
        ({"type": "web_search_call", "id": "w", "status": "completed"}, {"web_searches": 1}),
        ({"type": "web_search_call", "id": "w", "action": {"type": "search"}}, {"web_searches": 1}),
        ({"type": "web_search_call", "id": "w", "action": {"type": "open_page"}}, {}),
        ({"type": "web_search_call", "id": "w", "status": "failed"}, {}),
        ({"type": "file_search_call", "id": "w", "status": "completed"}, {"file_searches": 1}),
        ({"type": "image_generation_call", "id": "w", "status": "completed"}, {"images": 1}),
        ({"type": "image_generation_call", "id": "w", "status": "generating"}, {}),
        ({"type": "image_generation_call", "id": "w", "status": "generating", "result": ""}, {}),
        (
            {"type": "image_generation_call", "id": "w", "status": "generating", "result": "QUJD"},
            {"images": 1},
        ),
        (
            {"type": "x_search_call", "id": "w", "name": "x_user_search", "arguments": "{}"},
            {"web_searches": 1},
        ),
        ({"type": "code_interpreter_call", "id": "w", "container_id": "c"}, {"containers": 1}),
        ({"type": "mcp_call", "id": "w", "name": "f", "arguments": ""}, {}),
    ],
)
def test_what_the_upstream_did_by_itself_counts_once(item: dict[str, Any], meters: dict[str, int]) -> None:
    """Where its item ends, or with the whole response; never for both."""
    done = event("response.output_item.done", output_index=0, item=item)
    end = event("response.completed", response=response(item))
    for reply in (streamed(done, end), streamed(end), streamed(done, done, end), read_whole(response(item))):
        reading = reply.reported()
        assert reading is not None
        assert reading.usage == REPORTED.usage | meters
        assert set(reading.inferred) == set(meters)


def test_what_a_cut_stream_did_by_then_counts() -> None:
    item = {"type": "web_search_call", "id": "w", "status": "completed"}
    stream = streamed(event("response.output_item.done", output_index=0, item=item))
    assert stream.produced(0, "m") == {"output_tokens": 0, "web_searches": 1}


BEGUN: dict[str, tuple[dict[str, Any], bytes, dict[str, int]]] = {
    "a picture of which a part is shown": (
        {"type": "image_generation_call", "id": "ig_1"},
        event(
            "response.image_generation_call.partial_image",
            output_index=0,
            item_id="ig_1",
            partial_image_b64="QUJD",
        ),
        {"images": 1},
    ),
    "a container that was made": (
        {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
        event("response.code_interpreter_call.interpreting", output_index=0, item_id="ci_1"),
        {"containers": 1},
    ),
}


@pytest.mark.parametrize(("item", "goes_on", "meters"), BEGUN.values(), ids=BEGUN)
def test_what_a_client_leaves_before_its_end_is_paid_for_and_its_end_costs_no_more(
    item: dict[str, Any], goes_on: bytes, meters: dict[str, int]
) -> None:
    begins = event("response.output_item.added", output_index=0, item=item | {"status": "in_progress"})
    left = streamed(begins, goes_on, goes_on)
    assert left.produced(0, "m") == {"output_tokens": 0} | meters
    done = item | {"status": "completed", "result": "QUJD"}
    ends = (
        event("response.output_item.done", output_index=0, item=done),
        event("response.completed", response=response(done)),
    )
    reading = streamed(begins, goes_on, goes_on, *ends).reported()
    assert reading is not None
    assert reading.usage == REPORTED.usage | meters


@pytest.mark.parametrize("size", [None, 10**6, 7])
def test_what_only_the_end_tells_counts_however_it_comes(size: int | None) -> None:
    """Events without names, as other makers send them: each is read once, also one that is a whole chunk."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    begins = event("response.created", response=response(status="in_progress", usage=None))
    ends = event("response.completed", response=response(search, text("Hello."), usage=None))
    events = [one.split(b"\n", 1)[1] for one in (begins, ends)]
    data = b"".join(events)
    step = size or 1
    stream = tally()
    passed = fed(
        stream, events if size is None else [data[at : at + step] for at in range(0, len(data), step)]
    )
    assert passed + stream.tail() == data
    assert (stream.output_text(), stream.complete) == ("Hello.", True)
    assert stream.produced(0, "m") == {"output_tokens": 0, "web_searches": 1}


ODD = [[], ["message"], {}, {"type": "message"}, 7, True, None, "unheard_of"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "name", ["type", "status", "id", "role", "name", "action", "container_id", "result", "content"]
)
@pytest.mark.parametrize(
    "kind", ["message", "web_search_call", "code_interpreter_call", "function_call", "image_generation_call"]
)
def test_an_item_of_any_form_is_read(kind: str, name: str, odd: object) -> None:
    """As it begins, ends and is told again: whatever its upstream means, no fault of ours comes of it."""
    item = {"type": kind, "id": "x", "status": "completed", "content": [], name: odd}
    events = [
        event("response.output_item.added", output_index=0, item=item),
        event("response.output_item.done", output_index=0, item=item),
        event("response.completed", response=response(item)),
    ]
    reading = streamed(*events).reported()
    assert reading is not None
    assert reading.usage.items() >= REPORTED.usage.items()
    assert all(n <= 1 for meter, n in reading.usage.items() if meter not in REPORTED.usage)


def test_items_that_nothing_tells_apart_count_once() -> None:
    """Some servers leave out ids and places: then items end in the order in which they are in the whole."""
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    said = {"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}
    stream = streamed(
        event("response.output_item.done", item=search),
        event("response.output_text.delta", delta="Hel"),
        event("response.output_text.delta", delta="lo."),
        event("response.output_item.done", item=said),
        event("response.completed", response=response(search, said, usage=None)),
    )
    assert stream.output_text() == "Hello."
    assert stream.produced(0, "m") == {"output_tokens": 0, "web_searches": 1}


def test_what_was_found_or_said_by_others_is_no_output() -> None:
    """As of a conversation that was made shorter, and of pages that another maker's search has found."""
    kept = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "not this"}]}
    pages = {"type": "search_results", "queries": ["not this"], "results": [{"snippet": "not this"}]}
    whole = read_whole(response(kept, pages, text("Hello."), usage=None))
    assert (whole.output_text(), whole.has_data) == ("Hello.", False)


def test_a_container_is_paid_for_once() -> None:
    items = [
        {"type": "code_interpreter_call", "id": f"ci_{number}", "container_id": f"cntr_{number % 2}"}
        for number in range(5)
    ]
    reading = read_whole(response(*items)).reported()
    assert reading is not None
    assert reading.usage["containers"] == 2


@pytest.mark.parametrize("told", [3, 0])
def test_what_the_usage_of_tools_says_stands(told: int) -> None:
    item = {"type": "web_search_call", "id": "w", "status": "completed"}
    reply = response(item, tool_usage={"web_search": {"num_requests": told}})
    for read in (read_whole(reply), streamed(event("response.completed", response=reply))):
        reading = read.reported()
        assert reading is not None
        assert (reading.usage["web_searches"], reading.inferred) == (told, {})
