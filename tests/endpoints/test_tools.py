"""Tools: any bytes in, any bytes out; one request, and what the plan of the route measures."""

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Measure, Parameter, ToolPlan
from proxy.endpoints.tools import ToolEndpoint

ENDPOINT = ToolEndpoint("search", "/v1/search")
CREDITS = Measure("credits", Source("answer", "/credits", pointer_of("/credits")), most=5_000_000)
URLS = Measure("urls", Source("request", "/urls", pointer_of("/urls")), most=10)
MEASURED = ToolEndpoint("scrape", "/v1/scrape", ToolPlan((CREDITS, URLS)))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\x00", b'{"model":"x","stream":true}'])
def test_the_body_goes_on_as_it_came(body: bytes) -> None:
    ask = ENDPOINT.read(body)
    assert ask.forward_body(ForwardPlan("other", output_bound=1)) == body
    assert (ask.model, ask.stream, ask.ceiling().choices, ask.ceiling().bound) == ("search", False, 1, None)
    assert ask.ceiling().fixed == ask.ceiling_exact().fixed == ask.estimate("other") == {"requests": 1}
    assert ask.features == ()


def test_a_body_that_is_read_goes_on_as_it_came_too() -> None:
    body = b' {"urls": ["a",  "b"], "x": 1.50}\n'
    assert MEASURED.read(body).forward_body(ForwardPlan("other")) == body


def test_what_the_answer_tells_is_held_as_far_as_it_may_go() -> None:
    """What the request says is fixed; what the answer may say is allowed. Either needs a rate."""
    ask = MEASURED.read(b'{"urls": ["a", "b"]}')
    assert ask.ceiling().fixed == {"requests": 1, "urls": 2}
    assert [(feature.needs, feature.allowed) for feature in ask.features] == [
        (("rates.credits",), {"credits": 5_000_000}),
        (("rates.urls",), {}),
    ]
    assert MEASURED.meters == ("credits", "urls")


def test_the_path_is_the_same_upstream() -> None:
    assert (ENDPOINT.name, ENDPOINT.path, ENDPOINT.upstream_path) == ("tools", "/v1/search", "/v1/search")
    assert ENDPOINT.meters == ("requests",)


def test_a_tool_has_the_parameters_that_its_plan_names() -> None:
    stealth = Parameter("stealth", Source("request", "/stealth", ("stealth",)), "false")
    endpoint = ToolEndpoint("scrape", "/v1/scrape", ToolPlan(parameters=(stealth,)))
    assert endpoint.read(b'{"stealth": true}').parameters == {"stealth": "true"}
    assert endpoint.read(b"").parameters == {"stealth": "false"}
    assert ENDPOINT.read(b'{"stealth": true}').parameters == {}
