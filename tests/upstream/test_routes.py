"""Which route serves a model: the first in the file that names it, by its name or by a glob."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.routes import Route, Routes, Target, Upstream

TARGETS = (Target(Upstream("up", "http://up")),)
MODELS = st.sampled_from(["a", "ab", "abc", "b", "A", "[a]", "a*"])
GLOBS = st.sampled_from(["a", "ab", "a*", "*b", "?", "*", "[ab]", "[!a]", "A", "[a]"])
CHAT, EMBEDDINGS = "chat.completions", "embeddings"


def serving(endpoint: str, model: str, *globs: Sequence[str]) -> str | None:
    routes = [Route(str(at), TARGETS, tuple(each), (CHAT,)) for at, each in enumerate(globs)]
    found = Routes(routes).for_model(endpoint, model)
    return found.name if found is not None else None


def test_the_first_route_in_the_file_serves() -> None:
    """A glob that stands before a plain name comes first, and the other way round."""
    assert serving(CHAT, "gpt-4o", ["gpt-4o"], ["gpt-*"]) == "0"
    assert serving(CHAT, "gpt-4o", ["gpt-*"], ["gpt-4o"]) == "0"
    assert serving(CHAT, "gpt-4o", ["o1"], ["gpt-4o", "gpt-4o"], ["gpt-4o"]) == "1"


def test_a_route_serves_only_its_endpoints() -> None:
    """Neither a name nor a glob makes it serve another."""
    assert serving(EMBEDDINGS, "gpt-4o", ["gpt-4o"], ["*"]) is None


@given(MODELS, st.lists(st.lists(GLOBS, min_size=1, max_size=3), max_size=4))
def test_looking_names_up_changes_nothing(model: str, globs: list[list[str]]) -> None:
    """The route is the one that trying every glob in order would find."""
    alone = [serving(CHAT, model, [glob]) == "0" for each in globs for glob in each]
    owners = [str(at) for at, each in enumerate(globs) for _ in each]
    expected = next((owner for owner, fits in zip(owners, alone, strict=True) if fits), None)
    assert serving(CHAT, model, *globs) == expected
