"""The tables of members: what each can make an upstream bill is bounded, priced, passed or refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types.beta import message_create_params
from openai.types import (
    completion_create_params,
    embedding_create_params,
    image_create_variation_params,
    image_edit_params,
    image_generate_params,
    moderation_create_params,
    video_create_params,
)
from openai.types.audio import speech_create_params, transcription_create_params, translation_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_compact_params, response_create_params

from proxy.endpoints.features import Feature
from proxy.endpoints.openai.members import OUTPUT_BOUNDS, USUAL_TIERS
from proxy.endpoints.registry import ENDPOINTS, PARAMETERS, TABLES, forward_fault
from proxy.errors import Refusal
from tests.endpoints.least import FORMS, LEAST, asked
from tests.endpoints.member_values import (
    BY_FAMILY,
    COSTS_EXTRA,
    STREAMED,
    TURNED_ON,
    USUAL,
    USUAL_OF_SOUND,
)

PATHS = {endpoint.name: path for path, endpoint in ENDPOINTS.items()}


def usual(endpoint: str, name: str) -> Any:
    if endpoint.startswith("audio."):
        return (USUAL | USUAL_OF_SOUND).get(name, "any")
    known, _ = BY_FAMILY.get(endpoint, (USUAL, TURNED_ON))
    return known.get(name, {"any": "value"} if name != "user" else "u")


def read(endpoint: str, **members: Any) -> tuple[Feature, ...]:
    return asked(endpoint, **members).features


def told(endpoint: str, name: str, value: object) -> tuple[Feature, ...] | Refusal:
    """What is read, or why nothing is: so that a test of a table names each row that breaks its rule."""
    try:
        return read(endpoint, **{name: value})
    except Refusal as refusal:
        return refusal


def sdk_members() -> dict[str, set[str]]:
    """Every member that the official SDKs can send, those that are being tried out too, by endpoint."""
    shapes = {
        "chat.completions": chat_create_params.CompletionCreateParamsBase,
        "completions": completion_create_params.CompletionCreateParamsBase,
        "embeddings": embedding_create_params.EmbeddingCreateParams,
        "responses": response_create_params.ResponseCreateParamsBase,
        "responses.compact": response_compact_params.ResponseCompactParams,
        "moderations": moderation_create_params.ModerationCreateParams,
        "messages": message_create_params.MessageCreateParamsBase,
        "audio.speech": speech_create_params.SpeechCreateParams,
        "audio.transcriptions": transcription_create_params.TranscriptionCreateParamsBase,
        "audio.translations": translation_create_params.TranslationCreateParams,
        "images.generations": image_generate_params.ImageGenerateParamsBase,
        "images.edits": image_edit_params.ImageEditParamsBase,
        "videos": video_create_params.VideoCreateParams,
    }
    return {
        endpoint: shape.__annotations__.keys() - {"betas"} | ({"stream"} if endpoint in STREAMED else set())
        for endpoint, shape in shapes.items()
    }


def test_there_is_a_table_for_each_endpoint_that_is_not_free() -> None:
    assert TABLES.keys() == PATHS.keys() - {"messages.count_tokens", "responses.input_tokens"}
    assert TABLES.keys() == LEAST.keys() | FORMS


@pytest.mark.parametrize(("endpoint", "names"), sdk_members().items())
def test_the_sdks_usual_members_pass_without_a_price(endpoint: str, names: set[str]) -> None:
    """They are known, and turn nothing on that the ceiling does not cover, with few exceptions."""
    assert names <= TABLES[endpoint].rows.keys()
    found = {name: told(endpoint, name, usual(endpoint, name)) for name in names}
    assert {name: each for name, each in found.items() if isinstance(each, Refusal)} == {}
    costly = {
        name
        for name, each in found.items()
        if not isinstance(each, Refusal) and not all(feature.optional for feature in each)
    }
    assert costly == names & COSTS_EXTRA


@pytest.mark.parametrize("name", image_create_variation_params.ImageCreateVariationParams.__annotations__)
def test_the_fields_of_a_form_are_known(name: str) -> None:
    assert name in TABLES["images.variations"].rows


@pytest.mark.parametrize("endpoint", LEAST)
def test_null_turns_nothing_on(endpoint: str) -> None:
    names = TABLES[endpoint].rows.keys() - LEAST[endpoint].keys()
    found = {name: told(endpoint, name, None) for name in names}
    assert {name: each for name, each in found.items() if each != ()} == {}


def costly_values(endpoint: str, name: str) -> list[Any]:
    """Values with which a member can cost extra."""
    if endpoint in FORMS:
        return ["x", "https://host/a.wav"]
    _, known = BY_FAMILY.get(endpoint, (USUAL, TURNED_ON))
    values = known.get(name, [{}, {"a": 1}, True, "x", [{"id": "web"}]])
    # That is none of the shapes of a prompt of completions.
    return [value for value in values if (endpoint, name, type(value)) != ("completions", "prompt", dict)]


def is_told(found: tuple[Feature, ...] | Refusal, name: str, treatment: str) -> bool:
    """Whether features say what a member can cost; one that is refused can have nothing in a rate card.

    What they say beside of what the upstream keeps has names of its own.
    """
    return (
        not isinstance(found, Refusal)
        and found != ()
        and {feature.name for feature in found if not feature.kept} <= {name}
        and all(feature.member.startswith(name) and feature.known for feature in found)
        and not (treatment == "refused" and any(feature.needs for feature in found))
    )


@pytest.mark.parametrize("endpoint", LEAST)
def test_what_can_cost_extra_is_found_and_says_what_would_price_it(endpoint: str) -> None:
    """A priced member needs something of a rate card, one that is refused can have nothing there."""
    rows = TABLES[endpoint].rows
    unread = {name for name, row in rows.items() if row.read is None}
    assert {name for name in unread if rows[name].treatment not in {"bounded", "passed"}} == set()
    passed = {name for name, row in rows.items() if row.treatment == "passed"}
    wrong = [
        (name, value, found)
        # `texts` takes the place of `documents`, and is read as these are.
        for name in rows.keys() - unread - passed - {"texts"}
        for value in costly_values(endpoint, name)
        if not is_told(found := told(endpoint, name, value), name, rows[name].treatment)
    ]
    assert wrong == []


@pytest.mark.parametrize("endpoint", LEAST)
def test_what_costs_nothing_may_still_name_what_the_upstream_keeps(endpoint: str) -> None:
    rows = TABLES[endpoint].rows
    for name in (name for name, row in rows.items() if row.treatment == "passed" and row.read is not None):
        assert read(endpoint, **{name: {"a": 1}}) == (), name
        assert [found.kept for found in read(endpoint, **{name: {"file_id": "a"}})] == [True], name


@pytest.mark.parametrize("endpoint", LEAST)
@pytest.mark.parametrize("value", [1, "x", {}, [1], True])
def test_a_member_that_nobody_knows_is_not_known_to_cost_nothing(endpoint: str, value: object) -> None:
    value = str(value) if endpoint in FORMS else value
    (found,) = read(endpoint, frobnicate=value)
    assert (found.member, found.known, found.needs) == ("frobnicate", False, ())


@pytest.mark.parametrize("endpoint", sorted(LEAST.keys() - FORMS))
@pytest.mark.parametrize("value", [None, False, []])
def test_a_member_that_nobody_knows_may_be_turned_off(endpoint: str, value: object) -> None:
    assert read(endpoint, frobnicate=value) == ()


def in_other_cases(name: str) -> Iterator[str]:
    yield name.upper()
    yield name.title()
    yield name.replace("s", "\u017f").replace("k", "\u212a")


@pytest.mark.parametrize("endpoint", LEAST)
def test_a_member_that_differs_from_a_known_one_only_in_case_is_refused(endpoint: str) -> None:
    """Some upstreams fold case: they would read another value than was priced, whatever is forwarded."""
    rows = TABLES[endpoint].rows
    others = {other for name in rows for other in in_other_cases(name)} - rows.keys()
    # No field of a form may have such a name at all.
    names = {name for name in others if name.isascii() or endpoint not in FORMS}
    found = {name: told(endpoint, name, 1) for name in names}
    refused = {name: each for name, each in found.items() if isinstance(each, Refusal)}
    assert refused.keys() == names
    assert {(each.code, each.param) for each in refused.values()} == {
        ("invalid_value", name) for name in names
    }


@pytest.mark.parametrize("endpoint", ["chat.completions", "completions", "responses"])
@pytest.mark.parametrize("name", sorted(OUTPUT_BOUNDS))
def test_every_name_for_an_output_bound_is_one(endpoint: str, name: str) -> None:
    ask = ENDPOINTS[PATHS[endpoint]].read(json.dumps(LEAST[endpoint] | {name: 7}).encode())
    assert (ask.features, ask.ceiling().bound) == ((), 7)


def test_what_farebox_reads_cannot_be_forwarded_as_it_is() -> None:
    """An operator may let pass what costs extra, and not what decides how much is held."""
    bounded = {name for table in TABLES.values() for name in table.names("bounded")}
    assert bounded > OUTPUT_BOUNDS
    assert all(forward_fault(name) for name in bounded)
    assert not any(map(forward_fault, ["plugins", "frobnicate", "*"]))


@pytest.mark.parametrize("tier", sorted(USUAL_TIERS))
def test_a_usual_tier_needs_no_price_and_may_have_one(tier: str) -> None:
    (found,) = read("chat.completions", service_tier=tier)
    assert (found.optional, found.tier) == (True, tier)


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({"service_tier": "priority"}, ("service_tiers.priority",)),
        ({"modalities": ["audio"]}, ("rates.output_audio_tokens",)),
        ({"modalities": ["image"]}, ("rates.output_image_tokens",)),
        ({"audio": {"voice": "x"}}, ("rates.output_audio_tokens",)),
        ({"web_search_options": {}}, ("rates.web_searches", "input_allowance_tokens")),
        ({"plugins": [{"id": "web"}]}, ("rates.web_searches", "input_allowance_tokens")),
        ({"plugins": [{"id": "file-parser"}]}, ("rates.server_tools", "input_allowance_tokens")),
        ({"tools": [{"type": "web_search"}]}, ("rates.web_searches", "input_allowance_tokens")),
        ({"tools": [{"type": "code_interpreter"}]}, ("rates.server_tools", "input_allowance_tokens")),
        ({"previous_response_id": "resp_1"}, ("input_allowance_tokens",)),
    ],
)
def test_what_prices_it_is_a_key_of_the_rate_card(members: dict[str, Any], needs: tuple[str, ...]) -> None:
    (found,) = read("chat.completions", **members)
    assert found.needs == needs


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({"speed": "fast"}, ("service_tiers.fast",)),
        ({"inference_geo": "us"}, ("service_tiers.geo-us",)),
        ({"inference_geo": "Global"}, ("service_tiers.geo-Global",)),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, ("input_allowance_tokens",)),
    ],
)
def test_what_prices_a_member_of_a_message_is_a_key_of_the_rate_card(
    members: dict[str, Any], needs: tuple[str, ...]
) -> None:
    (found,) = read("messages", **members)
    assert found.needs == needs


@pytest.mark.parametrize("value", [7, ["auto"], {}])
def test_a_tier_that_cannot_be_read_is_refused(value: object) -> None:
    with pytest.raises(Refusal) as caught:
        read("chat.completions", service_tier=value)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "service_tier")


@pytest.mark.parametrize("endpoint", LEAST)
def test_a_call_has_just_the_parameters_that_the_registry_names(endpoint: str) -> None:
    """Where the request does not say, the API's own defaults: a price never depends on what was left out."""
    ask = asked(endpoint)
    assert ask.parameters.keys() == set(PARAMETERS.get(endpoint, ()))
    assert all(ask.parameters.values())


def test_parameters_are_named_for_endpoints_that_are_served() -> None:
    assert PARAMETERS.keys() <= LEAST.keys() | FORMS
