"""Whatever a request can name that an upstream keeps is its account's own, or is refused.

What the official SDKs can name is found in their types, at all depths: an id that no table here knows fails.
"""

import json
from typing import Any, Literal

import pytest

from proxy.endpoints.base import Ask
from proxy.endpoints.features import Feature
from proxy.endpoints.kept import TIES
from proxy.endpoints.objects import Given
from proxy.endpoints.openai.videos import VIDEOS
from proxy.endpoints.registry import ENDPOINTS, KINDS, TABLES
from tests.endpoints.least import LEAST, asked
from tests.endpoints.sdk_ids import MARK, ROOTS, Place, places

Fate = Literal["passed", "owned", "kept", "refused"]
"""`owned`: it has to be the account's. `kept`: an operator can let callers name it; `refused`: likewise, with
more than that. `passed`: it names nothing that an upstream keeps."""

PLACES = list(places())
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS.values()}
DERIVED = {f"videos.{each.name}": each for each in VIDEOS.derivations}
LOOKED_INTO = {
    f"{kind.endpoint}.{route.name}": route
    for kind in KINDS
    for route in (kind.creation, *kind.routes)
    if route is not None and route.turned_on is not None
}
"""What is free and takes something that may name something."""

FATES: dict[str, Fate] = {
    # These tie the parts of one request together.
    **dict.fromkeys(("call_id", "tool_call_id", "tool_use_id", "tool_id", "caller_id"), "passed"),
    # These are of the caller's own browser, and of its own users.
    **dict.fromkeys(("tab_id", "download_id", "user_id"), "passed"),
    **dict.fromkeys(("previous_response_id", "comparison_response_id", "approval_request_id"), "owned"),
    **dict.fromkeys(("file_id", "file_ids", "vector_store_ids", "skill_id", "previous_message_id"), "kept"),
    **dict.fromkeys(("connector_id", "tunnel_id", "user_profile_id", "container_id"), "kept"),
    **dict.fromkeys(("continuation_id", "workspace_id"), "refused"),
}
"""What becomes of an id by its name."""

ITEMS: dict[Fate, str] = {
    "owned": """
        ItemReference ResponseReasoningItemParam ResponseFileSearchToolCallParam McpCall ImageGenerationCall
        ResponseFunctionWebSearchParam ResponseCodeInterpreterToolCallParam ResponseOutputMessageParam
        ResponseConfigurationUpdateItemParamParam AgentMessage MultiAgentCall MultiAgentCallOutput
        VideoVideoReferenceInputParam ResponseConversationParamParam
        """,
    "kept": "Audio VoiceID ResponsePromptParam ContainerParams",
    "passed": """
        AdditionalTools ApplyPatchCall ApplyPatchCallOutput CompactionTrigger ComputerCallOutput
        ComputerCallOutputAcknowledgedSafetyCheck FunctionCallOutput LocalShellCall LocalShellCallOutput
        McpApprovalRequest McpApprovalResponse McpListTools PendingSafetyCheck Program ProgramOutput
        ResponseCompactionItemParamParam ResponseComputerToolCallParam ResponseCustomToolCallOutputParam
        ResponseCustomToolCallParam ResponseFunctionToolCallParam ResponseToolSearchOutputItemParamParam
        ShellCall ShellCallOutput ToolSearchCall ChatCompletionMessageCustomToolCallParam
        ChatCompletionMessageFunctionToolCallParam MCPToolUseBlockParam ServerToolUseBlockParam
        ToolUseBlockParam
        """,
}
"""Of what is called `id` alone, by the type that has it; a message without content is one by its id."""

