"""A variable stands for one segment, and no request can be two paths."""

import pytest

from proxy.upstream.path_templates import filled, may_meet, values_of, variables_of
from proxy.upstream.routes import Route, Routes, Target, Upstream

UPSTREAM = Upstream("up", "http://up")


def route(path: str, *methods: str, target: str | None = None) -> Route:
    return Route(path, (Target(UPSTREAM, path=target or path),), path=path, methods=methods or ("GET",))


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/v1/scrape/{id}", "/v1/scrape/abc-1_2.3~4", {"id": "abc-1_2.3~4"}),
        ("/v1/{a}/x/{b}", "/v1/1/x/2", {"a": "1", "b": "2"}),
        ("/{a}", "/b", {"a": "b"}),
        ("/v1/scrape/{id}", "/v1/scrape", None),
        ("/v1/scrape/{id}", "/v1/scrape/", None),
        ("/v1/scrape/{id}", "/v1/scrape/a/b", None),
        ("/v1/scrape/{id}", "/v1/scrape/a/", None),
        ("/v1/scrape/{id}", "/V1/scrape/a", None),
        *(
            ("/v1/{id}", f"/v1/{odd}", None)
            for odd in ("a%62", "a;b=1", "a:cancel", "a b", "é", "{id}", "a,b")
        ),
        ("/v1/{id}", "/v1/" + "x" * 257, None),
    ],
)
def test_a_variable_is_one_plain_segment(template: str, path: str, values: dict[str, str] | None) -> None:
    """What upstreams could read as something else is no value: an escape, a parameter, a verb."""
    assert values_of(template, path) == values
    if values is not None:
        assert filled(template, values) == path


@pytest.mark.parametrize("path", ["/a/x{id}", "/a/{id}x", "/a/{}", "/a/{1}", "/a{id}", "/a/{i-d}"])
def test_only_a_whole_segment_is_a_variable(path: str) -> None:
    assert variables_of(path) == ()


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}", "/a/b", True),
        ("/a/{x}/c", "/{y}/b/C", True),
        ("/a/{x}", "/b/{x}", False),
        ("/a/{x}", "/a/{x}/b", False),
        ("/A/{x}", "/a/{x}", True),
    ],
)
def test_two_templates_meet_where_a_request_could_match_both(one: str, other: str, meets: bool) -> None:
    assert may_meet(one, other) == may_meet(other, one) == meets


def test_a_target_has_the_segments_of_the_request() -> None:
    routes = Routes([route("/v1/{a}/{b}", target="/x/{b}/y/{a}")])
    found = routes.for_path("GET", "/v1/1/2")
    assert found is not None
    assert (found.name, found.targets[0].path) == ("/v1/{a}/{b}", "/x/2/y/1")
    assert routes.for_path("POST", "/v1/1/2") is None
    assert routes.methods_of("/v1/1/2") == ["GET"]
    assert [each.name for each in routes.tools] == ["/v1/{a}/{b}"]


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/v1/crawl/active", "/v1/crawl/active"),
        ("/v1/crawl/17", "/v1/crawl/{id}"),
        ("/v1/crawl/ACTIVE", None),
        ("/v1/Crawl/17", None),
    ],
)
def test_an_exact_path_comes_first_and_in_no_other_case(path: str, served: str | None) -> None:
    """Another spelling of it is not priced as what the template serves: an upstream may ignore case."""
    found = Routes([route("/v1/crawl/{id}"), route("/v1/crawl/active")]).for_path("GET", path)
    assert (None if found is None else found.name) == served


def test_an_exact_path_with_another_method_hides_no_template() -> None:
    routes = Routes([route("/v1/crawl/{id}", "GET", "DELETE"), route("/v1/crawl/active", "POST")])
    assert routes.methods_of("/v1/crawl/active") == ["DELETE", "GET", "POST"]
    assert routes.for_path("GET", "/v1/crawl/active") is not None
