"""The OpenAPI document is about what is served: all of it, and nothing else."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from proxy.api.models import Models
from proxy.api.openapi import OPERATIONS, document
from proxy.api.public_operations import AnthropicModelsView, AnthropicModelView, ModelsView
from proxy.config.load import load
from proxy.endpoints.dialects import dialect_of
from proxy.endpoints.registry import ENDPOINTS, FORMS
from proxy.errors import CODES, Refusal
from proxy.process.app import catalog_of
from proxy.tasks import Tasks
from proxy.upstream.model_lists import ModelLists
from tests.api.apis import Apis, serving
from tests.call.fakes import Upstreams
from tests.readme import served

QUICKSTART = Path(__file__).parents[2] / "config" / "quickstart.yaml"


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


def documented() -> set[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = document()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def references(node: object) -> Iterator[str]:
    """Every `$ref` anywhere in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_every_route_is_documented_and_every_documented_one_is_a_route() -> None:
    """The composed application is what counts; tools' paths are the configuration's, and caught last."""
    registered = {("POST" if method == "*" else method, path) for method, path in served()}
    assert registered - {("POST", "/{tool}")} == documented()


def models_of(apis: Apis) -> TestClient[web.Request, web.Application]:
    """A client of the quickstart's models."""
    catalog = catalog_of(load(QUICKSTART, {}))
    app = web.Application()
    tasks = Tasks(lambda *_: None)
    lists = ModelLists(client=Upstreams([]), tasks=tasks, now=lambda: 0.0, on_fault=lambda *_: None)
    models = Models(store=apis.store, catalog=lambda: catalog, clock=apis.clock, lists=lists)
    app.add_routes(models.routes())
    return TestClient(TestServer(app))


async def test_a_listed_model_has_the_fields_the_document_says(apis: Apis) -> None:
    _, secret = await apis.key(await apis.account())
    async with models_of(apis) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        async with client.get("/v1/models", headers=headers) as response:
            listed = msgspec.json.decode(await response.read(), type=ModelsView)
            assert msgspec.to_builtins(listed) == await response.json()
    assert "demo-chat" in {model.id for model in listed.data}


@pytest.mark.parametrize(
    ("path", "shape"), [("/v1/models", AnthropicModelsView), ("/v1/models/demo-chat", AnthropicModelView)]
)
async def test_anthropics_clients_get_the_fields_the_document_says(
    apis: Apis, path: str, shape: type[msgspec.Struct]
) -> None:
    """Just these: what is read into the shape and written again is what was answered."""
    async with models_of(apis) as client:
        _, secret = await apis.key(await apis.account())
        async with client.get(path, headers={"x-api-key": secret}) as response:
            told = msgspec.json.decode(await response.read(), type=shape)
            assert msgspec.to_builtins(told) == await response.json()


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/{id}"])
def test_a_path_that_both_makers_have_is_documented_in_both_shapes(path: str) -> None:
    responses = document()["paths"][path]["get"]["responses"]
    for answer in responses.values():
        shapes = references(answer["content"]["application/json"]["schema"]["oneOf"])
        assert sum("Anthropic" in name or "Message" in name for name in shapes) == 1


def test_what_is_taken_as_a_form_and_as_json_is_documented_as_both() -> None:
    """Each with its own fields: a form has files."""
    paths, schemas = document()["paths"], document()["components"]["schemas"]
    both = {family.path: family.name for family in ENDPOINTS.values() if family.name in FORMS}
    assert both.keys() == {"/v1/images/edits", "/v1/videos"}
    for path in both:
        content = paths[path]["post"]["requestBody"]["content"]
        assert content.keys() == {"application/json", "multipart/form-data"}
        form = schemas[content["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]]
        assert "contentMediaType" in json.dumps(form["properties"])


async def test_the_document_is_served_to_everybody(apis: Apis) -> None:
    answer = await apis.ask("GET", "/openapi.json", key=None)
    assert answer.status == 200
    assert answer.body["openapi"] == "3.1.0"
    assert answer.body == document()


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to() -> None:
    made = document()
    names = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert set(references(made)) == names


def test_operation_ids_are_unique() -> None:
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_each_variable_of_a_path_is_a_parameter() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            named = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), (method, path)


def test_each_operation_says_whose_key_it_wants() -> None:
    account = ["accountKey", "accountApiKey"]
    # Who sends notices has no key, and signs them.
    wanted: dict[str, list[str]] = {"/admin/": ["adminKey"], "/v1/webhooks/": []}
    wanted |= dict.fromkeys(("/v1/", "/v2/", "/dashboard/"), account)
    for path, methods in document()["paths"].items():
        keys = next((keys for beginning, keys in wanted.items() if path.startswith(beginning)), [])
        for operation in methods.values():
            assert operation["security"] == [{key: []} for key in keys], path


def test_every_error_code_is_in_the_document() -> None:
    error = document()["components"]["schemas"]["ErrorView"]
    assert error["properties"]["code"]["enum"] == list(CODES)


async def test_an_error_has_the_fields_the_document_says(apis: Apis) -> None:
    answer = await apis.ask("GET", "/admin/v1/accounts", key=None)
    assert set(answer.error) == set(document()["components"]["schemas"]["ErrorView"]["required"])


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions"])
def test_a_refusal_has_the_shape_that_its_path_says(path: str) -> None:
    """Anthropic's clients get Anthropic's, with the type that its status has there."""
    made = document()
    schema = made["paths"][path]["post"]["responses"]["default"]["content"]["application/json"]["schema"]
    for code in CODES:
        said = json.loads(dialect_of(path).error(Refusal(code, "x"), "req_1"))
        shape = made["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert said.keys() == set(shape["properties"])
        inner = made["components"]["schemas"][shape["properties"]["error"]["$ref"].rpartition("/")[2]]
        assert set(inner["required"]) <= said["error"].keys()
        for name, told in inner["properties"].items():
            assert said["error"][name] in told.get("enum", [said["error"][name]])
