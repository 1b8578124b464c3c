"""The schema accepts what loads and refuses what does not; every key is described."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from proxy.config.reference import KeyDoc, describe_keys, json_schema
from proxy.config.schema import ConfigSchema
from tests.config.samples import NAME
from tests.readme import CONFIGS
from tests.sources import ROOT

SCHEMA = json_schema()
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
WORDS = {"$schema", "$defs", "title", "description", "default", "examples"}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is valid, by the keywords of JSON Schema that ours uses; any other is a KeyError."""
    return all(RULES[word](asked, value, schema) for word, asked in schema.items() if word not in WORDS)


def is_kind(kind: str, value: Any) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


RULES: dict[str, Any] = {
    "$ref": lambda name, value, _: accepts(SCHEMA["$defs"][name.removeprefix("#/$defs/")], value),
    "anyOf": lambda arms, value, _: any(accepts(arm, value) for arm in arms),
    "type": lambda kind, value, _: is_kind(kind, value),
    "enum": lambda values, value, _: any(value == one and type(value) is type(one) for one in values),
    "pattern": lambda pattern, value, _: re.search(pattern, value) is not None,
    "minLength": lambda least, value, _: len(value) >= least,
    "minItems": lambda least, value, _: len(value) >= least,
    "minProperties": lambda least, value, _: len(value) >= least,
    "minimum": lambda least, value, _: value >= least,
    "maximum": lambda most, value, _: value <= most,
    "exclusiveMinimum": lambda bound, value, _: value > bound,
    "required": lambda names, value, _: set(names) <= value.keys(),
    "items": lambda schema, value, _: all(accepts(schema, item) for item in value),
    "properties": lambda schemas, value, _: all(
        accepts(schemas[key], value[key]) for key in schemas.keys() & value.keys()
    ),
    "propertyNames": lambda schema, value, _: all(accepts(schema, key) for key in value),
    "additionalProperties": lambda schema, value, whole: all(
        schema is not False and accepts(schema, value[key])
        for key in value.keys() - whole.get("properties", {}).keys()
    ),
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_is_valid_as_it_is_written(path: Path) -> None:
    assert accepts(SCHEMA, yaml.safe_load(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"server": {"port": 8080}},
        {"server": {"port": "${PORT}", "body_seconds": "${S:-1.5}", "payment_status": "${STATUS}"}},
        {"log": {"calls": "${CALLS:-true}", "level": "${LEVEL}"}, "unit": {"name": "${UNIT}"}},
        {
            "accounts": {
                "limits": {"rpm": "${RPM}", "tpm": "none", "concurrency": 4, "day": "${DAY}", "week": None}
            }
        },
        {
            "routes": [
                {"models": ["${MODEL}"], "endpoints": ["${ENDPOINT}"], "targets": [{"upstream": "${UP}"}]}
            ]
        },
        {"rate_cards": {"a": {"rates": {"requests": {"per_unit": "0.1"}}, "max_output_tokens": "${MOST}"}}},
        {"quickstart": {}},
    ],
)
def test_a_variable_stands_for_any_value_that_is_no_mapping_or_list(tree: dict[str, Any]) -> None:
    assert accepts(SCHEMA, tree)


@pytest.mark.parametrize(
    "tree",
    [
        [],
        {"sever": {}},
        {"server": "${SERVER}"},
        {"server": {"prot": 1}},
        {"server": {"port": 65536}},
        {"server": {"port": "http"}},
        {"server": {"port": "$PORT"}},
        {"server": {"port": True}},
        {"server": {"host": ""}},
        {"server": {"body_seconds": 0}},
        {"log": {"level": "loud"}},
        {"accounts": {"limits": {"day": 10}}},
        {"accounts": {"limits": {"rpm": "all"}}},
        {"upstreams": {"a b": {"base_url": "https://host"}}},
        {"upstreams": {"a": {}}},
        {"upstreams": {"a": {"base_url": "https://host", "credential": None}}},
        {"upstreams": {"a": {"base_url": "https://host", "headers": {"a": 1}}}},
        {"routes": [{"models": ["a"], "targets": []}]},
        {"routes": [{"models": None, "targets": [{"upstream": "a"}]}]},
        {"rate_cards": {"a": {"rates": {}}}},
        {"rate_cards": {"a": {"rates": {"requests": {"per_unit": 0.1}}}}},
        {"quickstart": None},
    ],
)
def test_what_has_the_wrong_shape_is_invalid(tree: Any) -> None:
    assert not accepts(SCHEMA, tree)


def test_the_schema_is_json_with_words_for_an_editor_to_show() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SCHEMA)) == SCHEMA
    assert SCHEMA["title"] == "Farebox configuration"
    for definition in SCHEMA["$defs"].values():
        assert definition["title"]
        assert "Schema" not in definition["title"]
        assert definition["description"] == definition["description"].strip()


def test_every_default_is_valid() -> None:
    for definition in (SCHEMA, *SCHEMA["$defs"].values()):
        for schema in definition.get("properties", {}).values():
            assert "default" not in schema or accepts(schema, schema["default"])


def test_every_key_of_every_shape_is_described() -> None:
    docs = describe_keys()
    assert len({doc.path for doc in docs}) == len(docs)
    assert all(doc.text.endswith((".", "}", "enough.")) and doc.type and doc.default for doc in docs)
    in_schema = {
        name
        for definition in (SCHEMA, *SCHEMA["$defs"].values())
        for name in definition.get("properties", {})
    }
    assert {re.split(r"\.|\[\]", doc.path)[-1] for doc in docs} == in_schema
    assert [doc.path for doc in docs if not re.search(r"[.\[]", doc.path)] == list(
        ConfigSchema.__struct_fields__
    )


COUNT = "a whole number from 1 to 1000000000000"
METHODS = "a list, each 'DELETE' or 'GET' or 'PATCH' or 'POST' or 'PUT'"
DESCRIBED = [
    ("server", "a mapping", "{}", "Where Farebox listens, and its bounds."),
    ("server.port", "a whole number from 0 to 65535", "8080", "Port to listen on; 0 takes any free one."),
    ("accounts.limits.rpm", f"{COUNT} or 'none'", "not set", "Calls a minute, or none."),
    ("upstreams.*.credential.value", "text", "required", "The secret itself; take it from the environment."),
    ("upstreams.*.headers", "a mapping, each text", "{}", "Headers added to every call to it."),
    ("routes[].methods", METHODS, '["POST"]', "The methods its path is served with."),
    ("routes[].targets[].upstream", NAME, "required", "The upstream's name."),
]


@pytest.mark.parametrize("doc", DESCRIBED, ids=lambda doc: doc[0])
def test_a_key_is_described_by_path_type_default_and_meaning(doc: tuple[str, str, str, str]) -> None:
    assert KeyDoc(*doc) in describe_keys()