OTHERWISE: dict[tuple[str, str], set[Fate]] = {
    # They say where a text came from, and nothing is read by them.
    ("AnnotationFileCitation", "file_id"): {"passed"},
    ("AnnotationFilePath", "file_id"): {"passed"},
    ("AnnotationContainerFileCitation", "file_id"): {"passed"},
    ("AnnotationContainerFileCitation", "container_id"): {"passed"},
    ("MultiAgentCallOutputOutputAnnotationFileCitation", "file_id"): {"passed"},
    ("MultiAgentCallOutputOutputAnnotationContainerFileCitation", "file_id"): {"passed"},
    ("MultiAgentCallOutputOutputAnnotationContainerFileCitation", "container_id"): {"passed"},
    # A container that a response of the account's has worked in, or that a tool is to work in.
    ("ResponseCodeInterpreterToolCallParam", "container_id"): {"owned"},
    ("ContainerReferenceParam", "container_id"): {"owned", "kept"},
    ("ImageInputReferenceParam", "file_id"): {"owned"},
    # The type of skills that comes first is Anthropic's own.
    ("SkillParams", "skill_id"): {"passed"},
}
"""What of some types has another fate than its name says."""


def expected(place: Place) -> set[Fate]:
    """The fates that a place may have. Raises KeyError for one that no table knows."""
    if (place.type, place.name) in OTHERWISE:
        return OTHERWISE[place.type, place.name]
    if place.path == "items.id":
        # It could be found in the conversation by that.
        return {"owned"}
    if place.name != "id":
        return {FATES[place.name]}
    by_type: dict[str, Fate] = {name: fate for fate, names in ITEMS.items() for name in names.split()}
    return {by_type[place.type]}


def request_of(place: Place) -> dict[str, Any]:
    """A request that names something in this place, and is a whole one otherwise."""
    if place.endpoint in LOOKED_INTO:
        return place.body
    least = LEAST.get(place.endpoint, LEAST["messages"] if "messages" in place.endpoint else {"model": "m"})
    body = least | {name: value for name, value in place.body.items() if value not in ([], "x")}
    return body if place.endpoint not in DERIVED else {"prompt": "x", "seconds": "4"} | place.body


def fate_of(features: tuple[Feature, ...], mark: str = MARK) -> Fate:
    """What becomes of a request with these features that names `mark`, if nothing else is wrong with it."""
    if any(each.refers is not None and each.refers.id == mark for each in features):
        return "owned"
    if any(each.kept for each in features):
        return "kept"
    return "refused" if any(not each.needs and not each.optional for each in features) else "passed"


def read(endpoint: str, body: object) -> Ask | Given:
    data = json.dumps(body).encode()
    found = LOOKED_INTO.get(endpoint)
    return BY_NAME[endpoint].read(data) if found is None else found.read(data)


def test_the_requests_of_every_endpoint_are_looked_through() -> None:
    """One that is served later has to be added; rankings are of no SDK here."""
    assert ROOTS.keys() == BY_NAME.keys() - {"rerank", "rerank.v2"} | DERIVED.keys() | LOOKED_INTO.keys()


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_every_id_that_an_sdk_can_send_has_its_fate(place: Place) -> None:
    """Whatever a newer SDK can name fails here until somebody has decided about it."""
    if (derivation := DERIVED.get(place.endpoint)) is not None:
        assert derivation.source_id(json.dumps(request_of(place)).encode(), ()) == MARK
        assert expected(place) == {"owned"}
        return
    assert fate_of(read(place.endpoint, request_of(place)).features) in expected(place)


def test_every_table_is_used() -> None:
    """None of them outlives what it is about."""
    names, types = {place.name for place in PLACES}, {place.type for place in PLACES if place.name == "id"}
    assert FATES.keys() == names - {"id"}
    assert types == {name for listed in ITEMS.values() for name in listed.split()}
    assert OTHERWISE.keys() <= {(place.type, place.name) for place in PLACES}
    assert {name for name, fate in FATES.items() if fate == "passed"} - {"user_id"} <= TIES


PASSED_ROWS = {
    *("stop_token_ids", "allowed_token_ids", "bad_words_ids", "return_token_ids"),
    *("return_tokens_as_token_ids", "slot_id", "request_id", "model"),
}
"""Ids that are no more than numbers of a vocabulary, labels, and places in a server's memory."""


