"""The tools of a response: which are the caller's own, and what the upstream's take."""

from typing import Any

import pytest

from proxy.endpoints.features import ALLOWANCE
from proxy.endpoints.openai.responses.tools import MOST_USES, USES_MAX
from proxy.errors import Refusal
from tests.endpoints.openai.responses.requests import FUNCTION, is_refused, needs, read, sent


@pytest.mark.parametrize(
    "tool",
    [
        FUNCTION,
        {"type": "custom", "name": "f", "format": {"type": "grammar"}},
        {"type": "namespace", "name": "n", "description": "d", "tools": [FUNCTION]},
        {"type": "tool_search", "execution": "client"},
        {"type": "computer"},
        {"type": "computer_use_preview", "display_height": 1, "display_width": 1, "environment": "mac"},
        {"type": "local_shell"},
        {"type": "apply_patch"},
        {"type": "shell", "environment": {"type": "local"}},
    ],
)
def test_the_callers_own_tools_are_but_text(tool: dict[str, Any]) -> None:
    ask = read(tools=[tool])
    assert ask.features == ()
    body = sent(ask)
    assert body["tools"] == [tool]
    assert "max_tool_calls" not in body


@pytest.mark.parametrize(
    ("tool", "meter"),
    [
        ({"type": "web_search"}, "web_searches"),
        ({"type": "web_search_2025_08_26", "search_context_size": "high"}, "web_searches"),
        ({"type": "web_search_preview"}, "web_searches"),
        ({"type": "web_search_preview_2025_03_11"}, "web_searches"),
        ({"type": "file_search", "vector_store_ids": ["vs_1"]}, "file_searches"),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "containers"),
        ({"type": "image_generation"}, "images"),
        ({"type": "image_generation", "size": "1024x1024", "partial_images": 2}, "images"),
    ],
)
@pytest.mark.parametrize("told", [None, 1, 3, MOST_USES])
def test_what_the_upstream_carries_out_is_held_as_often_as_it_may_be(
    tool: dict[str, Any], meter: str, told: int | None
) -> None:
    """It is charged as far as the answer tells it; how often it may be at most goes up with the request."""
    ask = read(tools=[tool, FUNCTION], **({} if told is None else {"max_tool_calls": told}))
    uses = USES_MAX if told is None else told
    assert needs(ask) == {f"rates.{meter}", ALLOWANCE}
    assert [feature.allowed for feature in ask.features if feature.allowed] == [{meter: uses}]
    assert [feature.hidden for feature in ask.features if feature.hidden] == [{"input_tokens": uses}]
    body = sent(ask)
    assert body["max_tool_calls"] == uses
    assert body["tools"] == [tool, FUNCTION]


def test_all_tools_together_have_so_many_uses() -> None:
    ask = read(tools=[{"type": "web_search"}, {"type": "file_search", "vector_store_ids": []}])
    assert sum(feature.hidden.get("input_tokens", 0) for feature in ask.features) == USES_MAX


def test_a_server_of_tools_takes_the_allowance_alone() -> None:
    ask = read(tools=[{"type": "mcp", "server_label": "s", "server_url": "https://host"}])
    assert needs(ask) == {ALLOWANCE}
    assert sent(ask)["max_tool_calls"] == USES_MAX


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "unheard_of"},
        {"type": ["function"]},
        {"type": 7},
        {"type": ""},
        {},
        {"type": "function", "name": "f", "unheard_of": 1},
        {"type": "computer", "display_height": 1},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "shell", "environment": {"type": "local", "container_id": "x"}},
        {"type": "shell"},
        {"type": "namespace", "name": "n", "tools": [{"type": "mcp", "server_url": "x"}]},
        {"type": "namespace", "name": "n", "tools": {"type": "mcp"}},
        {"type": "programmatic_tool_calling"},
        {"type": "web_searching"},
    ],
)
def test_a_tool_of_no_known_kind_is_one_of_the_upstreams(tool: dict[str, Any]) -> None:
    ask = read(tools=[tool])
    assert needs(ask) == {"rates.server_tools", ALLOWANCE}
    assert sent(ask)["max_tool_calls"] == USES_MAX


@pytest.mark.parametrize(
    "more",
    [
        {"output_format": "svg", "svg": {"model": "dear"}},
        {"output_format": "gif", "frame_count": 9},
        {"output_format": "svg"},
        {"frame_count": 100},
        {"complexity": "high"},
        {"unheard_of": 1},
    ],
)
def test_a_picture_that_is_more_than_one_is_refused(more: dict[str, Any]) -> None:
    assert is_refused(read(tools=[{"type": "image_generation", **more}]))


def test_no_tools_turn_nothing_on() -> None:
    assert read(tools=[]).features == ()
    assert read(tools=None).features == ()


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([], "none none none"),
        ([{"type": "image_generation"}], "auto auto auto"),
        (
            [FUNCTION, {"type": "image_generation", "model": "gpt-image-2", "size": "1024x1024"}],
            "gpt-image-2 1024x1024 auto",
        ),
        ([{"type": "image_generation", "quality": "high", "size": None}], "auto auto high"),
    ],
)
def test_what_decides_the_price_of_a_picture_is_told(tools: list[Any], told: str) -> None:
    """Rate cards have cases for it."""
    found = read(tools=tools).parameters
    assert list(found) == [f"image_generation.{name}" for name in ("model", "size", "quality")]
    assert " ".join(found.values()) == told


def test_pictures_of_two_prices_in_one_request_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        read(tools=[{"type": "image_generation"}, {"type": "image_generation", "quality": "high"}])
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    "container",
    ["cntr_1", {"id": "cntr_1"}, {"type": "container_reference", "container_id": "x"}, ["cntr_1"], 7],
)
def test_a_container_that_is_there_already_is_refused(container: object) -> None:
    """It could be another account's, with what that has put into it."""
    assert is_refused(read(tools=[{"type": "code_interpreter", "container": container}]))
    assert is_refused(read(tools=[{"type": "shell", "environment": container}]))
