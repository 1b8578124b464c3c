from fnmatch import fnmatchcase

import pytest

from proxy.metering.model_names import bare_name, counting_name, encoding_name, encoding_names


@pytest.mark.parametrize(
    ("model", "bare"),
    [
        ("gpt-4o", "gpt-4o"),
        (" GPT-4o ", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("openrouter/openai/gpt-4o:extended", "gpt-4o"),
        ("ft:gpt-4.1-mini:acme", "gpt-4.1-mini"),
        ("ft:gpt-4o-2024-08-06:acme:support:9aZ", "gpt-4o-2024-08-06"),
        ("openai/ft:gpt-4.1-mini:acme", "gpt-4.1-mini"),
        ("davinci:ft-acme-2022", "davinci"),
        ("shift:7b", "shift"),
        ("", ""),
        (":", ""),
        ("a/", ""),
    ],
)
def test_the_bare_name_has_no_provider_no_tuning_mark_and_no_tag(model: str, bare: str) -> None:
    assert bare_name(model) == bare


@pytest.mark.parametrize(
    ("encoding", "models"),
    [
        (
            "o200k_base",
            "gpt-4o gpt-4o-mini-2024-07-18 chatgpt-4o-latest gpt-4.1 gpt-4.1-mini gpt-4.5-preview",
        ),
        ("o200k_base", "o1 o1-pro o3 o3-mini o4-mini gpt-5 gpt-5-nano gpt-5.1 gpt-5.6-sol"),
        ("cl100k_base", "gpt-4 gpt-4-0613 gpt-4-turbo gpt-4-32k gpt-3.5-turbo gpt-3.5-turbo-instruct"),
        ("cl100k_base", "gpt-35-turbo gpt-35-turbo-16k davinci-002 babbage-002"),
        ("cl100k_base", "text-embedding-3-small text-embedding-3-large text-embedding-ada-002"),
        ("o200k_harmony", "gpt-oss-120b gpt-oss-20b gpt-oss:20b openai/gpt-oss-120b:free gpt-oss"),
        ("p50k_base", "text-davinci-003 code-davinci-002"),
        ("p50k_edit", "text-davinci-edit-001"),
        ("r50k_base", "davinci text-ada-001 davinci:ft-acme-2022"),
    ],
)
def test_models_that_tiktoken_knows_have_its_encoding(encoding: str, models: str) -> None:
    assert {model: encoding_name(model) for model in models.split()} == dict.fromkeys(
        models.split(), encoding
    )


def test_a_fine_tuned_model_reads_as_its_base_model_does() -> None:
    """A prefix match on `ft:gpt-4` would take tuned gpt-4.1 and gpt-4.5 models for gpt-4."""
    assert encoding_name("ft:gpt-4.1-mini:acme") == "o200k_base"
    assert encoding_name("ft:gpt-4o:acme::x") == "o200k_base"
    assert encoding_name("ft:gpt-4-0613:acme") == "cl100k_base"
    assert encoding_name("ft:gpt-3.5-turbo-0125:acme") == "cl100k_base"
    assert encoding_name("ft:davinci-002:acme") == "cl100k_base"


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "gpt-3.5-turbo", "text-embedding-3-small", "o3"])
def test_a_provider_prefix_changes_nothing(model: str) -> None:
    assert encoding_name(f"openai/{model}") == encoding_name(f"azure/eu/{model}") == encoding_name(model)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-6-astra", "o5", "codex-mini-latest", "computer-use-preview", "gpt-realtime-1.5", "gpt-audio",
        "omni-moderation-latest", "whisper-1", "gpt-image-2", "llama3:8b", "claude-opus-4-7", "", "\ud800",
    ],
)  # fmt: skip
def test_unknown_models_are_counted_with_the_newest_vocabulary(model: str) -> None:
    assert encoding_name(model) == "o200k_base"


@pytest.mark.parametrize("model", ["text-embedding-4", "voyage/embed-3", "nomic-embed-text:v1.5"])
def test_unknown_embedding_models_are_counted_with_the_embedding_vocabulary(model: str) -> None:
    assert encoding_name(model) == "cl100k_base"


def test_gpt2_is_an_old_name_of_r50k() -> None:
    assert encoding_name("gpt2") == encoding_name("gpt-2") == "r50k_base"


SPELLINGS = (
    "{}",
    "openai/{}",
    "ft:{}",
    "openai/ft:{}",
    "{}:extended",
    "ft:{}:acme::7p4l",
    "{}-2024-05-13",
    "X/{}",
)
NAMES = [
    spelling.format(name)
    for spelling in SPELLINGS
    for name in (
        "gpt-4",
        "gpt-4o",
        "gpt-3.5-turbo",
        "gpt-oss-20b",
        "text-embedding-3-small",
        "bge-embed",
        "llama-3",
    )
]
GLOBS = [
    *("*", "gpt-*", "gpt-4*", "*4", "*/gpt-?", "ft:*", "f*"),
    *("openai*", "openai/*", "*embed*", "[gb]*", "*:*", "X/gpt*"),
]


@pytest.mark.parametrize("glob", [*GLOBS, *NAMES])
def test_a_glob_tells_every_encoding_that_a_name_it_matches_has(glob: str) -> None:
    """So that the vocabularies of all routes are loaded before the first call, whatever model it asks for."""
    for name in NAMES:
        if fnmatchcase(name, glob):
            assert encoding_name(name) in encoding_names(glob), name


def test_a_plain_name_needs_one_vocabulary_only() -> None:
    assert encoding_names("gpt-4o-mini") == {"o200k_base"}
    assert encoding_names("text-embedding-3-small") == {"cl100k_base"}


@pytest.mark.parametrize(
    ("upstream_model", "model", "counted_as"),
    [
        ("gpt-4o-mini", "acme-small", "gpt-4o-mini"),
        ("gpt-4", "gpt-4o", "gpt-4"),
        ("prod-eu-1", "gpt-4", "gpt-4"),
        ("llama-3", "acme-small", "llama-3"),
        ("anthropic/claude-4", "gpt-4o", "anthropic/claude-4"),
    ],
)
def test_a_call_is_counted_as_the_model_that_answers(
    upstream_model: str, model: str, counted_as: str
) -> None:
    """Unless only the public name tells which one that is."""
    assert counting_name(upstream_model, model) == counted_as