@pytest.mark.parametrize(
    ("endpoint", "name"),
    sorted(
        (endpoint, name)
        for endpoint, table in TABLES.items()
        for name in table.rows
        if name.endswith(("_id", "_ids")) and name not in PASSED_ROWS and endpoint in LEAST
    ),
)
def test_every_id_in_a_table_of_members_has_its_fate(endpoint: str, name: str) -> None:
    """Also those that imitators of OpenAI's API have added."""
    features = asked(endpoint, **{name: "x" if endpoint.startswith("audio.") else MARK}).features
    assert fate_of(features) != "passed"


NAMED: list[tuple[str, dict[str, Any], str]] = [
    # What has no `id` in its name, and what the SDKs do not have.
    ("chat.completions", {"prompt": {"id": MARK}}, "prompt.id"),
    ("chat.completions", {"prompt": MARK}, "prompt.id"),
    ("chat.completions", {"prompt_id": MARK}, "prompt_id"),
    ("chat.completions", {"data_sources": [{"type": "azure_search"}]}, "data_sources"),
    ("chat.completions", {"documents": [{"id": MARK}]}, "documents.id"),
    ("chat.completions", {"documents": [{"doc_id": 1, "text": "x"}, {"document_id": MARK}]}, "documents.id"),
    ("chat.completions", {"documents": [{"text": "x", "file_id": MARK}]}, "file_id"),
    ("chat.completions", {"files": [{"id": MARK}]}, "files"),
    ("chat.completions", {"attachments": [{"file_id": MARK}]}, "attachments"),
    ("chat.completions", {"knowledge_base": MARK}, "knowledge_base"),
    ("chat.completions", {"session_id": MARK}, "session_id"),
    ("chat.completions", {"conversation": MARK}, "conversation"),
    ("chat.completions", {"cached_content": MARK}, "cached_content"),
    ("chat.completions", {"tools": [{"retrieval": {"knowledge_id": MARK}}]}, "knowledge_id"),
    ("chat.completions", {"tools": [{"type": "x", "vector_store_ids": [MARK]}]}, "vector_store_ids"),
    ("chat.completions", {"tools": {"fileIds": [MARK]}}, "fileIds"),
    ("chat.completions", {"plugins": [{"id": "web", "collection_id": MARK}]}, "collection_id"),
    ("chat.completions", {"search_parameters": {"sources": [{"collection_ids": [MARK]}]}}, "collection_ids"),
    ("chat.completions", {"prompt_cache_options": {"x_response_id": MARK}}, "x_response_id"),
    ("completions", {"prompt_cache_options": {"comparison_response_id": MARK}}, "comparison_response_id"),
    ("embeddings", {"input": [{"file_id": MARK}]}, "file_id"),
    ("embeddings", {"input": [{"image_url": "gs://bucket/a.png"}]}, "gs:"),
    ("moderations", {"input": [{"type": "image_url", "image_url": {"url": "ms://a"}}]}, "ms:"),
    ("responses", {"tools": [{"type": "file_search", "vector_store_ids": [MARK]}]}, "vector_store_ids"),
    ("responses", {"tools": [{"type": "x", "within": [{"index_id": MARK}]}]}, "index_id"),
    ("images.edits", {"images": [{"file_id": MARK}]}, "file_id"),
    ("images.edits", {"mask": {"file_id": MARK}}, "file_id"),
    ("images.edits", {"image": "gs://bucket/a.png"}, "gs:"),
    ("images.edits", {"images": [{"image_url": {"url": "oss://a"}}]}, "oss:"),
    ("videos", {"input_reference": {"image_url": "gs://bucket/a.png"}}, "gs:"),
    ("audio.speech", {"voice": {"id": MARK}}, "voice.id"),
    ("messages", {"container": MARK}, "container"),
    ("messages", {"container": {"skills": [{"type": "custom", "skill_id": MARK}]}}, "skill_id"),
    ("messages", {"container": {"skills": [{"type": "anthropic"}, {"skill_id": MARK}]}}, "skill_id"),
    ("messages", {"container": {"skills": {"type": "anthropic"}}}, "skill_id"),
    ("messages", {"mcp_servers": [{"type": "url", "tunnel_id": MARK}]}, "tunnel_id"),
    ("messages", {"tools": [{"type": "x_20260101", "index_id": MARK}]}, "index_id"),
    ("messages", {"thread": {"type": "continue", "previous_message_id": MARK}}, "previous_message_id"),
]  # fmt: skip


