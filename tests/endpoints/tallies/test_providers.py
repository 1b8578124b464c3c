"""The usage of a reply is read as each provider writes it: bytes of the shapes that they send."""

import json
from typing import Any

import pytest

from proxy.endpoints.base import Reading, Tally
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from tests.endpoints.events import DONE, cut, fed

CHOICE = '"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]'
DELTA = '"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]'
STOP = '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'

OPENROUTER = (
    '"usage":{"prompt_tokens":194,"completion_tokens":2,"total_tokens":196,"cost":0.00095,"is_byok":false,'
    '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0,"video_tokens":0},'
    '"cost_details":{"upstream_inference_cost":null,"upstream_inference_prompt_cost":0.000776,'
    '"upstream_inference_completions_cost":1.6e-05},"completion_tokens_details":{"reasoning_tokens":0}}'
)
DEEPSEEK = (
    '"usage":{"prompt_tokens":19,"completion_tokens":4,"total_tokens":23,"prompt_tokens_details":'
    '{"cached_tokens":12},"prompt_cache_hit_tokens":12,"prompt_cache_miss_tokens":7}'
)
GROQ = (
    '"usage":{"queue_time":0.037493756,"prompt_tokens":18,"prompt_time":0.000680594,"completion_tokens":5,'
    '"completion_time":0.463333333,"total_tokens":23,"total_time":0.464013927}'
)
MISTRAL = '"usage":{"prompt_audio_seconds":5,"prompt_tokens":4,"total_tokens":410,"completion_tokens":31}'
MISTRAL_TEXT = '"usage":{"prompt_audio_seconds":{},"prompt_tokens":4,"total_tokens":9,"completion_tokens":5}'
COHERE = (
    '"usage":{"billed_units":{"input_tokens":5.0,"output_tokens":418.0},'
    '"tokens":{"input_tokens":71.0,"output_tokens":418.0},"cached_tokens":64.0}'
)
COHERE_FLOATS = '"usage":{"prompt_tokens":5.0,"completion_tokens":418.0,"total_tokens":423.0}'
TIMINGS = (
    '"timings":{"cache_n":236,"prompt_n":1,"prompt_ms":30.958,"prompt_per_token_ms":30.958,'
    '"prompt_per_second":32.3,"predicted_n":35,"predicted_ms":661.064,"predicted_per_token_ms":18.887,'
    '"predicted_per_second":52.9}'
)
LLAMA_USAGE = '"usage":{"completion_tokens":35,"prompt_tokens":237,"total_tokens":272}'
MOONSHOT = '"usage":{"prompt_tokens":64,"completion_tokens":9,"total_tokens":73,"cached_tokens":48}'
GATEWAY = (
    '"usage":{"prompt_tokens":675,"completion_tokens":1,"total_tokens":676,"cost":3e-05,'
    '"prompt_tokens_details":{"cached_tokens":600,"audio_tokens":0,"video_tokens":0},'
    '"cache_creation_input_tokens":70,"market_cost":3e-05}'
)
LITELLM = (
    '"usage":{"prompt_tokens":900,"completion_tokens":4,"total_tokens":904,"prompt_tokens_details":'
    '{"cached_tokens":0,"cache_creation_tokens":800},"cache_creation_input_tokens":800,'
    '"cache_read_input_tokens":0}'
)
QWEN = (
    '"usage":{"prompt_tokens":900,"completion_tokens":4,"total_tokens":904,"prompt_tokens_details":'
    '{"cache_type":"ephemeral","cache_creation":{"ephemeral_5m_input_tokens":300},'
    '"cache_creation_input_tokens":300,"cached_tokens":500}}'
)
SEARCHED = (
    '"usage":{"prompt_tokens":8174,"completion_tokens":30,"total_tokens":8204,"cost":0.0133,'
    '"server_tool_use_details":{"web_search_requests":2}}'
)
UNSEARCHED = '"usage":{"prompt_tokens":9,"completion_tokens":1,"server_tool_use":{"web_search_requests":0}}'
DEEP = (
    '"usage":{"prompt_tokens":33,"completion_tokens":7163,"total_tokens":7196,"search_context_size":"low",'
    '"citation_tokens":19028,"num_search_queries":18,"reasoning_tokens":193699}'
)
XAI = (
    '"usage":{"prompt_tokens":197,"completion_tokens":1,"total_tokens":344,"prompt_tokens_details":'
    '{"text_tokens":197,"audio_tokens":0,"image_tokens":0,"cached_tokens":192},"completion_tokens_details":'
    '{"reasoning_tokens":146,"audio_tokens":0},"num_sources_used":0,"cost_in_usd_ticks":4121500}'
)
PERPLEXITY = (
    '"usage":{"prompt_tokens":8,"completion_tokens":439,"total_tokens":447,"search_context_size":"low",'
    '"cost":{"input_tokens_cost":2.4e-05,"output_tokens_cost":0.006585,"request_cost":0.006,"total_cost":0.013}}'
)

