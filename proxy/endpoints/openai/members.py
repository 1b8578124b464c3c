"""The tables of members of OpenAI's API families, and of what those who imitate it have added.

A name belongs here when it is known what it can cost. `passed` are those that neither add input or output
that is not bounded anyway, nor choose a dearer rate. What is in no table is refused, unless an upstream
forwards it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.endpoints.cohere.documents import hidden_in_documents, hidden_in_query
from proxy.endpoints.features import Feature, ObjectName, at_tier, hidden_input, kept, rated
from proxy.endpoints.kept import kept_features, kept_in, kept_within
from proxy.endpoints.members import Member, MemberTable, Reader, is_on, refuse_other_cases
from proxy.endpoints.openai.tools import extras, search, server_tools
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, members_of, patched
from proxy.endpoints.reading.inputs import count_objects


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OUTPUT_BOUNDS: Final = _names(
    """
    max_completion_tokens max_tokens max_output_tokens max_new_tokens max_length max_gen_len max_gen_tokens
    max_generated_tokens max_decode_tokens max_tokens_to_sample max_len max_generation_length n_predict
    num_predict tokens_to_generate maxTokens maxOutputTokens maxNewTokens maxCompletionTokens
    """
)
"""What upstreams call the most tokens of each choice. Only the upstream's own name ever goes up."""

BUDGETS: Final = _names("thinking_budget thinking_token_budget thinking_budget_tokens")
"""Tokens that a model may think with, which some upstreams count beside the bound on the output."""

BUDGET_OBJECTS: Final[Mapping[str, str]] = {
    "thinking": "budget_tokens",
    "reasoning": "max_tokens",
    "thinking_config": "thinking_budget",
}
"""Objects that may hold such a budget, with its name there."""

USUAL_TIERS: Final = frozenset({"auto", "default", "standard", "standard_only", "on_demand", "flex"})
"""Service tiers that cost no more than the rates of a card."""

RESPONSES: Final = "response"
"""What responses are called that an upstream has kept."""
CONVERSATIONS: Final = "conversation"
"""What conversations are called."""
_OUTPUTS: Final = {"audio": "output_audio_tokens", "image": "output_image_tokens"}


def refused(body: JsonBody, name: str) -> Iterator[Feature]:
    """What no rate card can price."""
    if is_on(body.members[name]):
        yield Feature(name, name)


def hidden(body: JsonBody, name: str) -> Iterator[Feature]:
    """Input that the body only refers to."""
    if is_on(body.members[name]):
        yield hidden_input(name, name)


def kept_input(body: JsonBody, name: str) -> Iterator[Feature]:
    """Input that the upstream keeps."""
    if is_on(body.members[name]):
        yield kept(name, name, 1)


def kept_prompt(body: JsonBody, name: str) -> Iterator[Feature]:
    """A prompt that the upstream keeps; `prompt` itself is text in other calls."""
    if is_on(body.members[name]):
        yield kept(name, f"{name}.id", 1)


_LABELS: Final = frozenset({"id", "doc_id", "document_id"})
"""What a caller may call its own documents by."""


def _documents(body: JsonBody, name: str) -> Iterator[Feature]:
    """Documents are within the request, but for those that it has only the ids of."""
    if not is_on(body.members[name]):
        return
    yield hidden_input(name, name)
    body.bound_values(name)
    documents = [document for document in body.items_of(name) if isinstance(document, dict)]
    if any(document.keys() <= _LABELS for document in documents):
        yield kept(name, f"{name}.id")
    shown = ({name: value for name, value in each.items() if name not in _LABELS} for each in documents)
    yield from kept_features(f"{name}[]", shown)


def _hidden_in_inputs(body: JsonBody, name: str) -> Iterator[Feature]:
    """Objects among inputs: pictures and other things that are no text."""
    count = count_objects(body, name)
    if count:
        yield hidden_input(f"{name}[]", name, count)
        yield from kept_features(f"{name}[]", body.items_of(name))


def _short(body: JsonBody, name: str, wanted: str) -> object:
    """The decoded value of a member that nobody has reason to make long."""
    if body.bytes_of(name) > LARGE_BYTES:
        raise fields.wrong(body, name, f"{wanted}, in at most {LARGE_BYTES} bytes")
    return body[name]


def _tier(body: JsonBody, name: str) -> Iterator[Feature]:
    tier = _short(body, name, "a string")
    if not isinstance(tier, str):
        raise fields.wrong(body, name, "a string")
    if tier not in USUAL_TIERS:
        yield at_tier(f"{name}: {tier[: fields.SHOWN_CHARS]}", name, tier)
    else:
        yield Feature(name, name, tier=tier, optional=True)


