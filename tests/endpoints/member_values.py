"""Values of the members of requests, by family: usual ones, and those that turn something on."""

from typing import Any

from tests.endpoints.least import LEAST

TURNED_ON: dict[str, list[Any]] = {
    "service_tier": ["priority", "Default"],
    "modalities": [["text", "audio"], ["image"], ["smell"], "audio"],
    "previous_response_id": ["resp_1"],
    "tools": [
        [{"type": "web_search"}],
        [{"type": "function", "function": {"name": "f"}}, {"type": "browser_search"}],
        [{"google_search": {}}],
        [{"type": "builtin_function", "function": {"name": "$web_search"}}],
        [{"type": "function", "function": {"name": "f"}, "web_search": {"enable": True}}],
        ["web_search"],
        {"google_search": {}},
    ],
    "messages": [[{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]],
    "prompt": [[{"prompt_embeds": "AAAA"}], [["a"], [{"image": "x"}]], {"id": "pmpt_1"}],
    "input": [[{"image": "https://host/a.png"}], ["a", {"text": "b"}]],
    "query": [{"image": "https://host/a.png"}],
    "documents": [[{"image": "https://host/a.png"}], ["a", {"content": [{"type": "text"}]}]],
}
"""Values that can cost extra, of the members for which not just any value can."""
TURNED_ON_IN_MESSAGES: dict[str, list[Any]] = {
    "tools": [
        [{"type": "web_search_20260318", "name": "web_search", "max_uses": 3}],
        [{"name": "f", "input_schema": {}}, {"type": "web_fetch_20260318", "name": "web_fetch"}],
        [{"type": "code_execution_20260521", "name": "code_execution"}],
        [{"type": "mcp_toolset", "mcp_server_name": "x"}],
        [{"type": "custom", "name": "f", "input_schema": {}, "web_search": {}}],
        [{"type": "unheard_of", "name": "f"}],
    ],
    "service_tier": ["priority", "Auto"],
    "speed": ["fast", "ludicrous"],
    "inference_geo": ["us", "Global"],
    "context_management": [
        {"edits": [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}]},
        {"edits": [{"type": "compact_20260112", "model": "another"}]},
        {"edits": [{"type": "clear_1"}, {"type": "rewrite_1"}]},
        {"edits": [7]},
        {"edits": "x"},
        {"edits": [], "more": 1},
        "x",
    ],
}
"""The same of Anthropic's."""
TURNED_ON_IN_RESPONSES: dict[str, list[Any]] = {
    "tools": [
        [{"type": "web_search"}],
        [{"type": "function", "name": "f"}, {"type": "file_search", "vector_store_ids": ["vs_1"]}],
        [{"type": "code_interpreter", "container": {"type": "auto"}}],
        [{"type": "image_generation", "quality": "high"}],
        [{"type": "mcp", "server_label": "s", "server_url": "https://host"}],
        [{"type": "unheard_of"}],
    ],
    "service_tier": ["priority", "Auto"],
    "prompt_cache_options": [{"ttl": "12h"}],
    "conversation": ["conv_1", {"id": "conv_1"}],
}
"""The same of responses."""
TURNED_ON_IN_IMAGES: dict[str, list[Any]] = {
    "service_tier": ["priority", "Default"],
    "output_format": ["svg", "SVG"],
    "image": ["https://host/a.png", [{"file_id": "file-1"}], "data:image/png;base64,QUJD", True, {}],
}
"""The same of pictures."""
USUAL: dict[str, Any] = {
    "model": "m",
    "messages": LEAST["chat.completions"]["messages"],
    "prompt": ["a {brace}", [1, 2]],
    "input": ["a {brace}", "b"],
    "modalities": ["text"],
    "service_tier": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "prediction": {"type": "content", "content": "x"},
    "echo": True,
    "max_tokens": 0,
    "max_completion_tokens": 0,
    "n": 1,
    "best_of": 0,
    "store": True,
}
USUAL_IN_MESSAGES: dict[str, Any] = {
    "service_tier": "standard_only",
    "speed": "standard",
    "inference_geo": "global",
    "system": [{"type": "text", "text": "Be brief."}],
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "tools": [
        {"name": "f", "input_schema": {"type": "object"}},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "computer_toolset_20260801", "configs": {}},
    ],
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919", "keep": {"value": 3}}]},
    "max_tokens": 0,
}
"""Values of the SDK's own members that cost nothing extra; all others may have any."""
USUAL_OF_SOUND: dict[str, Any] = {
    "file": b"OggS",
    "input": "Hi",
    "prompt": "Hi",
    "instructions": "Be brief.",
    "response_format": "json",
    "stream_format": "sse",
    "stream": True,
    "keywords": ["Rome"],
    "languages": ["en"],
    "include": ["logprobs"],
    "timestamp_granularities": ["word"],
    "known_speaker_names": ["agent"],
    "known_speaker_references": ["data:audio/wav;base64,AAAA"],
}
USUAL_IN_IMAGES: dict[str, Any] = {
    **dict.fromkeys(("size", "quality", "background", "complexity", "input_fidelity"), "low"),
    **dict.fromkeys(("n", "partial_images", "frame_count"), 2),
    **{name: [] for name in ("image", "mask", "markup")},
    "prompt": "A cat",
    "output_format": "webp",
}
"""The same of pictures; one that is given by its address costs extra."""
USUAL_IN_RESPONSES: dict[str, Any] = {
    "input": [{"role": "user", "content": "a {brace}"}],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "f", "parameters": {}}, {"type": "apply_patch"}],
    "max_output_tokens": 0,
    "max_tool_calls": 3,
    "background": False,
    "prompt_cache_options": {"ttl": "30m"},
    "prompt": None,
    "previous_response_id": None,
    "conversation": "conv_1",
    "context_management": [],
}
USUAL_IN_VIDEOS: dict[str, Any] = {
    "prompt": "A cat",
    "seconds": "8",
    "size": "1280x720",
    "input_reference": {"image_url": "https://host/a.png"},
}
BY_FAMILY: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "messages": (USUAL | USUAL_IN_MESSAGES, TURNED_ON | TURNED_ON_IN_MESSAGES),
    "responses": (USUAL | USUAL_IN_RESPONSES, TURNED_ON | TURNED_ON_IN_RESPONSES),
    "responses.compact": (USUAL | USUAL_IN_RESPONSES, TURNED_ON | TURNED_ON_IN_RESPONSES),
    "images.generations": (USUAL | USUAL_IN_IMAGES, TURNED_ON_IN_IMAGES),
    "images.edits": (USUAL | USUAL_IN_IMAGES, TURNED_ON_IN_IMAGES),
    "videos": (USUAL | USUAL_IN_VIDEOS, TURNED_ON | {"input_reference": [{"file_id": "file_1"}]}),
}
"""What of all this is another thing in some families."""
COSTS_EXTRA = {
    *("audio", "web_search_options", "cache_control", "container", "mcp_servers", "thread"),
    *("compaction", "fallbacks", "fallback_credit_token", "billing_policy", "workspace_id"),
    *("access_programs", "background_options", "conversation", "svg", "user_profile_id"),
}
"""Members of the SDKs that have no value which costs nothing extra, but null."""


STREAMED = (
    *("chat.completions", "completions", "responses", "messages"),
    *("audio.transcriptions", "images.generations", "images.edits"),
)