Meters = dict[str, int]
PROVIDERS: dict[str, tuple[str, Meters]] = {
    "OpenRouter": (OPENROUTER, {"input_tokens": 194, "output_tokens": 2}),
    "DeepSeek": (DEEPSEEK, {"input_tokens": 19, "cached_input_tokens": 12, "output_tokens": 4}),
    "Groq": (GROQ, {"input_tokens": 18, "output_tokens": 5}),
    "Groq in x_groq": (
        f'"x_groq":{{"id":"req_01","usage":{GROQ[8:]}}}',
        {"input_tokens": 18, "output_tokens": 5},
    ),
    "Mistral with sound": (MISTRAL, {"input_tokens": 379, "input_audio_tokens": 375, "output_tokens": 31}),
    "Mistral without": (MISTRAL_TEXT, {"input_tokens": 4, "output_tokens": 5}),
    "Cohere": (COHERE, {"input_tokens": 71, "cached_input_tokens": 64, "output_tokens": 418}),
    "Cohere in OpenAI's form": (COHERE_FLOATS, {"input_tokens": 5, "output_tokens": 418}),
    "llama.cpp without usage": (
        TIMINGS,
        {"input_tokens": 237, "cached_input_tokens": 236, "output_tokens": 35},
    ),
    "llama.cpp": (f"{LLAMA_USAGE},{TIMINGS}", {"input_tokens": 237, "output_tokens": 35}),
    "Perplexity": (PERPLEXITY, {"input_tokens": 8, "output_tokens": 439}),
    "Perplexity's research, which bills pages and reasoning beside": (
        DEEP,
        {
            "input_tokens": 19061,
            "output_tokens": 200862,
            "reasoning_tokens": 193699,
            "web_searches": 18,
        },
    ),
    "Moonshot": (MOONSHOT, {"input_tokens": 64, "cached_input_tokens": 48, "output_tokens": 9}),
    "a gateway": (
        GATEWAY,
        {"input_tokens": 675, "cached_input_tokens": 600, "cache_write_tokens": 70, "output_tokens": 1},
    ),
    "LiteLLM": (LITELLM, {"input_tokens": 900, "cache_write_tokens": 800, "output_tokens": 4}),
    "Qwen": (
        QWEN,
        {"input_tokens": 900, "cached_input_tokens": 500, "cache_write_tokens": 300, "output_tokens": 4},
    ),
    "OpenRouter with searches": (
        SEARCHED,
        {"input_tokens": 8174, "output_tokens": 30, "web_searches": 2},
    ),
    "OpenRouter without": (UNSEARCHED, {"input_tokens": 9, "output_tokens": 1, "web_searches": 0}),
    "xAI": (
        XAI,
        {
            "input_tokens": 197,
            "cached_input_tokens": 192,
            "output_tokens": 147,
            "reasoning_tokens": 146,
        },
    ),
}