def _modalities(body: JsonBody, name: str) -> Iterator[Feature]:
    value = _short(body, name, "an array of strings")
    kinds = [value] if isinstance(value, str) else value
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise fields.wrong(body, name, "an array of strings")
    for kind in dict.fromkeys(kinds):
        member = f"{name}: {kind[: fields.SHOWN_CHARS]}"
        if kind in _OUTPUTS:
            yield rated(member, name, _OUTPUTS[kind])
        elif kind != "text":
            yield Feature(member, name)


def _sound(body: JsonBody, name: str) -> Iterator[Feature]:
    if is_on(body.members[name]):
        yield rated(name, name, _OUTPUTS["audio"])
        yield from kept_within(body, name)


def earlier(body: JsonBody, name: str) -> Iterator[Feature]:
    """An earlier response, which the model reads again: of the same account alone."""
    id_ = fields.text_of(body.members[name])
    if id_ is None:
        raise fields.wrong(body, name, "the id of a response")
    yield replace(hidden_input(name, name), refers=ObjectName(RESPONSES, id_))


def conversation(body: JsonBody, name: str) -> Iterator[Feature]:
    """A conversation, which the model reads and the answer is put into: of the same account alone."""
    raw = body.members[name]
    members = members_of(raw)
    if members is not None:
        refuse_other_cases(members, _NAMED, name)
        raw = members["id"] if members.keys() == _NAMED else msgspec.Raw(b"null")
        body.put(name, patched(members, {}))
    id_ = fields.text_of(raw)
    if id_ is None:
        raise fields.wrong(body, name, "the id of a conversation, or an object that has its `id` alone")
    yield replace(hidden_input(name, name), refers=ObjectName(CONVERSATIONS, id_), changes=True)


_NAMED: Final = frozenset({"id"})


def rows(names: str, row: Member) -> dict[str, Member]:
    """The same row for several names."""
    return dict.fromkeys(names.split(), row)


def _priced(names: str, read: Reader) -> dict[str, Member]:
    return rows(names, Member("priced", read))


_BOUNDED: Final = Member("bounded")

EVERYWHERE: Final[Mapping[str, Member]] = {
    **rows("model", _BOUNDED),
    **rows(
        """
        user safety_identifier metadata store tags trace request_id priority cache_salt
        encoding_format timeout request_timeout ttl keep_alive verbose
        """,
        Member("passed"),
    ),
    **_priced("service_tier", _tier),
    # Some upstreams only group calls by it, and others go on with what was said in it.
    "session_id": Member("refused", kept_input),
    **rows(
        """
        models fallbacks route provider preset extra_body extra_headers extra_query api_base api_key
        api_version base_url custom_llm_provider options background deferred callback_url webhook_url lora
        lora_path adapter adapter_id draft_model kv_transfer_params
        """,
        Member("refused", refused),
    ),
}

_GENERATION: Final[Mapping[str, Member]] = {
    **EVERYWHERE,
    **dict.fromkeys((*OUTPUT_BOUNDS, *BUDGETS), _BOUNDED),
    **rows("stream stream_options n best_of", _BOUNDED),
    **rows(
        """
        num_return_sequences num_return num_generations num_completions n_completions num_beams beam_width
        beam_size candidate_count candidateCount chat_template template extra_args vllm_xargs
        logits_processors
        """,
        Member("refused", refused),
    ),
    **rows(
        """
        temperature top_p top_k top_a min_p typical_p typical tfs_z eta_cutoff epsilon_cutoff nsigma
        top_n_sigma seed random_seed stop stop_token_ids stop_sequences include_stop_str_in_output
        ignore_eos min_tokens min_length min_new_tokens early_stopping length_penalty repetition_penalty
        repeat_penalty repeat_last_n presence_penalty frequency_penalty no_repeat_ngram_size logit_bias
        logprobs top_logprobs prompt_logprobs dynatemp_range dynatemp_exponent mirostat mirostat_tau
        mirostat_eta mirostat_mode dry_multiplier dry_base dry_allowed_length dry_penalty_last_n
        dry_sequence_breakers xtc_probability xtc_threshold smoothing_factor temperature_last samplers
        do_sample use_beam_search allowed_token_ids bad_words bad_words_ids skip_special_tokens
        spaces_between_special_tokens add_special_tokens return_tokens_as_token_ids return_token_ids
        truncate_prompt_tokens prompt_truncate_len context_length_exceeded_behavior response_format
        grammar json_schema guided_json guided_regex guided_choice guided_grammar guided_decoding_backend
        guided_whitespace_pattern structured_outputs regex ebnf cache_prompt n_keep n_probs id_slot
        slot_id timings_per_token return_progress t_max_predict_ms prompt_cache_key prompt_cache_retention
        stream_usage perf_metrics_in_response raw_output return_hidden_states
        """,
        Member("passed"),
    ),
    **rows("prompt_cache_options", Member("passed", kept_within)),
}

