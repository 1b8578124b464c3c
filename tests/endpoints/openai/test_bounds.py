"""How much of anything a body may hold: as much as the bound is read, and more is refused by name."""

import json
from collections.abc import Callable

import pytest

from proxy.endpoints.openai.chat import MESSAGES_MAX, PARTS_MAX, TOOLS_MAX
from proxy.endpoints.reading.body import CONTAINERS_MAX, MEMBERS_MAX
from proxy.endpoints.reading.inputs import INPUTS_MAX
from proxy.endpoints.reading.values import VALUES_MAX
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal
from tests.readme import README

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


def written(**members: object) -> bytes:
    return json.dumps({"model": "m", **members}, separators=(",", ":")).encode()


def parts(count: int) -> list[object]:
    """Messages with so many parts, shared among some of them."""
    part = {"type": "text", "text": "a"}
    return [{"role": "user", "content": [part] * (count - count // 2)}, {"content": [part] * (count // 2)}]


def values(count: int) -> object:
    """A value that holds so many others: a list and its items."""
    return [[1] * (count // 2 - 1), [1] * (count - count // 2 - 1)]


Body = Callable[[int], bytes]
BOUNDS: list[tuple[str, str | None, int, Body]] = [
    (CHAT, "messages", MESSAGES_MAX, lambda n: written(messages=[{}] * n)),
    (
        CHAT,
        "messages",
        MESSAGES_MAX,
        lambda n: written(messages=[{"role": "user", "content": "a, b" * 99}] * n),
    ),
    (CHAT, "messages", PARTS_MAX, lambda n: written(messages=parts(n))),
    (CHAT, "tools", TOOLS_MAX, lambda n: written(messages=[], tools=[{"type": "x"}] * n)),
    (CHAT, "functions", TOOLS_MAX, lambda n: written(messages=[], functions=[1] * n)),
    (CHAT, "plugins", TOOLS_MAX, lambda n: written(messages=[], plugins=[{"id": "web"}] * n)),
    (CHAT, "search_settings", TOOLS_MAX, lambda n: written(messages=[], search_settings=[1] * n)),
    (CHAT, "response_format", VALUES_MAX, lambda n: written(messages=[], response_format=values(n))),
    (CHAT, "tool_choice", VALUES_MAX, lambda n: written(messages=[], tool_choice=values(n))),
    (COMPLETIONS, "prompt", INPUTS_MAX, lambda n: written(prompt=["a"] * n)),
    (COMPLETIONS, "prompt", INPUTS_MAX, lambda n: written(prompt=[[1]] * n)),
    (EMBEDDINGS, "input", INPUTS_MAX, lambda n: written(input=["a"] * n)),
    (EMBEDDINGS, "input", INPUTS_MAX, lambda n: written(input=[[1, 2]] * n)),
    (CHAT, None, MEMBERS_MAX, lambda n: written(messages=[], **{f"k{at}": 1 for at in range(n - 2)})),
    (
        CHAT,
        None,
        MEMBERS_MAX,
        lambda n: written(messages=["x" * 70_000], **{f"k{at}": 1 for at in range(n - 2)}),
    ),
    (CHAT, None, CONTAINERS_MAX, lambda n: written(messages=[], extra=[{}] * (n - 3))),
]
NAMES = [f"{path.rpartition('/')[2]}-{member or 'body'}-{bound}" for path, member, bound, _ in BOUNDS]


@pytest.mark.parametrize(("path", "member", "bound", "body"), BOUNDS, ids=NAMES)
def test_as_much_as_the_bound_is_read_and_more_is_refused_by_name(
    path: str, member: str | None, bound: int, body: Body
) -> None:
    ENDPOINTS[path].read(body(bound))
    with pytest.raises(Refusal) as refused:
        ENDPOINTS[path].read(body(bound + 1))
    assert (refused.value.code, refused.value.param) == ("invalid_value", member)
    assert str(bound + 1) in refused.value.message
    assert str(bound) in refused.value.message.replace(str(bound + 1), "")


def test_each_bound_is_in_the_readme() -> None:
    for bound in {bound for _, _, bound, _ in BOUNDS}:
        assert f"{bound:,}" in README.text


def test_a_list_of_token_ids_is_one_input_however_long() -> None:
    ask = ENDPOINTS[EMBEDDINGS].read(written(input=[7] * 1_000_000))
    assert ask.ceiling_exact().fixed["input_tokens"] == 1_000_000


def test_commas_within_texts_are_no_items() -> None:
    ask = ENDPOINTS[CHAT].read(written(messages=[{"role": "user", "content": ",[{" * 200_000}]))
    assert ask.ceiling().fixed["input_tokens"] > 600_000
