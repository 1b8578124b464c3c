"""What an upstream tells of its own tools: wherever its maker puts that, and whatever it is."""

from typing import Any

import pytest

from proxy.endpoints.openai.responses.usage import ResponseUsage
from proxy.endpoints.tallies.usage import Report, UsageReport

TOLD: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "OpenAI": ({"tool_usage": {"image_gen": {}, "web_search": {"num_requests": 2}}}, {"web_searches": 2}),
    "OpenRouter": ({"server_tool_use": {"web_search_requests": 2}}, {"web_searches": 2}),
    "OpenRouter's details": ({"server_tool_use_details": {"web_search_requests": 0}}, {"web_searches": 0}),
    "xAI": (
        {
            "num_server_side_tools_used": 9,
            "server_side_tool_usage_details": {
                "web_search_calls": 1,
                "x_search_calls": 4,
                "code_interpreter_calls": 2,
                "file_search_calls": 1,
                "mcp_calls": 7,
                "document_search_calls": 1,
                "image_generation_calls": 0,
            },
        },
        {"web_searches": 5, "containers": 2, "file_searches": 2, "images": 0},
    ),
    "Perplexity": (
        {"tool_calls_details": {"search_web": {"cost_usd": 0.001, "invocation": 3}, "other": {}}},
        {"web_searches": 3},
    ),
    "Perplexity's chats": ({"num_search_queries": 3}, {"web_searches": 3}),
    "nothing": ({"server_tool_use": None, "tool_usage": {}, "num_search_queries": None}, {}),
    "no object": ({"server_tool_use": 3, "tool_usage": [1]}, {}),
}
FORMS = {
    "chat": (UsageReport, {"prompt_tokens": 7, "completion_tokens": 3}),
    "response": (ResponseUsage, {"input_tokens": 7, "output_tokens": 3}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("told", "meters"), TOLD.values(), ids=TOLD)
def test_what_is_told_counts_beside_the_tokens(
    told: dict[str, Any], meters: dict[str, int], form: str
) -> None:
    make, tokens = FORMS[form]
    report: Report = make()
    for usage in ({**tokens, **told}, told, tokens):
        report.add(usage)
    reading = report.reading()
    assert reading is not None
    assert (reading.usage, reading.anomalies) == ({"input_tokens": 7, "output_tokens": 3, **meters}, 0)


@pytest.mark.parametrize("absurd", [-1, 10**30, "many", float("nan"), True, [1]])
def test_an_absurd_figure_is_an_anomaly_and_says_nothing(absurd: object) -> None:
    report = UsageReport()
    report.add({"prompt_tokens": 7, "completion_tokens": 3, "num_search_queries": absurd})
    reading = report.reading()
    assert reading is not None
    assert (reading.usage, reading.anomalies) == ({"input_tokens": 7, "output_tokens": 3}, 1)