CHAT: Final = MemberTable(
    {
        **_GENERATION,
        **rows("messages functions prediction speculation", _BOUNDED),
        **dict.fromkeys(BUDGET_OBJECTS, _BOUNDED),
        "tools": Member("priced", server_tools),
        "previous_response_id": Member("priced", earlier),
        # What the upstream has kept of a caller's earlier ones: nobody can tell whose it is.
        **rows(
            "conversation conversation_id thread_id context_id cached_content", Member("refused", refused)
        ),
        "modalities": Member("priced", _modalities),
        "audio": Member("priced", _sound),
        **_priced("plugins search_settings", extras),
        **_priced(
            "web_search_options web_search enable_web_search enable_search search_options search_parameters",
            search,
        ),
        "prompt": Member("refused", kept_prompt),
        **rows(
            "prompt_id data_sources files file_ids attachments vector_store_ids knowledge_base",
            Member("refused", kept_input),
        ),
        **_priced("documents", _documents),
        **_priced("mm_processor_kwargs media_io_kwargs vl_high_resolution_images", hidden),
        **rows(
            """
            tool_choice function_call parallel_tool_calls parallel_function_calling
            disable_tool_validation reasoning_effort reasoning_format reasoning_split reasoning_summary
            include_reasoning enable_thinking think clear_thinking disable_reasoning verbosity moderation
            safe_prompt safety_model prompt_mode usage transforms include add_generation_prompt
            continue_final_message chat_template_kwargs citation_options tool_stream exclude_domains
            include_domains return_related_questions echo mask_sensitive_info
            """,
            Member("passed"),
        ),
    }
)
"""The members of a chat completion."""

COMPLETION: Final = MemberTable(
    {
        **_GENERATION,
        **rows("suffix echo", _BOUNDED),
        "prompt": Member("bounded", _hidden_in_inputs),
    }
)
"""The members of a completion."""


def _reference(body: JsonBody, name: str) -> Iterator[Feature]:
    """A picture or clip to begin with: a file in a form, an address or a data URL, or a file by its id."""
    raw = body.members[name]
    members = members_of(raw)
    if members is None:
        # A file of a form stands as its length.
        if fields.whole_number(raw) is None:
            raise fields.wrong(body, name, "an object with `image_url` or `file_id`")
        return
    refuse_other_cases(members, _REFERENCES, name)
    if members.keys() - _REFERENCES or len(members) != 1:
        raise fields.wrong(body, name, "an object with `image_url` or `file_id`, and nothing else")
    body.put(name, patched(members, {}))
    if (address := fields.text_of(members["image_url"]) if "image_url" in members else None) is not None:
        yield from (kept(f"{name}.image_url", scheme) for scheme, _ in kept_in(address, "image_url"))
    if "file_id" in members:
        id_ = fields.text_of(members["file_id"])
        if id_ is None:
            raise fields.wrong(body, name, "an object with `image_url` or `file_id`")
        yield Feature(f"{name}.file_id", name, optional=True, refers=ObjectName("file", id_))


_REFERENCES: Final = frozenset({"image_url", "file_id"})

VIDEO: Final = MemberTable(
    {
        **EVERYWHERE,
        **rows("prompt seconds size", _BOUNDED),
        "input_reference": Member("bounded", _reference),
    }
)
"""The members of a call for a video."""

DERIVED_VIDEO: Final = MemberTable(
    {
        **rows("prompt seconds video", _BOUNDED),
        **rows("user safety_identifier metadata", Member("passed")),
    }
)
"""The members of a call that makes a video from another one."""

EMBEDDING: Final = MemberTable(
    {
        **EVERYWHERE,
        "input": Member("bounded", _hidden_in_inputs),
        **rows(
            """
            dimensions output_dimension truncate_dim input_type task task_type truncate truncation
            truncate_prompt_tokens truncation_direction normalize normalized output_dtype embedding_type
            embedding_types add_special_tokens
            """,
            Member("passed"),
        ),
    }
)
"""The members of a call for embeddings."""

MODERATION: Final = MemberTable({**EVERYWHERE, "input": _BOUNDED})
"""The members of a moderation; its parts are looked at as those of a chat are."""

RERANK: Final = MemberTable(
    {
        **EVERYWHERE,
        "query": Member("bounded", hidden_in_query),
        **rows("documents texts", Member("bounded", hidden_in_documents)),
        **rows("instruction", _BOUNDED),
        **_priced("mm_processor_kwargs media_io_kwargs", hidden),
        **rows(
            """
            top_n top_k return_documents return_text return_embeddings rank_fields raw_scores relevant_spans
            max_chunks_per_doc max_tokens_per_doc max_doc_length max_query_length max_tokens_per_query
            truncate truncation truncate_prompt_tokens truncation_direction truncation_side softmax activation
            use_activation
            """,
            Member("passed"),
        ),
    }
)
"""The members of a call for a ranking."""