def read(tally: Tally, data: bytes, places: list[int]) -> Reading | None:
    passed = fed(tally, cut(data, places))
    tally.finish()
    assert tally.complete
    assert passed + tally.tail() == data
    return tally.reported()


@pytest.mark.parametrize("places", [[], [1], [60, 61, 200], list(range(0, 2_000, 7))])
@pytest.mark.parametrize(("usage", "meters"), PROVIDERS.values(), ids=PROVIDERS)
def test_a_providers_usage_is_read(usage: str, meters: Meters, places: list[int]) -> None:
    """In a whole body, in a stream's last chunk, and in a chunk of its own; however it is cut."""
    whole = f'{{"id":"1","object":"chat.completion",{CHOICE},{usage}}}'.encode()
    begun = f'data: {{"id":"1","object":"chat.completion.chunk",{DELTA}}}\n\n'.encode()
    last = f'data: {{"id":"1",{STOP},{usage}}}\n\n'.encode()
    own = f'data: {{"id":"1",{STOP}}}\n\ndata: {{"id":"1","choices":[],{usage}}}\n\n'.encode()
    found = [
        read(WholeTally(), whole, places),
        read(WholeTally(), b"\n\n\n" + whole, places),
        read(StreamTally(), b": OPENROUTER PROCESSING\n\n" + begun + last + DONE, places),
        read(StreamTally(), begun + own + DONE, places),
    ]
    assert [(one.usage, one.anomalies) for one in found if one is not None] == [(meters, 0)] * 4


def test_continuous_usage_counts_its_largest_figures() -> None:
    """With `continuous_usage_stats` vLLM reports with every chunk, and the last is the whole."""
    running = [
        f'"usage":{{"prompt_tokens":7,"total_tokens":{7 + n},"completion_tokens":{n}}}' for n in range(6)
    ]
    parts = [*(f"{DELTA},{usage}" for usage in running), STOP, f'"choices":[],{running[-1]}']
    stream = b"".join(f"data: {{{part}}}\n\n".encode() for part in parts)
    assert read(StreamTally(), stream + DONE, [50, 300]) == Reading({"input_tokens": 7, "output_tokens": 5})


def test_timings_with_every_chunk_count_as_the_last() -> None:
    """llama.cpp's `timings_per_token`: figures grow, and usage comes before them where it is told."""
    growing = [f'data: {{{DELTA},"timings":{{"prompt_n":9,"predicted_n":{n}}}}}\n\n' for n in (1, 2, 3)]
    end = f'data: {{{STOP},"timings":{{"prompt_n":9,"predicted_n":3}}}}\n\n'
    stream = "".join((*growing, end)).encode()
    assert read(StreamTally(), stream + DONE, []) == Reading({"input_tokens": 9, "output_tokens": 3})
    told = b'data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2}}\n\n'
    assert read(StreamTally(), stream + told + DONE, []) == Reading({"input_tokens": 8, "output_tokens": 2})


@pytest.mark.parametrize(
    "timings",
    [None, [], "x", {}, {"prompt_n": -1, "predicted_n": "many"}, {"prompt_n": 10**12}, {"prompt_ms": 1.5}],
)
def test_timings_that_say_nothing_leave_it_to_counting(timings: Any) -> None:
    reply = f'{{{CHOICE},"timings":{json.dumps(timings)}}}'.encode()
    assert read(WholeTally(), reply, []) is None


def test_what_a_reply_quotes_is_no_usage() -> None:
    """Only the top level of an event is the provider's own word."""
    quoted = json.dumps(f"{{{COHERE},{TIMINGS}}}")
    choice = f'{{"index":0,"message":{{"content":{quoted}}},"finish_reason":"stop"}}'
    reply = f'{{"choices":[{choice}],"metadata":{{{TIMINGS}}}}}'
    assert read(WholeTally(), reply.encode(), []) is None