@pytest.mark.parametrize(("endpoint", "members", "name"), NAMED)
def test_what_an_upstream_keeps_is_refused_by_the_name_that_would_forward_it(
    endpoint: str, members: dict[str, Any], name: str
) -> None:
    features = asked(endpoint, **members).features
    assert {each.name for each in features if each.kept or not (each.needs or each.optional)} == {name}


PARTS: list[tuple[Any, str]] = [
    ({"type": "file", "file": {"file_id": MARK}}, "file_id"),
    ({"type": "file", "file": {"id": MARK}}, "file.id"),
    ({"type": "file", "file": MARK}, "file.id"),
    ({"type": "input_file", "file_id": MARK}, "file_id"),
    ({"type": "input_image", "file_id": MARK, "image_url": None}, "file_id"),
    ({"type": "image_url", "image_url": {"url": "ms://a"}}, "ms:"),
    ({"type": "image_url", "image_url": " GS://bucket/a.png"}, "gs:"),
    ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "file:"),
    ({"type": "input_audio", "input_audio": {"data": "s3://bucket/a"}}, "s3:"),
    ({"type": "input_audio", "input_audio": {"id": MARK}}, "input_audio.id"),
    ({"type": "video_url", "video_url": {"url": "oss://a"}}, "oss:"),
    ({"type": "image_url", "image_url": {"url": "\x01\x1fgs://bucket/a.png"}}, "gs:"),
    ({"type": "image_url", "image_url": {"url": " " * 99 + "gs://bucket/a.png"}}, "gs:"),
    ({"type": "image_url", "image_url": {"url": "fi\tl\r\ne:///etc/passwd"}}, "file:"),
    ({"type": "text", "text": "x", "fileId": MARK}, "fileId"),
    ({"type": "text", "text": "x", "fileID": MARK}, "fileID"),
    ({"type": "text", "text": "x", "FILE_IDS": [MARK]}, "FILE_IDS"),
    ({"type": "file", "file": {"ID": MARK}}, "file.id"),
]


@pytest.mark.parametrize(("part", "name"), PARTS)
def test_so_is_what_a_part_of_a_message_names(part: Any, name: str) -> None:
    """In chats and in moderations, at any depth, and beside anything else."""
    for members in (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]},
        {"messages": [{"role": "tool", "content": [{"type": "tool_result", "content": [part]}]}]},
    ):
        found = [each for each in asked("chat.completions", **members).features if each.kept]
        assert [each.name for each in found] == [name]
    found = [each for each in asked("moderations", input=[part]).features if each.kept]
    assert [each.name for each in found] == [name]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "gs://bucket/a.png", "id": "1", "annotations": [{"file_id": "f"}]},
        {"type": "image_url", "image_url": {"url": "https://host/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"file_id": "mine", "url": "gs://x"}},
        {"type": "file", "file": {"file_data": "JVBERi0=", "file_id": None}},
        {"type": "text", "text": "x", "index": 1, "valid": True, "paid": 7},
    ],
)
def test_what_a_caller_shows_or_has_thought_up_names_nothing(part: Any) -> None:
    features = asked("chat.completions", messages=[{"role": "user", "content": [part]}]).features
    assert not any(each.kept for each in features)
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"file_id": "f"}'}}]
    function = {"name": "f", "parameters": {"properties": {"file_id": {"type": "string"}}}}
    tools = [{"type": "function", "function": function}]
    message = {"role": "assistant", "tool_calls": calls}
    assert asked("chat.completions", messages=[message], tools=tools).features == ()
